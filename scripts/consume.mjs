// What a user does: installs the package from a registry in an empty folder, and runs it there.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { npmScript, packageOf, run } from './packages.mjs'
import { platformHere, ROOT } from './prepare.mjs'

const USE = `
  const handle = pageout(Float64Array.of(1, 2, 3))
  if (take(handle).join() !== '1,2,3') throw new Error('the bytes did not come back')
  console.log(how + ': works')
`
const PROMISES = `
  import { pageout, take } from 'pageout/promises'
  const bytes = await take(await pageout(Uint8Array.of(7)))
  if (bytes[0] !== 7) throw new Error('the byte did not come back')
  console.log('promises: works')
`
const DIAGNOSIS = `
  import { diagnose } from 'pageout/doctor'
  const { canServe, findings } = await diagnose()
  console.log(canServe ? 'doctor: works' : findings.filter(({ level }) => level === 'problem').map(({ code }) => code).join())
`

const MAP = `
  const map = new PagedMap({ residentBytes: 2 ** 20 })
  await map.set('key', Uint8Array.of(7))
  if ((await map.borrow('key', value => value[0])) !== 7) throw new Error('the byte is not there')
  await map.close()
  console.log('map: works')
`

/** What a user runs, by the name of its file. */
function programs() {
  const quickStart = /^```js\n(.*?)^```$/ms.exec(readFileSync(`${ROOT}README.md`, 'utf8'))
  if (!quickStart) throw new Error('README.md has no quick start')
  return {
    'import.mjs': `import { pageout, take } from 'pageout'\nconst how = 'import'\n${USE}`,
    'require.cjs': `const { pageout, take } = require('pageout')\nconst how = 'require'\n${USE}`,
    'promises.mjs': PROMISES,
    'doctor.mjs': DIAGNOSIS,
    'map.mjs': `import { PagedMap } from 'pageout/map'\n${MAP}`,
    'map-promises.mjs': `import { PagedMap } from 'pageout/map/promises'\n${MAP}`,
    'map.cjs': `const { PagedMap } = require('pageout/map')\nvoid (async () => {${MAP}})()`,
    'quick-start.mjs': quickStart[1],
    'smoke.mjs': readFileSync(`${ROOT}__test__/smoke/smoke.mjs`, 'utf8'),
  }
}

/**
 * A place where Node runs.
 *
 * @typedef {object} Place
 * @property {string} name
 * @property {string} suffix the platform whose package npm has to choose
 * @property {string} folder where the consumer's folder is made
 * @property {(cwd: string, args: string[]) => string[]} node the command that runs Node in a folder, with a path in it first
 * @property {string} [npm] npm-cli.js, where this machine's is out of reach
 */

/** The Node that runs this. */
export function here(folder) {
  return {
    name: `Node ${process.versions.node}`,
    suffix: platformHere(),
    folder,
    node: (_, args) => [process.execPath, ...args],
  }
}

/**
 * Installs in a new folder of a place from a registry, and does something there.
 *
 * @template T
 * @param {Place} place
 * @param {string} registry
 * @param {string[]} flags of `npm install`
 * @param {(folder: string, node: (...args: string[]) => Promise<string>) => Promise<T>} use
 */
async function installed(place, registry, flags, use) {
  mkdirSync(place.folder, { recursive: true })
  const folder = mkdtempSync(join(place.folder, 'consumer-'))
  const node = (...args) => run(place.node(folder, args), { cwd: folder })
  try {
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
    const quietly = ['--no-audit', '--no-fund', '--no-update-notifier', `--registry=${registry}`, '--cache=.npm']
    await node(place.npm ?? npmScript(), 'install', ...quietly, ...flags, 'pageout')
    return await use(folder, node)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Installs in a place, looks at what came, and runs every program.
 *
 * @param {Place} place
 * @param {string} registry
 * @param {string} [foreign] a binary of the other C library, which has to be refused in the place of the right one
 * @returns what was installed, and what ran it
 */
export function consume(place, registry, foreign) {
  return installed(place, registry, [], async (folder, node) => {
    const facts = inspectInstalled(folder, place.suffix)
    const said = {}
    for (const [name, source] of Object.entries(programs())) {
      writeFileSync(join(folder, name), source)
      said[name] = await node('--expose-gc', name)
    }
    expectSaid('the doctor', said['doctor.mjs'], 'doctor: works')
    // As npx does.
    const report = JSON.parse(await node('node_modules/.bin/pageout', 'doctor', '--json', '--no-speed'))
    if (!report.canServe) throw new Error(`the command finds problems: ${JSON.stringify(report.findings)}`)
    if (foreign) {
      cpSync(foreign, join(folder, 'node_modules', packageOf(place.suffix), `pageout.${place.suffix}.node`))
      await expectImport(node, 'ERR_PAGEOUT_ADDON ERR_DLOPEN_FAILED')
    }
    const version = (await node('--version')).trim()
    return { ...facts, version, smoke: said['smoke.mjs'].trim().split('\n').at(-1) }
  })
}

/** Installs without what is optional, which the addon is, and without scripts, of which there are none. */
export async function consumeOtherwise(place, registry) {
  const expecting = outcome => (_, node) => expectImport(node, outcome)
  await installed(place, registry, ['--omit=optional'], async (folder, node) => {
    await expecting('ERR_PAGEOUT_ADDON MODULE_NOT_FOUND')(folder, node)
    writeFileSync(join(folder, 'doctor.mjs'), DIAGNOSIS)
    expectSaid('the doctor', await node('doctor.mjs'), 'addon')
  })
  await installed(place, registry, ['--ignore-scripts'], expecting('loaded'))
}

/** Imports the package, and compares how it fails, if it does: the code of our error, and the one of its cause. */
async function expectImport(node, outcome) {
  const print =
    "import('pageout').then(() => console.log('loaded'), error => console.log(error.code, error.cause?.code))"
  expectSaid('importing the package', await node('--eval', print), outcome)
}

function expectSaid(what, said, wanted) {
  if (said.trim() !== wanted) throw new Error(`${what} came to ${said.trim()}, not ${wanted}`)
}

/** The packages of a scope. */
function scoped(folder, scope) {
  return readdirSync(join(folder, 'node_modules', scope)).map(name => `${scope}/${name}`)
}

/** The root package and the one of the platform are there, nothing else, and nothing ran. */
function inspectInstalled(folder, suffix) {
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages
  const packages = readdirSync(join(folder, 'node_modules'))
    .filter(name => !name.startsWith('.'))
    .flatMap(name => (name.startsWith('@') ? scoped(folder, name) : [name]))
    .sort()
  const wanted = [packageOf(suffix), 'pageout']
  if (packages.join() !== wanted.join()) throw new Error(`npm installed ${packages}, not ${wanted}`)
  const scripted = Object.keys(lock).filter(path => lock[path].hasInstallScript)
  if (scripted.length > 0) throw new Error(`${scripted} run scripts when they are installed`)
  const files = packages.flatMap(name => {
    const path = join(folder, 'node_modules', name)
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath ?? entry.path, entry.name))
  })
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
  return { packages: packages.length, files: files.length, bytes }
}
