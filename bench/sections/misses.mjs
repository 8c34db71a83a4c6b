// What the event loop notices while promises borrow payloads of which most are not in memory.
import { setTimeout } from 'node:timers/promises'
import { worstDelayMs } from '../event-loop.mjs'
import { checkStamp, KIB, MIB, randomBytes, randomNumbers, sizeName, stamp } from '../payloads.mjs'
import {
  PROMISED_BUDGET,
  PROMISED_FILE_PER_PAYLOAD,
  PROMISED_OPEN_FILE,
  withPromiseStores,
} from '../promise-stores.mjs'
import { inTurns, median, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').PromiseStore} PromiseStore */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

/** @typedef {{ name: string, look: (number: number) => Promise<void> }} Payloads those of one store */
/** @typedef {{ delayMs: number, perSecond: number }} Lap */

const SIZES = [64 * KIB, 2 * MIB]
const IN_FLIGHT = 16
/** Of so many payloads, one has room in the memory budget. */
const PAYLOADS_PER_ROOM = 8
const IDLE_MS = 200

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  const totalBytes = (bench.quick ? 512 : 1024) * MIB
  /** @type {Row[]} */
  const rows = []
  for (const payloadBytes of SIZES) rows.push(...(await measureSize(bench, totalBytes, payloadBytes)))
  return [
    {
      id: 'misses',
      title: `The event loop beside ${IN_FLIGHT} pending looks`,
      note: `${totalBytes / MIB} MiB of payloads are out; random ones are looked at, with pageout by a borrow within a memory budget that has room for one in ${PAYLOADS_PER_ROOM}, and waits for room where there is none. The rivals read each into new memory. The delay is how much longer than in an idle process the event loop did not come round at its worst.`,
      unit: 'ms',
      better: 'less',
      subject: PROMISED_BUDGET,
      references: [PROMISED_FILE_PER_PAYLOAD, PROMISED_OPEN_FILE],
      plot: 'bars',
      rows,
    },
  ]
}

/**
 * @param {Bench} bench
 * @param {number} totalBytes
 * @param {number} payloadBytes
 */
function measureSize(bench, totalBytes, payloadBytes) {
  const name = sizeName(payloadBytes)
  const looks = ((bench.quick ? 1 : 4) * totalBytes) / payloadBytes
  bench.say(`misses: ${name}`)
  const use = async (/** @type {readonly PromiseStore[]} */ stores) => {
    const candidates = []
    for (const store of stores) candidates.push(await fill(store, totalBytes / payloadBytes, payloadBytes))
    const idle = await inTurns([{ name: '' }], bench.rounds, () => worstDelayMs(() => setTimeout(IDLE_MS)))
    const idleMs = median(idle.get('') ?? [])
    const laps = await inTurns(candidates, bench.rounds, (payloads, round) =>
      lap(payloads.look, looks, totalBytes / payloadBytes, randomNumbers(round)),
    )
    return [
      row(`worst delay, ${name}`, laps, ({ delayMs }) => Math.max(0, delayMs - idleMs)),
      row(`looks, ${name}`, laps, ({ perSecond }) => perSecond, { unit: 'ops/s', better: 'more' }),
    ]
  }
  return withPromiseStores(bench, payloadBytes, use, totalBytes / PAYLOADS_PER_ROOM)
}

/**
 * @param {PromiseStore} store
 * @param {number} count
 * @param {number} payloadBytes
 * @returns {Promise<Payloads>}
 */
async function fill(store, count, payloadBytes) {
  const content = randomBytes(payloadBytes)
  store.prepare?.()
  /** @type {unknown[]} */
  const handles = []
  for (let number = 0; number < count; number++) {
    const bytes = new Uint8Array(content)
    stamp(bytes, number)
    handles.push(await store.out(bytes))
  }
  const look = async (/** @type {number} */ number) => {
    await store.look(handles[number], bytes => checkStamp(bytes, number, store.name))
  }
  return { name: store.name, look }
}

/**
 * @param {(number: number) => Promise<void>} look
 * @param {number} looks
 * @param {number} count
 * @param {(below: number) => number} random
 * @returns {Promise<Lap>}
 */
async function lap(look, looks, count, random) {
  let started = 0
  const lane = async () => {
    while (started++ < looks) await look(random(count))
  }
  const start = performance.now()
  const delayMs = await worstDelayMs(async () => {
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  })
  return { delayMs, perSecond: (looks * 1000) / (performance.now() - start) }
}
