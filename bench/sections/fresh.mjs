// New memory that goes out: the bench makes each array anew and uses nothing again that came back.
import { LMDB } from '../lmdb.mjs'
import { check, checkStamp, KIB, MIB, randomBytes, sizeName, stamp } from '../payloads.mjs'
import {
  FILE_PER_PAYLOAD,
  OPEN_FILE,
  OPEN_FILE_FREED,
  PAGEOUT,
  PAGEOUT_UNCHECKED,
  PAGEOUT_WITHOUT_SPARES,
  withStores,
} from '../stores.mjs'
import { collectGarbage, inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').MeasuredTable} MeasuredTable */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Store} Store */
/** @typedef {import('../types.js').Table} Table */

/** @typedef {{ makeUs: number, outUs: number, backUs: number }} Times of one payload */

const SIZES = [4 * KIB, 64 * KIB, 2 * MIB, 16 * MIB]
const NEVER_BACK_BYTES = 64 * KIB
const BATCH_BYTES = 32 * MIB
const VARIANTS_AND_RIVALS = [
  PAGEOUT_UNCHECKED,
  PAGEOUT_WITHOUT_SPARES,
  FILE_PER_PAYLOAD,
  OPEN_FILE_FREED,
  OPEN_FILE,
  LMDB,
]
const REFERENCES = [FILE_PER_PAYLOAD, OPEN_FILE, OPEN_FILE_FREED, LMDB]
/** What a payload begins with, its number. */
const STAMP_BYTES = 8

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
  /** @type {{ make: Row[], out: Row[], back: Row[] }} */
  const rows = { make: [], out: [], back: [] }
  for (const payloadBytes of SIZES) {
    bench.say(`fresh: ${sizeName(payloadBytes)}`)
    const results = await measureSize(bench, payloadBytes)
    rows.make.push(row(sizeName(payloadBytes), results, ({ makeUs }) => makeUs))
    rows.out.push(row(sizeName(payloadBytes), results, ({ outUs }) => outUs))
    rows.back.push(row(sizeName(payloadBytes), results, ({ backUs }) => backUs))
  }
  const batch = `Batches of ${sizeName(BATCH_BYTES)}: all arrays are made and filled, all go out, all come back, in the order in which they went. Time of one payload.`
  return [
    table('fresh-out', 'New memory goes out', `${batch} ${bench.lmdbNote}`, rows.out),
    table('fresh-back', 'New memory comes back', `${batch} ${bench.lmdbNote}`, rows.back),
    table(
      'fresh-make',
      'New memory is made and filled',
      `${batch} A candidate that gives memory to the operating system when it goes out, or leaves much to the garbage collector, makes the program pay here.`,
      rows.make,
    ),
  ]
}

/**
 * @param {Bench} bench
 * @param {number} payloadBytes
 * @returns {Promise<Map<string, Times[]>>}
 */
function measureSize(bench, payloadBytes) {
  const expected = randomBytes(payloadBytes)
  return withStores(bench, candidates(bench), payloadBytes, stores =>
    inTurns(stores, bench.rounds, store => {
      collectGarbage()
      batchTimes(store, expected)
      return mean(Array.from({ length: bench.quick ? 1 : 4 }, () => batchTimes(store, expected)))
    }),
  )
}

/** @param {Bench} bench */
const candidates = bench => [...bench.builds.map(({ name }) => name), ...VARIANTS_AND_RIVALS]

/**
 * @param {Bench} bench
 * @returns {Promise<Table>}
 */
async function neverBack(bench) {
  const present = candidates(bench).filter(name => name in bench.makers)
  bench.say('fresh: out and never back')
  const results = await inTurns(
    present.map(name => ({ name })),
    bench.rounds,
    ({ name }) =>
      // Opened for each turn, so that no turn begins with the payloads of another.
      withStores(bench, [name], NEVER_BACK_BYTES, async ([store]) => {
        collectGarbage()
        return growthTimes(/** @type {Store} */ (store), bench.quick ? 1 : 4)
      }),
  )
  const size = sizeName(NEVER_BACK_BYTES)
  return table(
    'fresh-never-back',
    'New memory goes out and never comes back',
    `Batches of ${sizeName(BATCH_BYTES)} go out into a store that keeps them all. Time of one payload. ${bench.lmdbNote}`,
    [
      row(`${size}, out`, results, ({ outUs }) => outUs),
      row(`${size}, made and filled`, results, ({ makeUs }) => makeUs),
    ],
  )
}

/**
 * @param {Store} store
 * @param {number} batches
 */
function growthTimes(store, batches) {
  const expected = randomBytes(NEVER_BACK_BYTES)
  /** @type {unknown[]} */
  const kept = []
  const oneBatch = () => {
    const { handles, ...times } = makeAndPutOut(store, expected)
    kept.push(...handles)
    return times
  }
  oneBatch()
  const times = mean(Array.from({ length: batches }, oneBatch))
  // One is enough to know that the handles are still there: nobody has collected them meanwhile.
  verify([store.back(kept[0])], expected, store.name)
  return times
}

/**
 * @param {Store} store
 * @param {Uint8Array} expected
 * @returns {Times}
 */
function batchTimes(store, expected) {
  const { handles, ...times } = makeAndPutOut(store, expected)
  const start = performance.now()
  const back = handles.map(handle => store.back(handle))
  const backUs = perPayloadUs(start, back.length)
  verify(back, expected, store.name)
  return { ...times, backUs }
}

/**
 * @param {Store} store
 * @param {Uint8Array} expected
 */
function makeAndPutOut(store, expected) {
  store.prepare?.()
  const payloads = BATCH_BYTES / expected.byteLength
  const made = performance.now()
  const fresh = Array.from({ length: payloads }, () => new Uint8Array(expected))
  const makeUs = perPayloadUs(made, payloads)
  for (const [number, bytes] of fresh.entries()) stamp(bytes, number)
  fresh.reverse()
  const start = performance.now()
  const handles = []
  // Nothing holds an array any more once it is out.
  for (let bytes = fresh.pop(); bytes; bytes = fresh.pop()) handles.push(store.out(bytes))
  return { handles, makeUs, outUs: perPayloadUs(start, payloads) }
}

/**
 * @param {number} start
 * @param {number} payloads
 */
const perPayloadUs = (start, payloads) => ((performance.now() - start) * 1000) / payloads

/**
 * @param {readonly Uint8Array[]} back
 * @param {Uint8Array} expected
 * @param {string} candidate
 */
function verify(back, expected, candidate) {
  for (const [number, bytes] of back.entries()) {
    checkStamp(bytes, number, candidate)
    check(bytes.subarray(STAMP_BYTES), expected.subarray(STAMP_BYTES), candidate)
  }
}

/**
 * @template {Record<string, number>} T
 * @param {readonly T[]} all
 * @returns {T}
 */
function mean(all) {
  const keys = Object.keys(all[0] ?? {})
  const meanOf = (/** @type {string} */ key) => all.reduce((sum, one) => sum + (one[key] ?? NaN), 0) / all.length
  return /** @type {T} */ (Object.fromEntries(keys.map(key => [key, meanOf(key)])))
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
