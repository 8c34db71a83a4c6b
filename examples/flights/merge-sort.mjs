// External merge sort by delay: sorted runs are paged out, then merged through small buffers, and the result is paged out
// too. Rows move with all their columns.
import { KeyMerge } from './key-merge.mjs'
import { rowOf, sortKey } from './sort-key.mjs'
import { FLIGHTS, viewAs } from './table.mjs'

/** @typedef {import('./budget.mjs').Values} Values */
/** @typedef {import('./columns.mjs').Range} Range */
/** @typedef {import('./table.mjs').Table} Table */
/** @typedef {import('./table.mjs').Column} Column */
/** @typedef {import('./stores.mjs').PagedStore} PagedStore */
/** @typedef {(done: number, total: number) => void} Progress */

const RUN_ROWS = 2 ** 18
/** Rows merged at a time: as many of each column are read, put in order and paged out. */
const BLOCK_ROWS = 2 ** 17
const RUN = { key: Float64Array, ...FLIGHTS }
const COLUMN_NAMES = Object.keys(FLIGHTS)

/**
 * @param {Table} table
 * @param {PagedStore} store
 * @param {Progress} progress
 */
export function mergeSort(table, store, progress) {
  const runs = writeRuns(table, store, done => progress(done, 2 * table.rows))
  const sorted = mergeRuns(runs, store, done => progress(table.rows + done, 2 * table.rows))
  for (const run of runs) run.dispose()
  return sorted
}

/**
 * @param {Table} table
 * @param {PagedStore} store
 * @param {(doneRows: number) => void} progress
 */
function writeRuns(table, store, progress) {
  const buffer = store.memory.allocate(Float64Array, RUN_ROWS)
  const runs = []
  for (let start = 0; start < table.rows; start += RUN_ROWS) {
    const rows = Math.min(RUN_ROWS, table.rows - start)
    runs.push(writeRun(table, start, rows, store, buffer))
    progress(start + rows)
  }
  store.memory.release(buffer)
  return runs
}

/**
 * @param {Table} table
 * @param {number} start
 * @param {number} rows
 * @param {PagedStore} store
 * @param {Float64Array} buffer
 */
function writeRun(table, start, rows, store, buffer) {
  const run = store.createTable(RUN, rows)
  const keys = run.columns.key.allocate(rows)
  const delays = viewAs(buffer, FLIGHTS.delay, rows)
  table.columns.delay.read(start, delays)
  for (let row = 0; row < rows; row++) keys[row] = sortKey(delays[row], start + row)
  keys.sort()
  for (const name of COLUMN_NAMES) {
    const values = viewAs(buffer, FLIGHTS[name], rows)
    table.columns[name].read(start, values)
    const target = run.columns[name].allocate(rows)
    for (let row = 0; row < rows; row++) target[row] = values[rowOf(keys[row]) - start]
    run.columns[name].append(target)
  }
  run.columns.key.append(keys)
  return run
}

/**
 * Merges block by block: first the keys, which tell whose turn it is, then each column with one read for each run, since
 * the rows that a run gives to a block are neighbours.
 * @param {Table[]} runs
 * @param {PagedStore} store
 * @param {(doneRows: number) => void} progress
 */
function mergeRuns(runs, store, progress) {
  const { memory } = store
  const rows = runs.reduce((sum, run) => sum + run.rows, 0)
  const sorted = store.createTable(FLIGHTS, rows)
  const keys = new KeyMerge(
    runs.map(run => run.columns.key),
    memory,
  )
  const turnBuffer = memory.allocate(Uint8Array, BLOCK_ROWS)
  const valueBuffer = memory.allocate(Float64Array, BLOCK_ROWS)
  for (let done = 0; done < rows; done += BLOCK_ROWS) {
    const turns = turnBuffer.subarray(0, Math.min(BLOCK_ROWS, rows - done))
    const ranges = keys.merge(turns)
    for (const name of COLUMN_NAMES) {
      for (const [index, run] of runs.entries()) run.columns[name].prefetch([ranges[index]])
    }
    for (const name of COLUMN_NAMES) {
      const from = runs.map(run => run.columns[name])
      mergeColumn(from, ranges, turns, sorted.columns[name], viewAs(valueBuffer, FLIGHTS[name], turns.length))
    }
    progress(done + turns.length)
  }
  keys.release()
  memory.release(turnBuffer, valueBuffer)
  return sorted
}

/**
 * @param {Column[]} from one column in each run
 * @param {Range[]} ranges the rows of each run that belong to this block
 * @param {Uint8Array} turns the run of each row of the block
 * @param {Column} to
 * @param {Values} values where the ranges are read to, one after the other
 */
function mergeColumn(from, ranges, turns, to, values) {
  const next = new Uint32Array(from.length)
  let filled = 0
  ranges.forEach(([start, length], run) => {
    from[run].read(start, values.subarray(filled, filled + length))
    next[run] = filled
    filled += length
  })
  const target = to.allocate(turns.length)
  for (let row = 0; row < turns.length; row++) target[row] = values[next[turns[row]]++]
  to.append(target)
}
