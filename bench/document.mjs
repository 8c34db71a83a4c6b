// Writes results of the benches into the documents:
//   node bench/document.mjs target/bench/rust.json target/bench/node-20.json target/bench/node-24.json
// Each becomes a file of tables in docs/performance, and what it reached of the goals a part of docs/performance.md.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { ROOT } from '../scripts/prepare.mjs'
import { goalsMarkdown } from './reached.mjs'
import { DIGITS, machineLines, median, ratio } from './report.mjs'

/** @typedef {import('./types.js').Results} Results */
/** @typedef {import('./types.js').Table} Table */

const FOLDER = `${ROOT}docs/performance`
const PAGE = `${ROOT}docs/performance.md`
/** The round trips with and without a budget, of each bench. */
const ROUND_TRIPS = ['budget-round-trip', 'round-trip-budget']

/** @param {Results} results */
const nameOf = ({ machine }) => (machine.node === undefined ? 'Rust' : `Node ${Number.parseInt(machine.node, 10)}`)
/** @param {Results} results */
const fileOf = results => `${nameOf(results).toLowerCase().replace(' ', '-')}.md`

/** @param {Results} results */
function tablesDocument(results) {
  const { command, machine, tables } = results
  const head = `# Results in ${nameOf(results)}\n\nWritten by \`node bench/document.mjs\` from what \`${command}\` left. Medians.\n\n${machineLines(machine)}\n`
  return [head, ...tables.map(shortMarkdown)].join('\n')
}

/**
 * Medians, a column for each row of the full table.
 *
 * @param {Table} table
 */
function shortMarkdown(table) {
  const head = `## ${table.title}\n\n`
  if ('skipped' in table) return `${head}Skipped: ${table.skipped}\n`
  return `${head}${table.note}\n\n${mediansOf(table, table.references)}\n`
}

/**
 * @param {import('./types.js').MeasuredTable} table
 * @param {readonly string[]} references whose ratios are there too
 */
function mediansOf(table, references) {
  const { rows, unit, subject } = table
  const candidates = [...new Set(rows.flatMap(row => row.cells.map(cell => cell.candidate)))]
  const columns = rows.map(row => (row.unit === undefined || row.unit === unit ? row.name : `${row.name}, ${row.unit}`))
  const medians = candidates.map(name => [
    name === subject ? `**${name}**` : name,
    ...rows.map(row => number(median(row, name))),
  ])
  const ratios = references.map(name => [`${subject} against ${name}`, ...rows.map(row => ratio(table, row, name))])
  const lines = [[unit, ...columns], ['---', ...columns.map(() => '--:')], ...medians, ...ratios]
  return lines.map(fields => `| ${fields.join(' | ')} |`).join('\n')
}

/** @param {number | undefined} value */
const number = value => (value === undefined ? '' : DIGITS.format(value))

/** @param {Results} results */
function goalsPart(results) {
  const file = fileOf(results)
  return `### ${nameOf(results)}\n\n\`${results.command}\`; all its tables: [${file}](performance/${file})\n\n${goalsMarkdown(results)}\n`
}

/** @param {Results} results */
function roundTripsPart(results) {
  const { date, machine, kernel } = results.machine
  const table = results.tables.find(({ id }) => ROUND_TRIPS.includes(id))
  if (!table || 'skipped' in table) throw new Error(`the results in ${nameOf(results)} have no round trips`)
  return `${nameOf(results)}, out and back, ${machine}, ${kernel}, ${date}:\n\n${mediansOf(table, [])}\n`
}

/**
 * The page with another part between the lines that name it.
 *
 * @param {string} page
 * @param {string} name
 * @param {string} part
 */
function withPart(page, name, part) {
  const [begin, end] = [`<!-- ${name}: written by bench/document.mjs -->`, `<!-- end of ${name} -->`]
  const [before, rest] = page.split(begin)
  const after = rest?.split(end)[1]
  if (after === undefined) throw new Error(`${PAGE} has no place for the ${name}`)
  return `${before}${begin}\n\n${part}\n${end}${after}`
}

const runs = process.argv.slice(2).map(path => /** @type {Results} */ (JSON.parse(readFileSync(path, 'utf8'))))
const parts = { 'round trips': runs.map(roundTripsPart).join('\n'), goals: runs.map(goalsPart).join('\n') }
const page = Object.entries(parts).reduce((page, part) => withPart(page, ...part), readFileSync(PAGE, 'utf8'))
mkdirSync(FOLDER, { recursive: true })
for (const results of runs) writeFileSync(`${FOLDER}/${fileOf(results)}`, tablesDocument(results))
writeFileSync(PAGE, page)
