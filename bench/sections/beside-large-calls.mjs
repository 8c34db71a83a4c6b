// What the rest of the process notices of large calls that are pending; a part of `promises.mjs`.
import { stat } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { worstDelayMs } from '../event-loop.mjs'
import { check, MIB, randomBytes } from '../payloads.mjs'
import {
  PROMISED_FILE_PER_PAYLOAD,
  PROMISED_OPEN_FILE,
  PROMISED_PAGEOUT,
  withPromiseStores,
} from '../promise-stores.mjs'
import { curveRow, inTurns, median, percentiles, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').PromiseStore} PromiseStore */
/** @typedef {import('../types.js').Table} Table */

/** @typedef {{ name: string, work: () => Promise<void>, verify: () => void }} Load something large that is pending */

/**
 * @typedef {object} Shape how the calls of a load follow each other
 * @property {string} id
 * @property {string} statId
 * @property {string} title
 * @property {string} how
 * @property {number} inFlight
 * @property {(store: PromiseStore, arrays: readonly Uint8Array[]) => Promise<Uint8Array[]>} move all out and back
 */

const PAYLOAD_BYTES = 2 * MIB
const REFERENCES = [PROMISED_FILE_PER_PAYLOAD, PROMISED_OPEN_FILE]
const NOTHING = 'nothing pending'
const IDLE_MS = 200
const IDLE = { name: NOTHING, work: () => setTimeout(IDLE_MS), verify: () => {} }

/** @type {Shape} */
const AT_ONCE = {
  id: 'beside-large-calls',
  statId: 'stat-latency',
  title: 'Beside 64 pending calls of 2 MiB',
  how: 'All out at once, then all back at once.',
  inFlight: 64,
  move: async (store, arrays) => {
    const handles = await Promise.all(arrays.map(bytes => store.out(bytes)))
    return await Promise.all(handles.map(handle => store.back(handle)))
  },
}

/**
 * @param {number} trips
 * @returns {Shape}
 */
const inLanes = trips => ({
  id: 'beside-round-trips',
  statId: 'stat-latency-round-trips',
  title: 'Beside 8 concurrent round trips of 2 MiB',
  how: `Each of 8 payloads goes out and comes back ${trips} times, whatever the others do.`,
  inFlight: 8,
  move: (store, arrays) => Promise.all(arrays.map(bytes => goAndCome(store, bytes, trips))),
})

/**
 * @param {PromiseStore} store
 * @param {Uint8Array} bytes
 * @param {number} trips
 */
async function goAndCome(store, bytes, trips) {
  for (let trip = 0; trip < trips; trip++) bytes = await store.back(await store.out(bytes))
  return bytes
}

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function besideLargeCalls(bench) {
  const shapes = [AT_ONCE, inLanes(bench.quick ? 16 : 64)]
  const tables = []
  for (const shape of shapes) tables.push(...(await measureShape(bench, shape)))
  return tables
}

/**
 * @param {Bench} bench
 * @param {Shape} shape
 * @returns {Promise<Table[]>}
 */
function measureShape(bench, shape) {
  const { rounds, folder, say } = bench
  return withPromiseStores(bench, PAYLOAD_BYTES, async stores => {
    const loads = stores.map(store => load(store, shape))
    say(`promises: ${shape.title}, event loop`)
    const idle = await inTurns([IDLE], rounds, delayMs)
    const delays = await inTurns(loads, rounds, delayMs)
    say(`promises: ${shape.title}, stat`)
    const stats = await inTurns([...loads, IDLE], rounds, load => statsMs(load, folder))
    return tables(shape, delays, median(idle.get(NOTHING) ?? []), stats)
  })
}

/**
 * @param {PromiseStore} store
 * @param {Shape} shape
 * @returns {Load}
 */
function load(store, { inFlight, move }) {
  const expected = randomBytes(PAYLOAD_BYTES)
  /** @type {Uint8Array[]} */
  let arrays = Array.from({ length: inFlight }, () => new Uint8Array(expected))
  const work = async () => {
    store.prepare?.()
    arrays = await move(store, arrays)
  }
  const verify = () => {
    for (const bytes of arrays) check(bytes, expected, store.name)
  }
  return { name: store.name, work, verify }
}

/** @param {Load} load */
async function delayMs({ work, verify }) {
  const worstMs = await worstDelayMs(work)
  verify()
  return worstMs
}

/**
 * How long each `stat` took while there was work, one after the other.
 *
 * @param {Load} load
 * @param {string} path
 */
async function statsMs({ work, verify }, path) {
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
  verify()
  return times
}

/**
 * @param {Shape} shape
 * @param {Map<string, number[]>} delays
 * @param {number} idleMs
 * @param {Map<string, number[][]>} stats
 * @returns {Table[]}
 */
function tables({ id, statId, title, how }, delays, idleMs, stats) {
  const about = /** @type {const} */ ({ unit: 'ms', better: 'less', subject: PROMISED_PAGEOUT })
  const statAt = (/** @type {number} */ percent) => (/** @type {number[]} */ times) =>
    percentiles(times, [percent])[0] ?? NaN
  return [
    {
      id,
      title,
      note: `${how} The delay is how much longer than in an idle process (${idleMs.toFixed(2)} ms) the event loop did not come round at its worst; the time of fs.stat is from call to result.`,
      ...about,
      references: REFERENCES,
      plot: 'bars',
      rows: [
        row('worst delay of the event loop', delays, worstMs => Math.max(0, worstMs - idleMs)),
        row('fs.stat, p50', stats, statAt(50)),
        row('fs.stat, longest', stats, statAt(100)),
      ],
    },
    {
      id: statId,
      title: `${title}: the time of fs.stat`,
      note: 'All calls of all rounds together.',
      ...about,
      references: REFERENCES,
      plot: 'curve',
      rows: [curveRow('fs.stat', stats, times => times)],
    },
  ]
}
