// One column of a table, in memory or paged out, behind one interface: the jobs cannot tell which they have.
//
//   length                   values so far
//   allocate(length)         an array to fill
//   append(array)            hand a filled array over; it must not be used afterwards
//   read(start, target)      fill `target` with the values from `start` on
//   readMany(ranges, target) fill `target` with several ranges, which must ascend
//   prefetch(ranges)         these ranges are read soon
//   drain()                  all values once, array by array, giving each one up: the last use of a column
//   dispose()                give all values up

/** @typedef {import('./budget.mjs').Budget} Budget */
/** @typedef {import('./budget.mjs').ArrayType} ArrayType */
/** @typedef {import('./budget.mjs').Values} Values */
/** @typedef {import('../../dist/index.js').Pager} Pager */
/** @typedef {import('../../dist/index.js').Handle<any>} Handle */
/** @typedef {[start: number, length: number]} Range */

export class MemoryColumn {
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

export class PagedColumn {
  #pager
  #memory
  #Type
  #count
  /** @type {{ handle: Handle, start: number }[]} */
  #chunks = []
  length = 0

  /**
   * @param {Pager} pager
   * @param {Budget} memory
   * @param {ArrayType} Type
   * @param {(bytes: number) => void} count told the bytes of each pageout
   */
  constructor(pager, memory, Type, count) {
    this.#pager = pager
    this.#memory = memory
    this.#Type = Type
    this.#count = count
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
    this.#count(handle.byteLength)
    this.#memory.release(array)
  }

  /**
   * @param {number} start
   * @param {Values} target
   */
  read(start, target) {
    let filled = 0
    for (const {
      handle,
      ranges: [[offset, length]],
    } of this.#split([[start, target.length]])) {
      this.#pager.readAt(handle, offset, length, target.subarray(filled, filled + length))
      filled += length
    }
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
    for (const { handle } of this.#chunks) handle[Symbol.dispose]()
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
        const pieceLength = Math.min(length, chunkStart + handle.length - start)
        let part = parts.at(-1)
        if (part?.handle !== handle) {
          part = { handle, ranges: [], length: 0 }
          parts.push(part)
        }
        part.ranges.push([start - chunkStart, pieceLength])
        part.length += pieceLength
        start += pieceLength
        length -= pieceLength
      }
    }
    return parts
  }

  /**
   * The index of the chunk that holds row `row`.
   * @param {number} row
   */
  #indexOf(row) {
    let low = 0
    let high = this.#chunks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#chunks[middle].start <= row) low = middle
      else high = middle - 1
    }
    return low
  }
}
