// A child process: the whole job, in memory or through pageout. Only the sort is not the same code for both.
import { runJob, runPhase } from '../shared/phases.mjs'
import { MemoryStore, PagedStore } from './columns.mjs'
import { readFlights } from './data.mjs'
import { delayPercentiles, digests, lookUpRows, originTotals, sumBatches, worstFlights } from './queries.mjs'
import { FLIGHTS } from './schema.mjs'
import { memorySort, mergeSort } from './sort.mjs'

/** @typedef {import('./columns.mjs').Table} Table */
/** @typedef {Record<string, Float64Array>} Answers */
/** @typedef {{ isPaged: boolean, rows: number, scratchDir?: string }} Job */

/**
 * @typedef {object} Result
 * @property {string[]} airports the airport of each code
 * @property {Answers} answers
 * @property {Record<string, string>} digests of each column of the sorted table
 * @property {number} heldPeakBytes
 * @property {import('../../dist/index.js').PagerStats | undefined} stats
 */

/** @param {Job} job */
function main({ isPaged, rows, scratchDir }) {
  if (!isPaged) return run(new MemoryStore(), memorySort, rows)
  return run(new PagedStore(scratchDir), mergeSort, rows)
}

/**
 * @param {any} store
 * @param {(table: any, store: any, progress: (done: number, total: number) => void) => Table} sort
 * @param {number} rows
 * @returns {Promise<Result>}
 */
async function run(store, sort, rows) {
  const { memory } = store
  const table = store.createTable(FLIGHTS, rows)
  const airports = await runPhase('load', progress => readFlights(table, rows, progress))
  const answers = await runPhase('ask', progress => ({
    rows: lookUpRows(table, memory, progress),
    batches: sumBatches(table, memory),
    origins: originTotals(table, memory, airports.length),
  }))
  const sorted = await runPhase('sort', progress => sort(table, store, progress))
  const checked = await runPhase('check', () => ({
    answers: { ...answers, percentiles: delayPercentiles(sorted, memory), worst: worstFlights(sorted, memory) },
    digests: digests(sorted),
  }))
  const result = { airports, ...checked, heldPeakBytes: memory.peakBytes, stats: store.stats() }
  for (const name of Object.keys(FLIGHTS)) table[name].dispose()
  if (memory.heldBytes !== 0) throw new Error(`${memory.heldBytes} bytes of row data were never released`)
  store.close()
  return result
}

await runJob(main)
