// Calls that return promises, many at a time: how fast they are, and what the rest of the process notices.
import { check, KIB, MIB, randomBytes, sizeName } from '../payloads.mjs'
import {
  PROMISED_FILE_PER_PAYLOAD,
  PROMISED_OPEN_FILE,
  PROMISED_PAGEOUT,
  withPromiseStores,
} from '../promise-stores.mjs'
import { inTurns, row } from '../turns.mjs'
import { besideLargeCalls } from './beside-large-calls.mjs'
import { smallReads } from './small-reads.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').PromiseStore} PromiseStore */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

const IN_FLIGHT = 64
const SIZES = [4 * KIB, 64 * KIB, 2 * MIB]

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  return [await throughput(bench), ...(await besideLargeCalls(bench)), await smallReads(bench)]
}

/**
 * @param {Bench} bench
 * @returns {Promise<Table>}
 */
async function throughput(bench) {
  /** @type {Row[]} */
  const rows = []
  for (const payloadBytes of SIZES) {
    bench.say(`promises: ${sizeName(payloadBytes)}`)
    rows.push(await measureSize(bench, payloadBytes))
  }
  return {
    id: 'promised-round-trip',
    title: `Round trip with promises, ${IN_FLIGHT} in flight`,
    note: 'Time of all trips divided by their number. The rivals keep all threads of libuv busy, pageout at most half of them, so that other work of the process always finds a free one.',
    unit: 'us',
    better: 'less',
    subject: PROMISED_PAGEOUT,
    references: [PROMISED_FILE_PER_PAYLOAD, PROMISED_OPEN_FILE],
    plot: 'bars',
    rows,
  }
}

/**
 * @param {Bench} bench
 * @param {number} payloadBytes
 */
function measureSize(bench, payloadBytes) {
  const tripsPerLane = Math.min(32, Math.max(2, ((bench.quick ? 64 : 256) * MIB) / payloadBytes / IN_FLIGHT))
  const expected = randomBytes(payloadBytes)
  return withPromiseStores(bench, payloadBytes, async stores => {
    const results = await inTurns(stores, bench.rounds, store => tripUs(store, expected, tripsPerLane))
    return row(sizeName(payloadBytes), results, us => us)
  })
}

/**
 * @param {PromiseStore} store
 * @param {Uint8Array} expected
 * @param {number} tripsPerLane
 */
async function tripUs(store, expected, tripsPerLane) {
  store.prepare?.()
  const lanes = copies(expected)
  const start = performance.now()
  const back = await Promise.all(lanes.map(bytes => trips(store, bytes, tripsPerLane)))
  const elapsedMs = performance.now() - start
  for (const bytes of back) check(bytes, expected, store.name)
  return (elapsedMs * 1000) / IN_FLIGHT / tripsPerLane
}

/**
 * @param {Uint8Array} expected
 * @returns {Uint8Array[]}
 */
function copies(expected) {
  return Array.from({ length: IN_FLIGHT }, () => new Uint8Array(expected))
}

/**
 * @param {PromiseStore} store
 * @param {Uint8Array} bytes
 * @param {number} count
 */
async function trips(store, bytes, count) {
  for (let trip = 0; trip < count; trip++) bytes = await store.back(await store.out(bytes))
  return bytes
}
