// New memory that goes out: the bench makes each array anew and uses nothing again that came back.
import { ask } from '../child.mjs'
import { LMDB } from '../lmdb.mjs'
import { KIB, MIB, sizeName } from '../payloads.mjs'
import {
  FILE_PER_PAYLOAD,
  OPEN_FILE,
  OPEN_FILE_FREED,
  PAGEOUT,
  PAGEOUT_UNCHECKED,
  PAGEOUT_WITHOUT_SPARES,
} from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').MeasuredTable} MeasuredTable */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */
/** @typedef {import('../types.js').Unit} Unit */
/** @typedef {import('./fresh-child.mjs').Answer} Answer */
/** @typedef {Map<string, Answer[]>} Results */

const SIZES = [4 * KIB, 64 * KIB, MIB, 2 * MIB, 16 * MIB]
const DROPPED_SIZES = [4 * KIB, 64 * KIB, 2 * MIB]
const BATCH_BYTES = 32 * MIB
const KEPT_BYTES = 128 * MIB
const VARIANTS_AND_RIVALS = [
  PAGEOUT_UNCHECKED,
  PAGEOUT_WITHOUT_SPARES,
  FILE_PER_PAYLOAD,
  OPEN_FILE_FREED,
  OPEN_FILE,
  LMDB,
]
const REFERENCES = [FILE_PER_PAYLOAD, OPEN_FILE, OPEN_FILE_FREED, LMDB]
const RESIDENT = /** @type {const} */ ({ unit: 'MiB', better: 'less' })

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  return [...(await outAndBack(bench)), await neverBack(bench)]
}

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
async function outAndBack(bench) {
  const results = await measureSizes(bench, SIZES, 'back')
  const batch = `Batches of ${sizeName(BATCH_BYTES)}: all arrays are made and filled, all go out, all come back, in the order in which they went. Time of one payload. Each candidate has a process of its own.`
  const rowsOf = (/** @type {(answer: Answer) => number} */ number, /** @type {Partial<Unit>} */ unit = {}) =>
    results.map(([size, answers]) => row(sizeName(size), answers, number, unit))
  return [
    table(
      'fresh-whole',
      'New memory is made, goes out and comes back',
      `${batch} ${bench.lmdbNote}`,
      rowsOf(({ wholeUs }) => wholeUs),
    ),
    table(
      'fresh-out',
      'New memory goes out',
      'The part of the same run.',
      rowsOf(({ outUs }) => outUs),
    ),
    table(
      'fresh-back',
      'New memory comes back',
      'The part of the same run.',
      rowsOf(({ backUs }) => backUs),
    ),
    table(
      'fresh-make',
      'New memory is made and filled',
      'The part of the same run. A candidate that gives memory to the operating system when it goes out, or leaves much to the garbage collector, makes the program pay here.',
      rowsOf(({ makeUs }) => makeUs),
    ),
    table(
      'fresh-resident',
      'Resident memory when all arrays are out',
      'The same run: what the process has more of than before its first batch. What candidates leave to the garbage collector or with the allocator is here.',
      rowsOf(({ residentMib }) => residentMib, RESIDENT),
    ),
  ]
}

/**
 * @param {Bench} bench
 * @returns {Promise<Table>}
 */
async function neverBack(bench) {
  const results = await measureSizes(bench, DROPPED_SIZES, 'dropped')
  const rows = results.flatMap(([size, answers]) => [
    row(`${sizeName(size)}, made, out and dropped`, answers, ({ wholeUs }) => wholeUs),
    row(`${sizeName(size)}, out`, answers, ({ outUs }) => outUs),
    row(`${sizeName(size)}, made and filled`, answers, ({ makeUs }) => makeUs),
    row(`${sizeName(size)}, resident`, answers, ({ residentMib }) => residentMib, RESIDENT),
  ])
  return table(
    'fresh-never-back',
    'New memory goes out and never comes back',
    `Batches of ${sizeName(BATCH_BYTES)} are made and go out; ${sizeName(KEPT_BYTES)} stay out, and the oldest are dropped unread, as by a cache: files do not grow for ever, and no time is that of the device. Time of one payload. Each candidate has a process of its own. ${bench.lmdbNote}`,
    rows,
  )
}

/**
 * @param {Bench} bench
 * @param {readonly number[]} sizes
 * @param {'back' | 'dropped'} work
 * @returns {Promise<[size: number, results: Results][]>}
 */
async function measureSizes(bench, sizes, work) {
  /** @type {[number, Results][]} */
  const results = []
  for (const payloadBytes of sizes) results.push([payloadBytes, await measureSize(bench, payloadBytes, work)])
  return results
}

/**
 * @param {Bench} bench
 * @param {number} payloadBytes
 * @param {'back' | 'dropped'} work
 * @returns {Promise<Results>}
 */
function measureSize({ builds, makers, folder, against, quick, rounds, say }, payloadBytes, work) {
  const names = [...builds.map(({ name }) => name), ...VARIANTS_AND_RIVALS].filter(name => name in makers)
  const batches = quick ? 2 : 6
  const asked = { folder, against, payloadBytes, work, batchBytes: BATCH_BYTES, batches, keptBytes: KEPT_BYTES }
  say(`fresh: ${sizeName(payloadBytes)}, ${work}`)
  return inTurns(
    names.map(name => ({ name })),
    rounds,
    ({ name }) => /** @type {Answer} */ (ask('fresh-child.mjs', { ...asked, name })),
    0,
  )
}

/**
 * @param {string} id
 * @param {string} title
 * @param {string} note
 * @param {Row[]} rows
 * @returns {MeasuredTable}
 */
function table(id, title, note, rows) {
  return { id, title, note, unit: 'us', better: 'less', subject: PAGEOUT, references: REFERENCES, plot: 'bars', rows }
}
