// A table in memory or paged out, behind one interface: the questions and the check cannot tell which they have.
//
//   length                   values so far
//   allocate(length)         an array to fill
//   append(array)            hand a filled array over; it must not be used afterwards
//   read(start, target)      fill `target` with the values from `start` on
//   readMany(ranges, target) fill `target` with several ranges, which must ascend
//   prefetch(ranges)         these ranges are read soon
//   drain()                  all values once, array by array, giving each one up: the last use of a column
//   dispose()                give all values up
import { Pager } from '../../dist/index.js'
import { formatMib, MIB } from '../shared/units.mjs'

/** @typedef {import('./schema.mjs').ArrayType} ArrayType */
/** @typedef {import('./schema.mjs').Values} Values */
/** @typedef {import('./schema.mjs').Schema} Schema */
/** @typedef {import('../../dist/index.js').Handle<any>} Handle */
/** @typedef {[start: number, length: number]} Range */
/** @typedef {MemoryColumn | PagedColumn} Column */
/** @typedef {Record<string, Column>} Table */

/**
 * What the job with pageout may hold of row data at any moment. The largest step, writing one sorted run of 2^18 rows,
 * holds three buffers of 8 bytes a row (6 MiB): the keys, a column as it was, the same column in order.
 */
export const BUDGET_BYTES = 8 * MIB

/** Allocates every typed array of a job, counts its bytes until it is released and refuses what goes past the limit. */
class Budget {
  #limitBytes
  #heldBytes = 0
  #peakBytes = 0
  /** @type {Map<Values, number>} a paged-out array has no length left, so its bytes are remembered here */
  #bytesOf = new Map()

  /** @param {number} limitBytes */
  constructor(limitBytes) {
    this.#limitBytes = limitBytes
  }

  get heldBytes() {
    return this.#heldBytes
  }

  get peakBytes() {
    return this.#peakBytes
  }

  /**
   * @template {ArrayType} T
   * @param {T} Type
   * @param {number} length
   * @returns {InstanceType<T>}
   */
  allocate(Type, length) {
    const bytes = length * Type.BYTES_PER_ELEMENT
    if (this.#heldBytes + bytes > this.#limitBytes) {
      const held = `${formatMib(this.#heldBytes)} of ${formatMib(this.#limitBytes)} held`
      throw new Error(`over the budget: ${formatMib(bytes)} asked, ${held}`)
    }
    const array = /** @type {InstanceType<T>} */ (new Type(length))
    this.#bytesOf.set(array, bytes)
    this.#heldBytes += bytes
    this.#peakBytes = Math.max(this.#peakBytes, this.#heldBytes)
    return array
  }

  /** @param {Values[]} arrays */
  release(...arrays) {
    for (const array of arrays) {
      const bytes = this.#bytesOf.get(array)
      if (bytes === undefined) throw new Error('released an array that the budget does not know')
      this.#bytesOf.delete(array)
      this.#heldBytes -= bytes
    }
  }
}

class MemoryColumn {
  #memory
  #values
  length = 0

  /**
   * @param {Budget} memory
   * @param {ArrayType} Type
   * @param {number} capacityRows
   */
  constructor(memory, Type, capacityRows) {
    this.#memory = memory
    this.#values = memory.allocate(Type, capacityRows)
  }

  /** All values, for code that is written for memory only. */
  get values() {
    return this.#values
  }

  /** @param {number} length */
  allocate(length) {
    return this.#values.subarray(this.length, this.length + length)
  }

  /** @param {Values} array the one that `allocate` gave, thus already in its place */
  append(array) {
    this.length += array.length
  }

