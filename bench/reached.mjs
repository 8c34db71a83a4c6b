// What a run reached of what is asked, as short Markdown tables:
//   node bench/reached.mjs target/bench/rust.json target/bench/node.json
// A goal that names what a run does not have is an error, so that goals and benches stay together.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { NODE_GOALS, RUST_GOALS } from './goals.mjs'
import { DIGITS, median } from './report.mjs'

/** @typedef {import('./types.js').Goal} Goal */
/** @typedef {import('./types.js').MeasuredTable} MeasuredTable */
/** @typedef {import('./types.js').Results} Results */

/**
 * A row for each goal; what was missed is bold.
 *
 * @param {Results} results
 */
export function goalsMarkdown(results) {
  const { node } = results.machine
  const goals = node === undefined ? RUST_GOALS : NODE_GOALS
  const tables = new Map(results.tables.map(table => [table.id, table]))
  const lines = goals.map(goal => {
    const limit = limitOf(goal, Number.parseInt(node ?? '', 10))
    return `| ${goal.what} | ${asked(goal, limit)} | ${reached(goal, limit, tables.get(goal.table))} |`
  })
  return ['| medians | asked | measured |', '| --- | --- | --- |', ...lines].join('\n')
}

/**
 * @param {Goal} goal
 * @param {number} node the major version
 */
function limitOf({ atMost, atLeast }, node) {
  const limit = atMost ?? atLeast
  return typeof limit === 'function' ? limit(node) : limit
}

/**
 * @param {Goal} goal
 * @param {number} limit
 */
function asked(goal, limit) {
  return `at ${isBoundedAbove(goal) ? 'most' : 'least'} ${limit} ${unitOf(goal)}`
}

/** @param {Goal} goal */
const isBoundedAbove = ({ atMost }) => atMost !== undefined
/** @param {Goal} goal */
const unitOf = ({ unit }) => unit ?? 'x'

/**
 * @param {Goal} goal
 * @param {number} limit
 * @param {import('./types.js').Table | undefined} table
 */
function reached(goal, limit, table) {
  if (!table) throw new Error(`no table "${goal.table}" for the goal "${goal.what}"`)
  if ('skipped' in table) return `not measured: ${table.skipped}`
  const names = goal.rows ?? table.rows.map(({ name }) => name)
  const values = names.map(name => {
    const value = measuredBy(goal, table, name)
    const isReached = isBoundedAbove(goal) ? value <= limit : value >= limit
    const text = isReached ? DIGITS.format(value) : `**${DIGITS.format(value)}**`
    return names.length > 1 ? `${name} ${text}` : text
  })
  return `${values.join(', ')} ${unitOf(goal)}`
}

/**
 * @param {Goal} goal
 * @param {MeasuredTable} table
 * @param {string} rowName
 */
function measuredBy(goal, table, rowName) {
  const { measure, ours = table.subject, against = ours, againstRow = rowName } = goal
  const own = medianOf(table, rowName, ours)
  if (measure === 'value') return own
  const other = medianOf(table, againstRow, against)
  if (measure === 'difference') return own - other
  const isMoreBetter = (rowOf(table, rowName).better ?? table.better) === 'more'
  return (measure === 'ahead') === isMoreBetter ? own / other : other / own
}

/**
 * @param {MeasuredTable} table
 * @param {string} rowName
 * @param {string} candidate
 */
function medianOf(table, rowName, candidate) {
  const value = median(rowOf(table, rowName), candidate)
  if (value === undefined) throw new Error(`"${table.id}" has no "${candidate}" in the row "${rowName}"`)
  return value
}

/**
 * @param {MeasuredTable} table
 * @param {string} rowName
 */
function rowOf(table, rowName) {
  const row = table.rows.find(({ name }) => name === rowName)
  if (!row) throw new Error(`"${table.id}" has no row "${rowName}"`)
  return row
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const path of process.argv.slice(2)) console.log(`${goalsMarkdown(JSON.parse(readFileSync(path, 'utf8')))}\n`)
}
