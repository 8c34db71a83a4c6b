// The two places where a job keeps its rows. A job uses a store by its verbs only and is the same for both.
import { Pager } from '../../dist/index.js'
import { BUDGET_BYTES, Budget } from './budget.mjs'
import { MemoryColumn, PagedColumn } from './columns.mjs'
import { memorySort } from './memory-sort.mjs'
import { mergeSort } from './merge-sort.mjs'
import { Table } from './table.mjs'

/** @typedef {import('./table.mjs').Schema} Schema */
/** @typedef {import('../../dist/index.js').PagerStats} PagerStats */
/** @typedef {PagerStats & { pagedOutBytes: number }} Paging with the bytes of all pageouts together */
/** @typedef {(done: number, total: number) => void} Progress */

export class MemoryStore {
  memory = new Budget(Infinity)

  /**
   * @param {Schema} schema
   * @param {number} rows
   */
  createTable(schema, rows) {
    return createTable(schema, rows, Type => new MemoryColumn(this.memory, Type, rows))
  }

  /**
   * A copy of the table in order of delay.
   * @param {Table} table
   * @param {Progress} progress
   */
  sort(table, progress) {
    return memorySort(table, this, progress)
  }

  paging() {
    return undefined
  }

  close() {}
}

export class PagedStore {
  memory = new Budget(BUDGET_BYTES)
  #pager
  #pagedOutBytes = 0

  /** @param {string | undefined} scratchDir */
  constructor(scratchDir) {
    // Spare buffers make reads faster, but would stay in the resident size that this example draws.
    this.#pager = new Pager({ scratchDir, spareBytes: 0 })
  }

  /**
   * @param {Schema} schema
   * @param {number} rows
   */
  createTable(schema, rows) {
    const count = (/** @type {number} */ bytes) => {
      this.#pagedOutBytes += bytes
    }
    return createTable(schema, rows, Type => new PagedColumn(this.#pager, this.memory, Type, count))
  }

  /**
   * A copy of the table in order of delay.
   * @param {Table} table
   * @param {Progress} progress
   */
  sort(table, progress) {
    return mergeSort(table, this, progress)
  }

  /** @returns {Paging} */
  paging() {
    return { ...this.#pager.stats(), pagedOutBytes: this.#pagedOutBytes }
  }

  close() {
    this.#pager.close()
  }
}

/**
 * @param {Schema} schema
 * @param {number} rows
 * @param {(Type: import('./budget.mjs').ArrayType) => import('./table.mjs').Column} createColumn
 */
function createTable(schema, rows, createColumn) {
  return new Table(Object.fromEntries(Object.entries(schema).map(([name, Type]) => [name, createColumn(Type)])), rows)
}
