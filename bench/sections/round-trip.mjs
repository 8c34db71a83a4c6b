// Out and back again, by size.
import { LMDB } from '../lmdb.mjs'
import { check, KIB, MIB, randomBytes, sizeName } from '../payloads.mjs'
import {
  COPY,
  FILE_PER_PAYLOAD,
  OPEN_FILE,
  OPEN_FILE_FREED,
  OPEN_FILE_INTO_TARGET,
  PAGEOUT,
  PAGEOUT_BUDGET,
  PAGEOUT_INTO_TARGET,
  PAGEOUT_UNCHECKED,
  PAGEOUT_WITHOUT_SPARES,
  withStores,
} from '../stores.mjs'
import { inTurns, only, row, without } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Store} Store */
/** @typedef {import('../types.js').Table} Table */

const SIZES = [4 * KIB, 64 * KIB, MIB, 2 * MIB, 16 * MIB]
const VARIANTS_AND_RIVALS = [
  PAGEOUT_BUDGET,
  PAGEOUT_UNCHECKED,
  PAGEOUT_WITHOUT_SPARES,
  PAGEOUT_INTO_TARGET,
  FILE_PER_PAYLOAD,
  OPEN_FILE_FREED,
  OPEN_FILE,
  OPEN_FILE_INTO_TARGET,
  LMDB,
  COPY,
]
const REFERENCES = [FILE_PER_PAYLOAD, OPEN_FILE, OPEN_FILE_FREED, LMDB]
/** For so many timed trips, one goes before that nobody times; at least one does. */
const TRIPS_PER_WARM_UP_TRIP = 8

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  /** @type {Row[]} */
  const rows = []
  for (const payloadBytes of SIZES) {
    bench.say(`round trip: ${sizeName(payloadBytes)}`)
    rows.push(await measureSize(bench, payloadBytes))
  }
  return [
    {
      id: 'round-trip',
      title: 'Round trip',
      note: `Out and back; what came back goes out next. Results are memory of the caller's own each time, except where there is a target. "${OPEN_FILE_FREED}" frees what went out at once, as far as JavaScript can: to the allocator, which has it ready for the next result, while pageout offers it to the operating system (see "Resident memory that stays"). "${OPEN_FILE}" leaves it to the garbage collector. ${bench.lmdbNote}`,
      unit: 'us',
      better: 'less',
      subject: PAGEOUT,
      references: REFERENCES,
      plot: 'bars',
      rows: rows.map(row => without(row, [PAGEOUT_BUDGET])),
    },
    {
      id: 'round-trip-budget',
      title: 'Round trip within a memory budget',
      note: 'The same run. With a memory budget that has room for it, the memory that comes back is the memory that went out, and nothing is written.',
      unit: 'us',
      better: 'less',
      subject: PAGEOUT_BUDGET,
      references: [PAGEOUT, ...REFERENCES],
      plot: 'bars',
      rows: rows.map(row => only(row, [PAGEOUT_BUDGET, PAGEOUT, ...REFERENCES])),
    },
  ]
}

/**
 * @param {Bench} bench
 * @param {number} payloadBytes
 */
function measureSize(bench, payloadBytes) {
  const expected = randomBytes(payloadBytes)
  const batchBytes = (bench.quick ? 16 : 64) * MIB
  const trips = Math.min(2000, Math.max(4, batchBytes / payloadBytes))
  const candidates = [...bench.builds.map(({ name }) => name), ...VARIANTS_AND_RIVALS]
  return withStores(bench, candidates, payloadBytes, async stores => {
    const results = await inTurns(stores, bench.quick ? bench.rounds : 15, store => tripUs(store, expected, trips))
    return row(sizeName(payloadBytes), results, us => us)
  })
}

/**
 * The time of a round trip, of so many.
 *
 * @param {Store} store
 * @param {Uint8Array} expected
 * @param {number} trips
 */
export function tripUs(store, expected, trips) {
  store.prepare?.()
  /** @type {Uint8Array} */
  let bytes = new Uint8Array(expected)
  for (let trip = 0; trip <= trips / TRIPS_PER_WARM_UP_TRIP; trip++) bytes = store.back(store.out(bytes))
  const start = performance.now()
  for (let trip = 0; trip < trips; trip++) bytes = store.back(store.out(bytes))
  const elapsedMs = performance.now() - start
  check(bytes, expected, store.name)
  return (elapsedMs * 1000) / trips
}
