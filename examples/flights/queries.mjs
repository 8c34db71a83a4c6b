// Questions to a table. Each answer is an array of numbers, so that two jobs can be compared value by value.
import { createHash } from 'node:crypto'
import { seededRandom } from '../shared/random.mjs'
import { mapValues } from './columns.mjs'
import { COLUMN_NAMES, FLIGHTS } from './schema.mjs'

/** @typedef {import('./schema.mjs').Values} Values */
/** @typedef {import('./columns.mjs').Column} Column */
/** @typedef {import('./columns.mjs').Range} Range */
/** @typedef {import('./columns.mjs').Table} Table */
/** @typedef {import('./sort.mjs').Budget} Budget */

const LOOK_UPS = 10_000
const BATCHES = 200
const RANGES_A_BATCH = 32
const ROWS_A_RANGE = 16
const SCAN_ROWS = 2 ** 16
const PERCENTILES = [0, 1, 10, 25, 50, 75, 90, 99, 100]
const WORST_ROWS = 10

/**
 * All values of single random rows.
 * @param {Table} table
 * @param {Budget} memory
 * @param {(done: number, total: number) => void} progress
 */
export function lookUpRows(table, memory, progress) {
  const random = seededRandom(1)
  const row = allocateRows(memory, 1)
  const answers = []
  for (let done = 1; done <= LOOK_UPS; done++) {
    const start = random(table.delay.length)
    for (const name of COLUMN_NAMES) {
      table[name].read(start, row[name])
      answers.push(row[name][0])
    }
    progress(done, LOOK_UPS)
  }
  memory.release(...Object.values(row))
  return Float64Array.from(answers)
}

/**
 * The sum of each column over batches of scattered short ranges.
 * @param {Table} table
 * @param {Budget} memory
 */
export function sumBatches(table, memory) {
  const random = seededRandom(2)
  const rows = allocateRows(memory, RANGES_A_BATCH * ROWS_A_RANGE)
  const answers = []
  for (let batch = 0; batch < BATCHES; batch++) {
    const ranges = scatteredRanges(table.delay.length, random)
    for (const name of COLUMN_NAMES) table[name].prefetch(ranges)
    for (const name of COLUMN_NAMES) answers.push(sumRanges(table[name], ranges, rows[name]))
  }
  memory.release(...Object.values(rows))
  return Float64Array.from(answers)
}

/**
 * The flights from each airport, then the delays of all of them together.
 * @param {Table} table
 * @param {Budget} memory
 * @param {number} airports
 */
export function originTotals({ origin, delay }, memory, airports) {
  const totals = new Float64Array(2 * airports)
  const origins = memory.allocate(FLIGHTS.origin, SCAN_ROWS)
  const delays = memory.allocate(FLIGHTS.delay, SCAN_ROWS)
  for (let start = 0; start < origin.length; start += SCAN_ROWS) {
    const rows = Math.min(SCAN_ROWS, origin.length - start)
    origin.read(start, origins.subarray(0, rows))
    delay.read(start, delays.subarray(0, rows))
    for (let row = 0; row < rows; row++) {
      totals[origins[row]]++
      totals[airports + origins[row]] += delays[row]
    }
  }
  memory.release(origins, delays)
  return totals
}

/**
 * Delays at fixed places of a table that is sorted by delay.
 * @param {Table} sorted
 * @param {Budget} memory
 */
export function delayPercentiles({ delay }, memory) {
  const one = memory.allocate(FLIGHTS.delay, 1)
  const answers = PERCENTILES.map(percent => {
    delay.read(Math.floor(((delay.length - 1) * percent) / 100), one)
    return one[0]
  })
  memory.release(one)
  return Float64Array.from(answers)
}

/**
 * The rows with the longest delays, the longest last.
 * @param {Table} sorted
 * @param {Budget} memory
 */
export function worstFlights(sorted, memory) {
  const rows = allocateRows(memory, WORST_ROWS)
  const answers = COLUMN_NAMES.flatMap(name => {
    sorted[name].read(sorted[name].length - WORST_ROWS, rows[name])
    return [...rows[name]]
  })
  memory.release(...Object.values(rows))
  return Float64Array.from(answers)
}

/**
 * The SHA-256 of each column, row after row; uses the table up.
 * @param {Table} table
 */
export function digests(table) {
  return mapValues(table, column => {
    const hash = createHash('sha256')
    for (const values of column.drain()) hash.update(values)
    return hash.digest('hex')
  })
}

/**
 * One buffer for each column.
 * @param {Budget} memory
 * @param {number} rows
 * @returns {Record<string, Values>}
 */
function allocateRows(memory, rows) {
  return mapValues(FLIGHTS, Type => memory.allocate(Type, rows))
}

/**
 * Distinct ranges in ascending order.
 * @param {number} rows
 * @param {(limit: number) => number} random
 * @returns {Range[]}
 */
function scatteredRanges(rows, random) {
  const slots = new Set(Array.from({ length: RANGES_A_BATCH }, () => random(Math.floor(rows / ROWS_A_RANGE))))
  return [...slots].sort((a, b) => a - b).map(slot => [slot * ROWS_A_RANGE, ROWS_A_RANGE])
}

/**
 * @param {Column} column
 * @param {Range[]} ranges
 * @param {Values} buffer
 */
function sumRanges(column, ranges, buffer) {
  const values = buffer.subarray(0, ranges.length * ROWS_A_RANGE)
  column.readMany(ranges, values)
  return values.reduce((/** @type {number} */ sum, /** @type {number} */ value) => sum + value, 0)
}