  /**
   * @param {number} start
   * @param {Values} target
   */
  read(start, target) {
    target.set(this.#values.subarray(start, start + target.length))
  }

  /**
   * @param {Range[]} ranges
   * @param {Values} target
   */
  readMany(ranges, target) {
    let filled = 0
    for (const [start, length] of ranges) {
      target.set(this.#values.subarray(start, start + length), filled)
      filled += length
    }
  }

  /** @param {Range[]} _ranges are here already */
  prefetch(_ranges) {}

  *drain() {
    yield this.#values
    this.dispose()
  }

  dispose() {
    this.#memory.release(this.#values)
  }
}

class PagedColumn {
  #pager
  #memory
  #Type
  /** @type {{ handle: Handle, start: number }[]} */
  #chunks = []
  length = 0

  /**
   * @param {Pager} pager
   * @param {Budget} memory
   * @param {ArrayType} Type
   */
  constructor(pager, memory, Type) {
    this.#pager = pager
    this.#memory = memory
    this.#Type = Type
  }

  /** @param {number} length */
  allocate(length) {
    return this.#memory.allocate(this.#Type, length)
  }

  /** @param {Values} array */
  append(array) {
    const handle = this.#pager.pageout(array, { detach: 'required' })
    this.#chunks.push({ handle, start: this.length })
    this.length += handle.length
    this.#memory.release(array)
  }

  /**
   * @param {number} start
   * @param {Values} target
   */
  read(start, target) {
    this.readMany([[start, target.length]], target)
  }

  /**
   * @param {Range[]} ranges
   * @param {Values} target
   */
  readMany(ranges, target) {
    let filled = 0
    for (const { handle, ranges: inHandle, length } of this.#split(ranges)) {
      this.#pager.readAtMany(handle, inHandle, target.subarray(filled, filled + length))
      filled += length
    }
  }

  /** @param {Range[]} ranges */
  prefetch(ranges) {
    for (const { handle, ranges: inHandle } of this.#split(ranges)) this.#pager.prefetch(handle, inHandle)
  }

  *drain() {
    const buffer = this.allocate(Math.max(...this.#chunks.map(({ handle }) => handle.length)))
    for (const { handle } of this.#chunks) yield this.#pager.take(handle, buffer.subarray(0, handle.length))
    this.#memory.release(buffer)
    this.#chunks = []
  }

  dispose() {
    for (const { handle } of this.#chunks) handle.release()
    this.#chunks = []
  }

  /**
   * Row ranges as ranges of handles, one entry for each handle: a range may cross from one chunk into the next.
   * @param {Range[]} ranges
   */
  #split(ranges) {
    /** @type {{ handle: Handle, ranges: Range[], length: number }[]} */
    const parts = []
    for (let [start, length] of ranges) {
      for (let index = this.#indexOf(start); length > 0; index++) {
        const { handle, start: chunkStart } = this.#chunks[index]
        const offset = start - chunkStart
        const rows = Math.min(length, handle.length - offset)
        const last = parts.at(-1)
        if (last?.handle === handle) {
          last.ranges.push([offset, rows])
          last.length += rows
        } else {
          parts.push({ handle, ranges: [[offset, rows]], length: rows })
        }
        start += rows
        length -= rows
      }
    }
    return parts
  }

  /**
   * The index of the chunk that holds row `row`.
   * @param {number} row
   */
  #indexOf(row) {
    const behind = this.#chunks.findIndex(({ start }) => start > row)
    return (behind === -1 ? this.#chunks.length : behind) - 1
  }
}

/** Where the job without pageout keeps its rows. */
export class MemoryStore {
  memory = new Budget(Infinity)

  /**
   * @param {Schema} schema
   * @param {number} rows
   * @returns {Record<string, MemoryColumn>}
   */
  createTable(schema, rows) {
    return mapValues(schema, Type => new MemoryColumn(this.memory, Type, rows))
  }

  stats() {
    return undefined
  }

  close() {}
}

/** Where the job with pageout keeps them. */
export class PagedStore {
  memory = new Budget(BUDGET_BYTES)
  #pager

  /** @param {string | undefined} scratchDir */
  constructor(scratchDir) {
    // Spare buffers make reads faster, but would stay in the resident size that this example shows.
    this.#pager = new Pager({ scratchDir, spareBytes: 0 })
  }

  /**
   * @param {Schema} schema
   * @returns {Record<string, PagedColumn>}
   */
  createTable(schema) {
    return mapValues(schema, Type => new PagedColumn(this.#pager, this.memory, Type))
  }

  stats() {
    return this.#pager.stats()
  }

  close() {
    this.#pager.close()
  }
}

/**
 * @template A, B
 * @param {Record<string, A>} object
 * @param {(value: A) => B}  change
 * @returns {Record<string, B>}
 */
export function mapValues(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]))
}
