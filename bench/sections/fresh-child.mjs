// One candidate of `fresh.mjs`, in a process of its own: what one leaves in the heap is what the next would find.
import { loadBuilds, makersOf } from '../builds.mjs'
import { answer, question } from '../child.mjs'
import { loadLmdb } from '../lmdb.mjs'
import { check, checkStamp, MIB, randomBytes, stamp } from '../payloads.mjs'
import { MAKERS } from '../stores.mjs'
import { collectGarbage } from '../turns.mjs'

/** @typedef {import('../types.js').Store} Store */

/**
 * Times of one payload. The resident memory is that above what the process had before, when the arrays are out.
 *
 * @typedef {{ makeUs: number, outUs: number, backUs: number, wholeUs: number, residentMib: number }} Answer
 */

/** What a payload begins with, its number. */
const STAMP_BYTES = 8
const WARM_UP_BATCHES = 4

const { name, folder, against, payloadBytes, work, batchBytes, batches, keptBytes } = question()
const store = await open()
const expected = randomBytes(payloadBytes)
const payloads = batchBytes / payloadBytes
/** Payloads that are out for good: the oldest first. @type {unknown[]} */
const kept = []

touchHeap()
const idleBytes = process.memoryUsage.rss()
for (let batch = 0; batch < WARM_UP_BATCHES; batch++) oneBatch()
const all = []
for (let batch = 0; batch < batches; batch++) {
  all.push(oneBatch())
  // A program that waits for something now and then.
  await new Promise(setImmediate)
}
for (const handle of kept) store.drop?.(handle)
await store.close()
answer(mean(all))

/** @returns {Promise<Store>} */
async function open() {
  const makers = { ...MAKERS, ...makersOf(await loadBuilds(against)), ...(await loadLmdb()).makers }
  const opened = makers[name]?.({ folder, payloadBytes })
  if (!opened) throw new Error(`there is no store ${name}`)
  return opened
}

/**
 * A process that is some seconds old: it has a heap, of which a long block was freed, so that the C library maps none by itself
 * any more.
 */
function touchHeap() {
  for (let block = 0; block < 2; block++) new Uint8Array(24 * MIB).fill(1)
  collectGarbage()
}

/** All that are out come back, and are checked. @param {unknown[]} handles */
function takeBack(handles) {
  const start = performance.now()
  const back = handles.map(handle => store.back(handle))
  const backUs = perPayloadUs(start)
  for (const [number, bytes] of back.entries()) {
    checkStamp(bytes, number, name)
    check(bytes.subarray(STAMP_BYTES), expected.subarray(STAMP_BYTES), name)
  }
  return backUs
}

/** The oldest payloads are dropped unread where more are out than are kept. @param {unknown[]} handles */
function dropOldest(handles) {
  kept.push(...handles)
  const dropped = kept.splice(0, Math.max(0, kept.length - keptBytes / payloadBytes))
  const start = performance.now()
  for (const handle of dropped) store.drop?.(handle)
  return perPayloadUs(start)
}

/** Makes payloads, puts them out, and brings them back or drops as many. */
function oneBatch() {
  store.prepare?.()
  const made = performance.now()
  const fresh = Array.from({ length: payloads }, () => new Uint8Array(expected))
  const makeUs = perPayloadUs(made)
  for (const [number, bytes] of fresh.entries()) stamp(bytes, number)
  fresh.reverse()
  const handles = []
  const start = performance.now()
  // Nothing holds an array any more once it is out.
  for (let bytes = fresh.pop(); bytes; bytes = fresh.pop()) handles.push(store.out(bytes))
  const outUs = perPayloadUs(start)
  const residentMib = Math.max(0, process.memoryUsage.rss() - idleBytes) / MIB
  const backUs = work === 'back' ? takeBack(handles) : dropOldest(handles)
  return { makeUs, outUs, backUs, wholeUs: makeUs + outUs + backUs, residentMib }
}

/** @param {number} start */
function perPayloadUs(start) {
  return ((performance.now() - start) * 1000) / payloads
}

/**
 * @param {readonly Answer[]} all
 * @returns {Answer}
 */
function mean(all) {
  const keys = /** @type {(keyof Answer)[]} */ (Object.keys(all[0] ?? {}))
  const meanOf = (/** @type {keyof Answer} */ key) => all.reduce((sum, one) => sum + one[key], 0) / all.length
  return /** @type {Answer} */ (Object.fromEntries(keys.map(key => [key, meanOf(key)])))
}
