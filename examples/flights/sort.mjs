// All rows with all columns in order of delay, ties by row, in two ways that must agree: the plain way, where everything
// is in memory, and an external merge sort, whose sorted runs and result are paged out.
import { COLUMN_NAMES, FLIGHTS } from './schema.mjs'

/** @typedef {import('./schema.mjs').ArrayType} ArrayType */
/** @typedef {import('./schema.mjs').Values} Values */
/** @typedef {import('./columns.mjs').Column} Column */
/** @typedef {import('./columns.mjs').Range} Range */
/** @typedef {import('./columns.mjs').Table} Table */
/** @typedef {import('./columns.mjs').MemoryStore} MemoryStore */
/** @typedef {import('./columns.mjs').PagedStore} PagedStore */
/** @typedef {PagedStore['memory']} Budget */
/** @typedef {(done: number, total: number) => void} Progress */

const RUN_ROWS = 2 ** 18
/** Rows merged at a time: as many of each column are read, put in order and paged out. */
const BLOCK_ROWS = 2 ** 17
/** Keys of a run that are in memory during the merge. */
const WINDOW_ROWS = 2 ** 13
const RUN = { key: Float64Array, ...FLIGHTS }

// Delay and row in one number: sorting the numbers sorts by delay, ties by row. A delay of 32 bits and a row of 22 make
// less than 2^53 either side of zero, which a double holds exactly.
const ROWS_LIMIT = 2 ** 22
const sortKey = (/** @type {number} */ delay, /** @type {number} */ row) => delay * ROWS_LIMIT + row
const rowOf = (/** @type {number} */ key) => key - Math.floor(key / ROWS_LIMIT) * ROWS_LIMIT

/**
 * How one sorts when everything fits in memory.
 * @param {ReturnType<MemoryStore['createTable']>} table
 * @param {MemoryStore} store
 * @param {Progress} progress
 */
export function memorySort(table, store, progress) {
  const rows = table.delay.length
  const keys = store.memory.allocate(Float64Array, rows)
  table.delay.values.forEach((/** @type {number} */ delay, /** @type {number} */ row) => {
    keys[row] = sortKey(delay, row)
  })
  keys.sort()
  const sorted = store.createTable(FLIGHTS, rows)
  for (const [index, name] of COLUMN_NAMES.entries()) {
    const { values } = table[name]
    const target = sorted[name].allocate(rows)
    for (let row = 0; row < rows; row++) target[row] = values[rowOf(keys[row])]
    sorted[name].append(target)
    progress(index + 1, COLUMN_NAMES.length)
  }
  store.memory.release(keys)
  return sorted
}

/**
 * @param {Table} table
 * @param {PagedStore} store
 * @param {Progress} progress
 */
export function mergeSort(table, store, progress) {
  const rows = table.delay.length
  const runs = writeRuns(table, store, done => progress(done, 2 * rows))
  const sorted = mergeRuns(runs, store, done => progress(rows + done, 2 * rows))
  for (const run of runs) for (const column of Object.values(run)) column.dispose()
  return sorted
}

/**
 * @param {Table} table
 * @param {PagedStore} store
 * @param {(doneRows: number) => void} progress
 */
