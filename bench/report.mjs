// The results as Markdown, and as a page that draws itself.
import { readFileSync } from 'node:fs'
import { ROOT } from '../scripts/prepare.mjs'

/** @typedef {import('./types.js').Cell} Cell */
/** @typedef {import('./types.js').MeasuredTable} MeasuredTable */
/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').Table} Table */

/** The page, which draws the results that stand in it. */
const TEMPLATE = `${ROOT}bench/report.html`
/** Where in the page the results go, and what stands there before. */
const PLACE = 'id="results">'
const NOTHING = 'null'

/** Three digits; more would be noise. */
export const DIGITS = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 })

/**
 * The empty page, read before anything is measured, so that a missing one does not cost the results.
 *
 * @returns {string}
 */
export function readTemplate() {
  const template = readFileSync(TEMPLATE, 'utf8')
  if (!template.includes(PLACE + NOTHING)) throw new Error(`${TEMPLATE} has no place for the results`)
  return template
}

/**
 * @param {string} template
 * @param {object} results
 */
export function page(template, results) {
  return template.replace(PLACE + NOTHING, () => PLACE + JSON.stringify(results).replaceAll('<', '\\u003c'))
}

/** @param {Record<string, string>} machine */
export function machineLines(machine) {
  return Object.entries(machine)
    .map(([name, value]) => `- ${name}: ${value}`)
    .join('\n')
}

/** @param {Table} table */
export function markdown(table) {
  const head = `## ${table.title}\n\n`
  if ('skipped' in table) return `${head}Skipped: ${table.skipped}\n`
  const lines = table.rows.flatMap(row =>
    row.cells.map(cell => line([...named(table, row, cell), ...numbers(cell), ...ahead(table, row, cell)])),
  )
  return `${head}${table.note}\n\n${heads(table)}\n${lines.join('\n')}\n`
}

/** @param {readonly string[]} fields */
const line = fields => `| ${fields.join(' | ')} |`

/** @param {MeasuredTable} table */
function heads({ subject, references }) {
  const ratio = references.length > 0 ? [`${subject} is ahead by`] : []
  const names = ['', 'candidate', 'min', 'median', 'max', ...ratio]
  return `${line(names)}\n${line(names.map((_, column) => (column < 2 ? '---' : '--:')))}`
}

/**
 * @param {MeasuredTable} table
 * @param {Row} row
 * @param {Cell} cell
 */
function named(table, row, cell) {
  return [
    `${row.name}, ${row.unit ?? table.unit}`,
    cell.candidate === table.subject ? `**${cell.candidate}**` : cell.candidate,
  ]
}

/** @param {Cell} cell */
const numbers = ({ min, median, max }) => [min, median, max].map(number => DIGITS.format(number))

/**
 * @param {MeasuredTable} table
 * @param {Row} row
 * @param {Cell} cell
 */
function ahead(table, row, { candidate }) {
  if (table.references.length === 0) return []
  return [candidate === table.subject ? '' : ratio(table, row, candidate)]
}

/**
 * The median of a candidate in a row, if it has one.
 *
 * @param {Row} row
 * @param {string} candidate
 */
export const median = (row, candidate) => row.cells.find(cell => cell.candidate === candidate)?.median

/**
 * How many times better the subject is than a candidate; below one it is behind.
 *
 * @param {MeasuredTable} table
 * @param {Row} row
 * @param {string} candidate
 */
export function ratio({ subject, better }, row, candidate) {
  const [ours, theirs] = [median(row, subject), median(row, candidate)]
  // Of nothing there is no ratio.
  if (!ours || !theirs) return ''
  return `${DIGITS.format((row.better ?? better) === 'less' ? theirs / ours : ours / theirs)} x`
}
