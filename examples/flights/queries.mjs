// Questions to a table. Each answer is an array of numbers, so that two jobs can be compared value by value.
import { seededRandom } from './random.mjs'
import { firstRowFrom, readOne, scan, sum } from './reading.mjs'
import { allocateRows, FLIGHTS } from './table.mjs'

/** @typedef {import('./budget.mjs').Budget} Budget */
/** @typedef {import('./budget.mjs').Values} Values */
/** @typedef {import('./columns.mjs').Range} Range */
/** @typedef {import('./table.mjs').Table} Table */
/** @typedef {import('./table.mjs').Column} Column */
/** @typedef {(done: number, total: number) => void} Progress */

const LOOK_UPS = 10_000
const BATCHES = 200
const RANGES_A_BATCH = 32
const ROWS_A_RANGE = 16
const ROW_RANGES = 200
const ROW_RANGE_LIMIT = 50_000
const SCAN_ROWS = 2 ** 16
const WEEK_MS = 7 * 24 * 60 * 60 * 1000
const PERCENTILES = [0, 1, 10, 25, 50, 75, 90, 99, 100]
const WORST_ROWS = 10
const COLUMN_NAMES = Object.keys(FLIGHTS)

/**
 * All values of single random rows.
 * @param {Table} table
 * @param {Budget} memory
 * @param {Progress} progress
 */
export function lookUpRows(table, memory, progress) {
  const random = seededRandom(1)
  const row = allocateRows(memory, FLIGHTS, 1)
  const answers = []
  for (let done = 1; done <= LOOK_UPS; done++) {
    const start = random(table.rows)
    for (const name of COLUMN_NAMES) answers.push(readOne(table.columns[name], start, row[name]))
    progress(done, LOOK_UPS)
  }
  memory.release(...Object.values(row))
  return Float64Array.from(answers)
}

/**
 * The sum of each column over batches of scattered short ranges.
 * @param {Table} table
 * @param {Budget} memory
 * @param {Progress} progress
 */
export function sumBatches(table, memory, progress) {
  const random = seededRandom(2)
  const rows = allocateRows(memory, FLIGHTS, RANGES_A_BATCH * ROWS_A_RANGE)
  const answers = []
  for (let done = 1; done <= BATCHES; done++) {
    const ranges = scatteredRanges(table.rows, random)
    for (const name of COLUMN_NAMES) table.columns[name].prefetch(ranges)
    for (const name of COLUMN_NAMES) answers.push(sumRanges(table.columns[name], ranges, rows[name]))
    progress(done, BATCHES)
  }
  memory.release(...Object.values(rows))
  return Float64Array.from(answers)
}

/**
 * The mean delay of each week, found by date.
 * @param {Table} table
 * @param {Budget} memory
 */
export function weeklyMeanDelays(table, memory) {
  const { date, delay } = table.columns
  const one = memory.allocate(Float64Array, 1)
  const firstMs = readOne(date, 0, one)
  const lastMs = readOne(date, table.rows - 1, one)
  const starts = /** @type {number[]} */ ([])
  for (let weekMs = firstMs; weekMs <= lastMs; weekMs += WEEK_MS) starts.push(firstRowFrom(date, weekMs, one))
  memory.release(one)
  return meanDelays(
    delay,
    starts.map((start, week) => [start, starts[week + 1] ?? table.rows]),
    memory,
  )
}

/**
 * The mean delay of random row ranges.
 * @param {Table} table
 * @param {Budget} memory
 */
export function rangeMeanDelays(table, memory) {
  const random = seededRandom(3)
  const ranges = Array.from({ length: ROW_RANGES }, () => {
    const start = random(table.rows)
    return [start, Math.min(table.rows, start + 1 + random(ROW_RANGE_LIMIT))]
  })
  return meanDelays(table.columns.delay, ranges, memory)
}

/**
 * The flights from each airport, then the mean delay of each.
 * @param {Table} table
 * @param {Budget} memory
 * @param {number} airports
 */
export function originTotals(table, memory, airports) {
  const flights = new Float64Array(airports)
  const delaySums = new Float64Array(airports)
  const buffers = allocateRows(memory, { origin: FLIGHTS.origin, delay: FLIGHTS.delay }, SCAN_ROWS)
  const delays = scan(table.columns.delay, 0, table.rows, buffers.delay)
  for (const origins of scan(table.columns.origin, 0, table.rows, buffers.origin)) {
    const delay = /** @type {Values} */ (delays.next().value)
    origins.forEach((/** @type {number} */ origin, /** @type {number} */ row) => {
      flights[origin]++
      delaySums[origin] += delay[row]
    })
  }
  memory.release(...Object.values(buffers))
  return Float64Array.from([...flights, ...delaySums.map((sum, origin) => sum / flights[origin])])
}

/**
 * Delays at fixed places of a table that is sorted by delay.
 * @param {Table} sorted
 * @param {Budget} memory
 */
export function delayPercentiles(sorted, memory) {
  const one = memory.allocate(Int32Array, 1)
  const answers = PERCENTILES.map(percent =>
    readOne(sorted.columns.delay, Math.floor(((sorted.rows - 1) * percent) / 100), one),
  )
  memory.release(one)
  return Float64Array.from(answers)
}

/**
 * The rows with the longest delays, the longest last.
 * @param {Table} sorted
 * @param {Budget} memory
 */
export function worstFlights(sorted, memory) {
  const rows = allocateRows(memory, FLIGHTS, WORST_ROWS)
  const answers = COLUMN_NAMES.flatMap(name => {
    sorted.columns[name].read(sorted.rows - WORST_ROWS, rows[name])
    return [...rows[name]]
  })
  memory.release(...Object.values(rows))
  return Float64Array.from(answers)
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
  return sum(values)
}

/**
 * @param {Column} delay
 * @param {number[][]} ranges [first row, row after the last]
 * @param {Budget} memory
 */
function meanDelays(delay, ranges, memory) {
  const buffer = memory.allocate(FLIGHTS.delay, SCAN_ROWS)
  const means = ranges.map(([start, end]) => {
    let total = 0
    for (const values of scan(delay, start, end, buffer)) total += sum(values)
    return total / (end - start)
  })
  memory.release(buffer)
  return Float64Array.from(means)
}
