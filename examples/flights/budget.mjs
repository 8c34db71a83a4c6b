import { formatMib, MIB, nowMs } from './units.mjs'

/**
 * What the pageout job may hold of row data at any moment. The largest step, writing one sorted run of 2^18 rows,
 * holds three buffers of 8 bytes a row (6 MiB): the keys, a column as it was, the same column in order.
 */
export const BUDGET_BYTES = 8 * MIB

/** @typedef {Float64ArrayConstructor | Int32ArrayConstructor | Uint16ArrayConstructor | Uint8ArrayConstructor} ArrayType */
/** @typedef {Float64Array | Int32Array | Uint16Array | Uint8Array} Values */

/** Allocates every typed array of a job, counts its bytes until it is released and refuses what goes past the limit. */
export class Budget {
  #limitBytes
  #heldBytes = 0
  #peakBytes = 0
  /** @type {Map<Values, number>} a paged-out array has no length left, so its bytes are remembered here */
  #bytesOf = new Map()
  /** @type {[timeMs: number, heldBytes: number][]} */
  #history = []

  /** @param {number} limitBytes */
  constructor(limitBytes) {
    this.#limitBytes = limitBytes
    this.#change(0)
  }

  get heldBytes() {
    return this.#heldBytes
  }

  /** What was held so far. */
  measured() {
    return { heldPeakBytes: this.#peakBytes, heldHistory: [...this.#history] }
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
    this.#change(bytes)
    return array
  }

  /** @param {Values[]} arrays */
  release(...arrays) {
    for (const array of arrays) {
      const bytes = this.#bytesOf.get(array)
      if (bytes === undefined) throw new Error('released an array that the budget does not know')
      this.#bytesOf.delete(array)
      this.#change(-bytes)
    }
  }

  /** @param {number} bytes */
  #change(bytes) {
    this.#heldBytes += bytes
    this.#peakBytes = Math.max(this.#peakBytes, this.#heldBytes)
    this.#history.push([nowMs(), this.#heldBytes])
  }
}
