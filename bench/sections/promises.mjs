// Calls that return promises, many at a time: how fast they are, and what the rest of the process notices.
import { stat } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { check, KIB, MIB, randomBytes, sizeName } from '../payloads.mjs'
import {
  PROMISED_FILE_PER_PAYLOAD,
  PROMISED_OPEN_FILE,
  PROMISED_PAGEOUT,
  withPromiseStores,
} from '../promise-stores.mjs'
import { curveRow, inTurns, median, percentiles, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').PromiseStore} PromiseStore */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

/** @typedef {{ name: string, work: () => Promise<void> }} Load something large that is pending */

const IN_FLIGHT = 64
const SIZES = [4 * KIB, 64 * KIB, 2 * MIB]
const LARGE_BYTES = 2 * MIB
const NOTHING = 'nothing pending'
const IDLE_MS = 200

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  return [await throughput(bench), ...(await besideLargeCalls(bench))]
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
function measureSize({ quick, rounds, folder }, payloadBytes) {
  const candidates = [PROMISED_PAGEOUT, PROMISED_FILE_PER_PAYLOAD, PROMISED_OPEN_FILE]
  const tripsPerLane = Math.min(32, Math.max(2, ((quick ? 64 : 256) * MIB) / payloadBytes / IN_FLIGHT))
  const expected = randomBytes(payloadBytes)
  return withPromiseStores(candidates, { folder, payloadBytes }, async stores => {
    const results = await inTurns(stores, rounds, store => tripUs(store, expected, tripsPerLane))
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

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
function besideLargeCalls(bench) {
  const { folder } = bench
  const candidates = [PROMISED_PAGEOUT, PROMISED_FILE_PER_PAYLOAD]
  return withPromiseStores(candidates, { folder, payloadBytes: LARGE_BYTES }, async stores => {
    const loads = stores.map(load)
    bench.say('promises: event loop')
    const idle = await inTurns([{ name: NOTHING, work: () => setTimeout(IDLE_MS) }], bench.rounds, worstDelayMs)
    const idleMs = median(idle.get(NOTHING) ?? [])
    const delays = await inTurns(loads, bench.rounds, worstDelayMs)
    bench.say('promises: stat')
    const idler = { name: NOTHING, work: () => setTimeout(IDLE_MS) }
    const stats = await inTurns([...loads, idler], bench.rounds, ({ work }) => statsMs(work, folder))
    return tables(delays, idleMs, stats)
  })
}

/**
 * All payloads out at once, then all back at once.
 *
 * @param {PromiseStore} store
 * @returns {Load}
 */
function load(store) {
  const expected = randomBytes(LARGE_BYTES)
  let arrays = copies(expected)
  const work = async () => {
    store.prepare?.()
    const handles = await Promise.all(arrays.map(bytes => store.out(bytes)))
    arrays = await Promise.all(handles.map(handle => store.back(handle)))
  }
  return { name: store.name, work }
}

/**
 * The longest that the event loop did not come round while there was work.
 *
 * @param {Load} load
 */
async function worstDelayMs({ work }) {
  let worstMs = 0
  let last = performance.now()
  const look = () => {
    const now = performance.now()
    worstMs = Math.max(worstMs, now - last)
    last = now
    next = setImmediate(look)
  }
  let next = setImmediate(look)
  await work()
  clearImmediate(next)
  return worstMs
}

/**
 * How long each `stat` took while there was work, one after the other.
 *
 * @param {() => Promise<void>} work
 * @param {string} path
 */
async function statsMs(work, path) {
  /** @type {number[]} */
  const times = []
  let isPending = true
  const done = work().finally(() => {
    isPending = false
  })
  while (isPending) {
    const start = performance.now()
    await stat(path)
    times.push(performance.now() - start)
  }
  await done
  return times
}

/**
 * @param {Map<string, number[]>} delays
 * @param {number} idleMs
 * @param {Map<string, number[][]>} stats
 * @returns {Table[]}
 */
function tables(delays, idleMs, stats) {
  const about = /** @type {const} */ ({
    unit: 'ms',
    better: 'less',
    subject: PROMISED_PAGEOUT,
    references: [PROMISED_FILE_PER_PAYLOAD],
  })
  const what = `Beside ${IN_FLIGHT} pending calls of 2 MiB`
  const statAt = (/** @type {number} */ percent) => (/** @type {number[]} */ times) =>
    percentiles(times, [percent])[0] ?? NaN
  return [
    {
      id: 'beside-large-calls',
      title: what,
      note: `All out at once, then all back at once. The delay is how much longer than in an idle process (${idleMs.toFixed(2)} ms) the event loop did not come round at its worst; the time of fs.stat is from call to result.`,
      ...about,
      references: [...about.references],
      plot: 'bars',
      rows: [
        row('worst delay of the event loop', delays, worstMs => Math.max(0, worstMs - idleMs)),
        row('fs.stat, p50', stats, statAt(50)),
        row('fs.stat, longest', stats, statAt(100)),
      ],
    },
    {
      id: 'stat-latency',
      title: `${what}: the time of fs.stat`,
      note: 'All calls of all rounds together.',
      ...about,
      references: [...about.references],
      plot: 'curve',
      rows: [curveRow('fs.stat', stats, times => times)],
    },
  ]
}