function writeRuns(table, store, progress) {
  const rows = table.delay.length
  const buffer = store.memory.allocate(Float64Array, RUN_ROWS)
  const runs = []
  for (let start = 0; start < rows; start += RUN_ROWS) {
    const end = Math.min(start + RUN_ROWS, rows)
    runs.push(writeRun(table, start, end - start, store, buffer))
    progress(end)
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
  const run = store.createTable(RUN)
  const keys = run.key.allocate(rows)
  const delays = viewAs(buffer, FLIGHTS.delay, rows)
  table.delay.read(start, delays)
  for (let row = 0; row < rows; row++) keys[row] = sortKey(delays[row], start + row)
  keys.sort()
  for (const name of COLUMN_NAMES) {
    const values = viewAs(buffer, FLIGHTS[name], rows)
    table[name].read(start, values)
    const target = run[name].allocate(rows)
    for (let row = 0; row < rows; row++) target[row] = values[rowOf(keys[row]) - start]
    run[name].append(target)
  }
  run.key.append(keys)
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
  const rows = runs.reduce((sum, run) => sum + run.key.length, 0)
  const sorted = store.createTable(FLIGHTS)
  const keyColumns = runs.map(run => run.key)
  const keys = new KeyMerge(keyColumns, memory)
  const turnBuffer = memory.allocate(Uint8Array, BLOCK_ROWS)
  const valueBuffer = memory.allocate(Float64Array, BLOCK_ROWS)
  for (let done = 0; done < rows; done += BLOCK_ROWS) {
    const turns = turnBuffer.subarray(0, Math.min(BLOCK_ROWS, rows - done))
    const ranges = keys.merge(turns)
    for (const name of COLUMN_NAMES) {
      for (const [index, run] of runs.entries()) run[name].prefetch([ranges[index]])
    }
    for (const name of COLUMN_NAMES) {
      const from = runs.map(run => run[name])
      mergeColumn(from, ranges, turns, sorted[name], viewAs(valueBuffer, FLIGHTS[name], turns.length))
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

/** Merges the sorted key columns of several runs (at most 256, so that a run fits into a byte). */
class KeyMerge {
  #memory
  #cursors
  #heads
  #taken

  /**
   * @param {Column[]} columns
   * @param {Budget} memory
   */
  constructor(columns, memory) {
    this.#memory = memory
    this.#cursors = columns.map(column => new KeyCursor(column, memory.allocate(Float64Array, WINDOW_ROWS)))
    this.#heads = Float64Array.from(this.#cursors, cursor => cursor.next())
    this.#taken = columns.map(() => 0)
  }

  /**
   * Takes the next `turns.length` keys and writes down from which run each one came.
   * @param {Uint8Array} turns
   * @returns {Range[]} the rows taken from each run
   */
  merge(turns) {
    const lengths = new Uint32Array(this.#heads.length)
    for (let row = 0; row < turns.length; row++) {
      const run = indexOfLeast(this.#heads)
      turns[row] = run
      lengths[run]++
      this.#heads[run] = this.#cursors[run].next()
    }
    const ranges = this.#taken.map((start, run) => /** @type {Range} */ ([start, lengths[run]]))
    this.#taken = ranges.map(([start, length]) => start + length)
    return ranges
  }

  release() {
    this.#memory.release(...this.#cursors.map(cursor => cursor.buffer))
  }
}

/** Walks through one key column, a window at a time; the window after the current one is prefetched. */
class KeyCursor {
  #column
  #window
  #index = 0
  #readRows = 0

  /**
   * @param {Column} column
   * @param {Float64Array} buffer
   */
  constructor(column, buffer) {
    this.#column = column
    this.buffer = buffer
    this.#window = buffer.subarray(0, 0)
  }

  /** The next key, or infinity after the last one. */
  next() {
    if (this.#index === this.#window.length) this.#fill()
    return this.#window.length === 0 ? Infinity : this.#window[this.#index++]
  }

  #fill() {
    this.#window = this.buffer.subarray(0, this.#nextLength())
    this.#column.read(this.#readRows, this.#window)
    this.#readRows += this.#window.length
    this.#index = 0
    this.#column.prefetch([[this.#readRows, this.#nextLength()]])
  }

  #nextLength() {
    return Math.min(this.buffer.length, this.#column.length - this.#readRows)
  }
}

/**
 * Plain search: for a dozen runs it is as fast as a heap.
 * @param {Float64Array} heads
 */
function indexOfLeast(heads) {
  let least = 0
  for (let index = 1; index < heads.length; index++) if (heads[index] < heads[least]) least = index
  return least
}

/**
 * The memory of `array` as another type, so that columns of all types can take turns in one buffer.
 * @param {Values} array
 * @param {ArrayType} Type
 * @param {number} length
 */
function viewAs(array, Type, length) {
  return new Type(/** @type {ArrayBuffer} */ (array.buffer), 0, length)
}
