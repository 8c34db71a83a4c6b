/** @typedef {import('./budget.mjs').Budget} Budget */
/** @typedef {import('./budget.mjs').ArrayType} ArrayType */
/** @typedef {import('./budget.mjs').Values} Values */
/** @typedef {import('./columns.mjs').MemoryColumn | import('./columns.mjs').PagedColumn} Column */
/** @typedef {Record<string, ArrayType>} Schema */

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

export class Table {
  /**
   * @param {Record<string, Column>} columns
   * @param {number} rows
   */
  constructor(columns, rows) {
    this.columns = columns
    this.rows = rows
  }

  dispose() {
    for (const column of Object.values(this.columns)) column.dispose()
  }
}

/** @param {Schema} schema */
export function rowBytes(schema) {
  return Object.values(schema).reduce((sum, Type) => sum + Type.BYTES_PER_ELEMENT, 0)
}

/**
 * One buffer for each column.
 * @param {Budget} memory
 * @param {Schema} schema
 * @param {number} rows
 * @returns {Record<string, Values>}
 */
export function allocateRows(memory, schema, rows) {
  return Object.fromEntries(Object.entries(schema).map(([name, Type]) => [name, memory.allocate(Type, rows)]))
}

/**
 * The memory of `array` as another type, so that columns of all types can take turns in one buffer.
 * @param {Values} array
 * @param {ArrayType} Type
 * @param {number} length
 */
export function viewAs(array, Type, length) {
  return new Type(/** @type {ArrayBuffer} */ (array.buffer), 0, length)
}
