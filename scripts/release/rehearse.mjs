// Rehearses a release of what is committed, against a registry on loopback: builds and checks all six targets, publishes them
// from a fresh clone, stops half way once and goes on, and installs from there. What cannot be rehearsed is the identity of the
// publisher: provenance and trusted publishing belong to the workflow.
//   npm run release:rehearse
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { consume, here } from '../consume.mjs'
import { ARTIFACTS, TARGETS } from '../cross/targets.mjs'
import { npmScript, run } from '../packages.mjs'
import { installTools, ROOT } from '../prepare.mjs'
import { serve } from '../registry.mjs'

/** How many packages the first attempt gets out before the registry refuses. */
const BEFORE_TROUBLE = 4

const step = what => console.log(`\n== ${what}`)
const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
const tag = `v${version}`
const changes = await run(['git', 'status', '--porcelain'], { cwd: ROOT })
if (changes) throw new Error(`only what is committed can be released:\n${changes}`)

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
