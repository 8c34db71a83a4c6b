// The results of a bench as short Markdown tables: medians, a column for each row of the full ones. For documents:
//   node bench/tables.mjs target/bench/rust.json target/bench/node.json
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

/** @typedef {import('./types.js').MeasuredTable} MeasuredTable */
/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').Table} Table */

/** Three digits; more would be noise. */
const DIGITS = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 })

/** @param {Table} table */
export function shortMarkdown(table) {
  const head = `### ${table.title}\n\n`
  if ('skipped' in table) return `${head}Skipped: ${table.skipped}\n`
  const { rows, unit, subject, references } = table
  const candidates = [...new Set(rows.flatMap(row => row.cells.map(cell => cell.candidate)))]
  const columns = rows.map(row => (row.unit === undefined || row.unit === unit ? row.name : `${row.name}, ${row.unit}`))
  const medians = candidates.map(name => [
    name === subject ? `**${name}**` : name,
    ...rows.map(row => number(median(row, name))),
  ])
  const ratios = references.map(name => [`${subject} against ${name}`, ...rows.map(row => ahead(table, row, name))])
  const lines = [[unit, ...columns], ['---', ...columns.map(() => '--:')], ...medians, ...ratios]
  return `${head}${table.note}\n\n${lines.map(fields => `| ${fields.join(' | ')} |`).join('\n')}\n`
}

/**
 * @param {Row} row
 * @param {string} candidate
 */
const median = (row, candidate) => row.cells.find(cell => cell.candidate === candidate)?.median

/** @param {number | undefined} value */
const number = value => (value === undefined ? '' : DIGITS.format(value))

/**
 * How many times better the subject is; below one it is behind.
 *
 * @param {MeasuredTable} table
 * @param {Row} row
 * @param {string} reference
 */
function ahead({ subject, better }, row, reference) {
  const [ours, theirs] = [median(row, subject), median(row, reference)]
  if (!ours || !theirs) return ''
  return `${DIGITS.format((row.better ?? better) === 'less' ? theirs / ours : ours / theirs)} x`
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const path of process.argv.slice(2)) {
    const { title, command, machine, tables } = JSON.parse(readFileSync(path, 'utf8'))
    console.log(`## ${title}\n\n\`${command}\`: ${Object.values(machine).join('; ')}\n`)
    for (const table of tables) console.log(shortMarkdown(table))
  }
}
