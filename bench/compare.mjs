// pageout beside its rivals, everything in one run: Markdown goes to stdout, the results to a JSON file and a page.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { buildIfMissing } from '../scripts/prepare.mjs'
import { loadLmdb } from './lmdb.mjs'
import { machine } from './machine.mjs'
import { commandOf, parseOptions, USAGE, UsageError } from './options.mjs'
import { machineLines, markdown, page, readTemplate } from './report.mjs'

/** @typedef {import('./types.js').Bench} Bench */
/** @typedef {import('./types.js').Build} Build */
/** @typedef {import('./types.js').Section} Section */
/** @typedef {import('./types.js').Table} Table */

/** @param {string[]} args */
async function main(args) {
  const options = parseOptions(args)
  if (options.help) return console.log(USAGE)
  const template = readTemplate()
  buildIfMissing()
  const lmdb = await loadLmdb()
  // What comes from the package can only be loaded once it is built.
  const { makeFolder } = await import('./folder.mjs')
  const { MAKERS } = await import('./stores.mjs')
  const { loadBuilds, makersOf } = await import('./builds.mjs')
  const builds = await loadBuilds(options.against)
  const { folder, fileSystem } = makeFolder()
  const bench = {
    quick: options.quick || options.smoke,
    rounds: roundsOf(options),
    folder,
    builds,
    against: options.against,
    makers: { ...MAKERS, ...makersOf(builds), ...lmdb.makers },
    lmdbNote: lmdb.note,
    say: (/** @type {string} */ text) => console.error(text),
  }
  const about = machine(fileSystem, lmdb.version)
  const command = commandOf(options)
  console.log(`# pageout in Node\n\n\`${command}\`\n\n${machineLines(about)}\n`)
  const tables = await measure(bench, options.ids)
  const results = { title: 'pageout in Node', command, machine: about, tables }
  write(options.json, `${JSON.stringify(results, null, 2)}\n`)
  write(options.html, page(template, results))
}

/** @param {import('./options.mjs').Options} options */
function roundsOf({ quick, smoke }) {
  if (smoke) return 1
  return quick ? 3 : 7
}

/**
 * @param {Bench} bench
 * @param {readonly string[]} ids
 */
async function measure(bench, ids) {
  /** @type {Table[]} */
  const tables = []
  for (const id of ids) {
    const start = performance.now()
    const { run } = /** @type {Section} */ (await import(`./sections/${id}.mjs`))
    for (const measured of await run(bench)) {
      const table = withBuilds(measured, bench.builds)
      tables.push(table)
      console.log(markdown(table))
    }
    bench.say(`${id}: ${((performance.now() - start) / 1000).toFixed(1)} s`)
  }
  return tables
}

/**
 * The table with every other build that took part as a reference.
 *
 * @param {Table} table
 * @param {readonly Build[]} builds
 * @returns {Table}
 */
function withBuilds(table, [, ...others]) {
  if ('skipped' in table) return table
  const present = new Set(table.rows.flatMap(({ cells }) => cells.map(({ candidate }) => candidate)))
  const names = others.flatMap(({ name, promisedName }) => [name, promisedName]).filter(name => present.has(name))
  return { ...table, references: [...table.references, ...names] }
}

/**
 * @param {string} path
 * @param {string} text
 */
function write(path, text) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  console.log(path)
}

/** @param {Error} error */
function fail(error) {
  if (!(error instanceof UsageError)) throw error
  console.error(`${error.message}\n\n${USAGE}`)
  process.exitCode = 2
}

await main(process.argv.slice(2)).catch(fail)
