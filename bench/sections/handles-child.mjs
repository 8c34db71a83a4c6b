// One candidate of `handles.mjs`, in a process of its own.
import { setImmediate, setTimeout } from 'node:timers/promises'
import { Pager } from '../../dist/index.js'
import { answer, question } from '../child.mjs'
import { worstDelayMs } from '../event-loop.mjs'
import { MIB } from '../payloads.mjs'

/** @typedef {{ heapMib: number, residentMib: number }} Memory */
/**
 * @typedef {object} Round
 * @property {number} alive handles that the pager counts when all are made
 * @property {number} left handles that it counts when all are collected
 * @property {number} makeUs
 * @property {number} makeDelayMs
 * @property {number} freeDelayMs
 * @property {number} collectionMs the longest full collection
 * @property {Memory} peak
 * @property {Memory} end
 * @property {Memory} trimmed after `trim()`
 */
/** @typedef {{ before: Memory, rounds: Round[] }} Answer */
/** @typedef {import('../../dist/index.js').Handle<Float64Array>} Handle */

/** Handles that are made or disposed of before the event loop gets its turn; few, so that they are not what delays it. */
const CHUNK_HANDLES = 100
/** One handle in so many is read back. */
const CHECKED_ONE_IN = 1000
/** Full collections after which all dropped handles have to be free; the first is usually enough. */
const COLLECTIONS_MAX = 50
/** The first grows tables, heaps and the scratch file, which stay; the second shows whether they go on growing. */
const ROUNDS = 2

const { folder, handles: count, isDisposed } = question()
const pager = new Pager({ scratchDir: folder })
const before = await settled()
/** @type {Round[]} */
const rounds = []
for (let round = 0; round < ROUNDS; round++) rounds.push(await measureRound())
answer({ before, rounds })

/** @returns {Promise<Round>} */
async function measureRound() {
  /** @type {Handle[]} */
  let handles = []
  let collectionMs = 0
  const start = performance.now()
  const makeDelayMs = await worstDelayMs(() => inChunks(number => handles.push(pager.pageout(content(number)))))
  const makeUs = ((performance.now() - start) * 1000) / count
  const peak = memory()
  const alive = pager.stats().handles
  for (let number = 0; number < count; number += CHECKED_ONE_IN) checkHandle(handles[number], number)
  const freeDelayMs = await worstDelayMs(async () => {
    if (isDisposed) await inChunks(number => handles[number]?.[Symbol.dispose]())
    handles = []
    collectionMs = await collectAll()
  })
  const left = pager.stats().handles
  const end = await settled()
  pager.trim()
  const trimmed = await settled()
  return { alive, left, makeUs, makeDelayMs, freeDelayMs, collectionMs, peak, end, trimmed }
}

/** @param {(number: number) => void} step */
async function inChunks(step) {
  for (let first = 0; first < count; first += CHUNK_HANDLES) {
    for (let number = first; number < Math.min(first + CHUNK_HANDLES, count); number++) step(number)
    await setImmediate()
  }
}

/** @param {number} number */
function content(number) {
  return new Float64Array(1 + (number % 8)).fill(number)
}

/**
 * @param {Handle | undefined} handle
 * @param {number} number
 */
function checkHandle(handle, number) {
  const expected = content(number)
  const elements = handle && pager.readAt(handle, 0, handle.length)
  if (elements?.join() !== expected.join()) throw new Error(`handle ${number}: other elements came back`)
}

/** Collects the garbage until no handle is left, and gives the time of the longest collection. */
async function collectAll() {
  let longestMs = 0
  for (let collections = 0; collections < COLLECTIONS_MAX; collections++) {
    const start = performance.now()
    globalThis.gc?.()
    longestMs = Math.max(longestMs, performance.now() - start)
    await setImmediate()
    if (pager.stats().handles === 0) return longestMs
  }
  throw new Error(`${pager.stats().handles} handles are left after ${COLLECTIONS_MAX} full collections`)
}

/** What stays: memory of buffers is freed by threads of the collector after it has ended, so they are given time. */
async function settled() {
  for (let pass = 0; pass < 3; pass++) {
    globalThis.gc?.()
    await setTimeout(50)
  }
  return memory()
}

/** @returns {Memory} */
function memory() {
  const { heapUsed, rss } = process.memoryUsage()
  return { heapMib: heapUsed / MIB, residentMib: rss / MIB }
}
