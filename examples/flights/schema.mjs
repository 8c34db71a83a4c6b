/** @typedef {Float64ArrayConstructor | Int32ArrayConstructor | Uint16ArrayConstructor | Uint8ArrayConstructor} ArrayType */
/** @typedef {Float64Array | Int32Array | Uint16Array | Uint8Array} Values */
/** @typedef {Record<string, ArrayType>} Schema */

export const MAX_ROWS = 3_000_000

/**
 * The natural type of each column: milliseconds since the epoch need more than 32 bits, minutes and miles do not, and
 * there are fewer than 2^16 airports.
 * @type {Schema}
 */
export const FLIGHTS = {
  date: Float64Array,
  delay: Int32Array,
  distance: Int32Array,
  origin: Uint16Array,
  destination: Uint16Array,
}

export const COLUMN_NAMES = Object.keys(FLIGHTS)
export const ROW_BYTES = Object.values(FLIGHTS).reduce((sum, Type) => sum + Type.BYTES_PER_ELEMENT, 0)
