/** @typedef {import('./budget.mjs').Budget} Budget */
/** @typedef {import('./columns.mjs').Range} Range */
/** @typedef {import('./table.mjs').Column} Column */

const WINDOW_ROWS = 2 ** 13

/** Merges the sorted key columns of several runs (at most 256, so that a run fits into a byte). */
export class KeyMerge {
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

/** Walks through one key column, a window at a time; the window after the current one is announced ahead. */
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
