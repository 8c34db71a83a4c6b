// The tests of the recipes: pageout under other people's libraries, each test run by the runner that its name says.
//   npm run test:recipes [-- lru-cache multer ...]
// `*.test.mjs` is for Node's own runner, `*.tape.mjs` for tape and `*.vitest.mjs` for Vitest, since two of the libraries have
// their suite for that.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { NODE_TEST, runCounted, TAPE, VITEST } from './counted.mjs'
import { buildIfMissing, installIn, ROOT } from './prepare.mjs'

const FOLDER = `${ROOT}recipes`
const MODULES = `${FOLDER}/node_modules`
const RUNNERS = [
  { ending: '.test.mjs', patterns: NODE_TEST, args: files => ['--test', '--test-reporter=spec', ...files] },
  { ending: '.tape.mjs', patterns: TAPE, args: files => [`${MODULES}/tape/bin/tape`, ...files] },
  {
    ending: '.vitest.mjs',
    patterns: VITEST,
    args: files => [`${MODULES}/vitest/vitest.mjs`, 'run', '--root', FOLDER, ...files],
  },
]

/** The files below a folder of recipes. */
const below = folder =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
    .sort()

const recipes = readdirSync(FOLDER, { withFileTypes: true })
  .filter(entry => entry.isDirectory() && entry.name !== 'node_modules')
  .map(({ name }) => name)
const chosen = process.argv.slice(2)
const unknown = chosen.filter(name => !recipes.includes(name))
if (unknown.length > 0) throw new Error(`there is no recipe ${unknown}, but ${recipes}`)

buildIfMissing()
installIn(FOLDER, 'installing the libraries of the recipes')
const files = (chosen.length > 0 ? chosen : recipes).flatMap(name => below(`${FOLDER}/${name}`))
let [passed, failed] = [0, 0]
for (const { ending, patterns, args } of RUNNERS) {
  const tests = files.filter(file => file.endsWith(ending))
  if (tests.length === 0) continue
  const counts = await runCounted(process.execPath, args(tests), patterns)
  passed += counts.passed
  failed += counts.failed
}
if (passed + failed === 0) throw new Error('no test was found')
console.log(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
