// Rehearses a release of what is committed, against a registry on loopback: builds and checks all six targets, publishes them
// from a fresh clone, stops half way once and goes on, and installs from there. What cannot be rehearsed is the identity of the
// publisher: provenance and trusted publishing belong to the workflow.
//   npm run release:rehearse
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { consume, here } from '../consume.mjs'
import { serve } from '../cross/registry.mjs'
import { ARTIFACTS, TARGETS } from '../cross/targets.mjs'
import { npmScript, run } from '../packages.mjs'
import { installTools, ROOT } from '../prepare.mjs'

/** How many packages the first attempt gets out before the registry refuses. */
const BEFORE_TROUBLE = 4

const step = what => console.log(`\n== ${what}`)
const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
const tag = `v${version}`
const changes = await run(['git', 'status', '--porcelain'], { cwd: ROOT })
if (changes) throw new Error(`only what is committed can be released:\n${changes}`)

/** What is not ready, and what the gate has to say of it. */
const UNREADY = [
  ['another tag', [], 'v9.9.9', /the tag is v9\.9\.9/],
  ['no binary', ['rm', 'npm/darwin-x64/pageout.darwin-x64.node'], tag, /npm\/darwin-x64 holds/],
  [
    'one binary too many',
    ['cp', 'README.md', 'npm/darwin-x64/pageout.linux-x64-gnu.node'],
    tag,
    /npm\/darwin-x64 holds/,
  ],
  [
    'a platform of another version',
    ['sed', '-i', 's/"version": ".*"/"version": "9.9.9"/', 'npm/linux-x64-musl/package.json'],
    tag,
    /linux-x64-musl has version/,
  ],
  [
    'crates of another version',
    ['sed', '-i', 's/^version = .*/version = "9.9.9"/', 'Cargo.toml'],
    tag,
    /Cargo.toml has version/,
  ],
  ['no entry in the changelog', ['sed', '-i', 's/^## /# /', 'CHANGELOG.md'], tag, /CHANGELOG.md has no entry/],
  ['nothing compiled', ['rm', '-r', 'dist'], tag, /is not built/],
  [
    'a commit of another branch',
    ['git', 'commit', '--quiet', '--allow-empty', '--message=x'],
    tag,
    /not on the main branch/,
  ],
]

/** Shows that the gate refuses what is not ready, each in a copy of the clone. */
async function refuseUnready(clone) {
  for (const { suffix, file } of TARGETS) cpSync(join(ARTIFACTS, file), join(clone, 'npm', suffix, file))
  for (const [what, command, given, complaint] of UNREADY) {
    const copy = join(work, 'unready')
    cpSync(clone, copy, { recursive: true, filter: path => !/\/(node_modules|target)$/.test(path) })
    const identity = { GIT_AUTHOR_NAME: 'x', GIT_AUTHOR_EMAIL: 'x', GIT_COMMITTER_NAME: 'x', GIT_COMMITTER_EMAIL: 'x' }
    if (command.length > 0) await run(command, { cwd: copy, env: { ...process.env, ...identity } })
    const said = await run(['node', 'scripts/release/gate.mjs', given], { cwd: copy }).catch(error => error.message)
    if (!complaint.test(said)) throw new Error(`with ${what} the gate says: ${said}`)
    rmSync(copy, { recursive: true })
  }
  console.log(`the gate refuses ${UNREADY.length} releases that are not ready`)
}

const work = mkdtempSync(join(tmpdir(), 'pageout-release-'))
const [clone, published] = ['clone', 'published'].map(name => join(work, name))
mkdirSync(published)
const registry = await serve(published)
try {
  step(`building ${TARGETS.length} targets`)
  installTools()
  for (const script of ['setup', 'build']) await run([`${ROOT}scripts/cross/${script}`])
  console.log(await run([`${ROOT}scripts/cross/check`]))

  step(`publishing ${tag} from a clone`)
  await run(['git', 'clone', '--quiet', ROOT, clone])
  // What is rehearsed counts as merged.
  await run(['git', 'update-ref', 'refs/remotes/origin/main', 'HEAD'], { cwd: clone })
  const npm = (...args) => run([process.execPath, npmScript(), ...args], { cwd: clone })
  await npm('ci', '--no-audit', '--no-fund')
  await npm('run', 'build:ts')
  cpSync(ARTIFACTS, join(clone, 'target/cross/artifacts'), { recursive: true })
  const { host } = new URL(registry.origin)
  const config = join(work, 'npmrc')
  writeFileSync(config, `registry=${registry.origin}\n//${host}/:_authToken=rehearsal\n`)
  const env = { ...process.env, npm_config_registry: registry.origin, npm_config_userconfig: config }
  await refuseUnready(clone)
  const publish = () => run(['scripts/release/publish', tag, '--rehearse'], { cwd: clone, env })

  registry.packagesMax = BEFORE_TROUBLE
  const trouble = await publish().then(
    () => undefined,
    error => error,
  )
  if (!trouble) throw new Error('the registry refused packages, and the release did not notice')
  console.log(`stopped with ${readdirSync(published).length} of ${TARGETS.length + 1} packages out`)
  registry.packagesMax = Infinity
  // The next attempt starts from a clean checkout, as a workflow does.
  await run(['git', 'checkout', '--quiet', '.'], { cwd: clone })
  console.log(await publish())
  console.log(readdirSync(published).join('\n'))

  step('installing what was published')
  const { packages, files, bytes, smoke } = await consume(here(work), registry.origin)
  console.log(`npm install pageout: ${packages} packages, ${files} files, ${bytes} bytes; smoke checks: ${smoke}`)
} finally {
  registry.close()
  rmSync(work, { recursive: true, force: true })
}
