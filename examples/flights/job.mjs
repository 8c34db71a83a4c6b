// A child process: the whole job on one store. The code is the same for both stores.
import { createHash } from 'node:crypto'
import { loadFlights } from './data.mjs'
import { runPhase, sendLast, settledRssBytes } from './phases.mjs'
import {
  delayPercentiles,
  lookUpRows,
  originTotals,
  rangeMeanDelays,
  sumBatches,
  weeklyMeanDelays,
  worstFlights,
} from './queries.mjs'
import { MemoryStore, PagedStore } from './stores.mjs'
import { FLIGHTS } from './table.mjs'
import { nowMs } from './units.mjs'

/** @typedef {import('./budget.mjs').Budget} Budget */
/** @typedef {import('./table.mjs').Table} Table */
/** @typedef {MemoryStore | PagedStore} Store */
/** @typedef {Record<string, Float64Array>} Answers */

/**
 * @typedef {object} Result
 * @property {string[]} airports the airport of each code
 * @property {Answers} answers
 * @property {Record<string, string>} digests of each column of the sorted table
 * @property {number} rssBeforeBytes
 * @property {number} rssAfterBytes
 * @property {number} endMs when the last measurement was made; what comes after is cleaning up
 * @property {number} heldPeakBytes
 * @property {[timeMs: number, heldBytes: number][]} heldHistory
 * @property {import('./stores.mjs').Paging | undefined} paging
 */

/** @typedef {{ store: 'memory' | 'pageout', rows: number, scratchDir?: string }} Job */

/**
 * @param {Store} store
 * @param {number} rows
 * @returns {Promise<Result>}
 */
async function runJob(store, rows) {
  const { memory } = store
  const rssBeforeBytes = await settledRssBytes()
  const table = store.createTable(FLIGHTS, rows)
  const airports = await runPhase('load', progress => loadFlights(table, progress))
  const lookUps = await runPhase('look up', progress => lookUp(table, memory, progress))
  const aggregates = await runPhase('aggregate', () => aggregate(table, memory, airports.length))
  const sorted = await runPhase('sort', progress => store.sort(table, progress))
  const [extremes, digests] = await runPhase('check', () => checkSorted(sorted, memory))
  const rssAfterBytes = await settledRssBytes()
  const measured = { rssBeforeBytes, rssAfterBytes, endMs: nowMs(), ...memory.measured(), paging: store.paging() }
  table.dispose()
  if (memory.heldBytes !== 0) throw new Error(`${memory.heldBytes} bytes of row data were never released`)
  return { airports, answers: { ...lookUps, ...aggregates, ...extremes }, digests, ...measured }
}

/**
 * @param {Table} table
 * @param {Budget} memory
 * @param {(done: number, total: number) => void} progress
 * @returns {Answers}
 */
function lookUp(table, memory, progress) {
  return { rows: lookUpRows(table, memory, progress), batches: sumBatches(table, memory, progress) }
}

/**
 * @param {Table} table
 * @param {Budget} memory
 * @param {number} airports
 * @returns {Answers}
 */
function aggregate(table, memory, airports) {
  return {
    weeks: weeklyMeanDelays(table, memory),
    ranges: rangeMeanDelays(table, memory),
    origins: originTotals(table, memory, airports),
  }
}

/**
 * @param {Table} sorted used up
 * @param {Budget} memory
 * @returns {[Answers, Record<string, string>]}
 */
function checkSorted(sorted, memory) {
  const answers = { percentiles: delayPercentiles(sorted, memory), worst: worstFlights(sorted, memory) }
  return [answers, digestColumns(sorted)]
}

/**
 * The SHA-256 of each column, row after row; uses the table up.
 * @param {Table} sorted
 */
function digestColumns(sorted) {
  return Object.fromEntries(
    Object.entries(sorted.columns).map(([name, column]) => {
      const hash = createHash('sha256')
      for (const values of column.drain()) hash.update(values)
      return [name, hash.digest('hex')]
    }),
  )
}

/** @param {Job} job */
async function main({ store: name, rows, scratchDir }) {
  try {
    const store = name === 'pageout' ? new PagedStore(scratchDir) : new MemoryStore()
    const result = await runJob(store, rows)
    store.close()
    sendLast({ type: 'result', result })
  } catch (error) {
    const { message, stack = message, code } = /** @type {NodeJS.ErrnoException} */ (error)
    sendLast({ type: 'failure', message: code ? message : stack, code })
  }
}

await main(JSON.parse(process.argv[2]))
