// What must hold before a version is published:
//   node scripts/release/gate.mjs v0.1.0
// one version everywhere, with its entry in CHANGELOG.md; a package for each target that holds exactly its one binary; the
// built TypeScript; a commit of the main branch, which CI has seen.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { TARGETS } from '../cross/targets.mjs'
import { ROOT } from '../prepare.mjs'

const text = path => readFileSync(`${ROOT}${path}`, 'utf8')
const problems = []
const check = (isRight, problem) => isRight || problems.push(problem)

const [tag] = process.argv.slice(2)
const { version, exports: entries } = JSON.parse(text('package.json'))
check(tag === `v${version}`, `the tag is ${tag}, package.json has version ${version}`)
const [, ofCrates] = /^version = "(.*)"$/m.exec(text('Cargo.toml'))
check(ofCrates === version, `Cargo.toml has version ${ofCrates}, package.json ${version}`)
check(text('CHANGELOG.md').includes(`\n## ${version}\n`), `CHANGELOG.md has no entry "## ${version}"`)
const conditions = Object.values(entries).filter(entry => typeof entry === 'object')
for (const path of conditions.flatMap(entry => Object.values(entry).flatMap(Object.values))) {
  check(existsSync(`${ROOT}${path}`), `${path} is not built: npm run build:ts`)
}
const [wanted, there] = [TARGETS.map(({ suffix }) => suffix), readdirSync(`${ROOT}npm`)].map(names =>
  names.sort().join(' '),
)
check(wanted === there, `npm/ holds ${there}, not ${wanted}`)
for (const { suffix, file } of TARGETS) {
  const manifest = JSON.parse(text(`npm/${suffix}/package.json`))
  check(manifest.version === version, `npm/${suffix} has version ${manifest.version}, package.json ${version}`)
  const files = readdirSync(`${ROOT}npm/${suffix}`).sort().join(' ')
  check(files === `README.md package.json ${file}`, `npm/${suffix} holds ${files}`)
}
const isOnMain = spawnSync('git', ['merge-base', '--is-ancestor', 'HEAD', 'origin/main'], { cwd: ROOT }).status === 0
check(isOnMain, 'the commit is not on the main branch')
for (const problem of problems) console.error(`problem: ${problem}`)
if (problems.length === 0) console.log(`${tag}: one version, ${TARGETS.length} packages with their binaries`)
process.exitCode = problems.length === 0 ? 0 : 1
