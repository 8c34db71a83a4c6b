// How one sorts by delay when everything fits in memory: the reference that the merge sort must agree with.
import { rowOf, sortKey } from './sort-key.mjs'
import { FLIGHTS, Table } from './table.mjs'

/** @typedef {import('./columns.mjs').MemoryColumn} MemoryColumn */

/**
 * @param {Table} table of MemoryColumns
 * @param {import('./stores.mjs').MemoryStore} store
 * @param {(done: number, total: number) => void} progress
 */
export function memorySort(table, store, progress) {
  const columns = /** @type {Record<string, MemoryColumn>} */ (table.columns)
  const keys = store.memory.allocate(Float64Array, table.rows)
  columns.delay.values.forEach((/** @type {number} */ delay, /** @type {number} */ row) => {
    keys[row] = sortKey(delay, row)
  })
  keys.sort()
  const sorted = store.createTable(FLIGHTS, table.rows)
  const names = Object.keys(FLIGHTS)
  for (const [index, name] of names.entries()) {
    const values = columns[name].values
    const target = sorted.columns[name].allocate(table.rows)
    for (let row = 0; row < table.rows; row++) target[row] = values[rowOf(keys[row])]
    sorted.columns[name].append(target)
    progress(index + 1, names.length)
  }
  store.memory.release(keys)
  return sorted
}
