// What the TypeScript layer adds to the calls of the addon, verb by verb.
import * as workers from 'node:worker_threads'
import { native } from '../../dist/addon/load.js'
import { Pager } from '../../dist/index.js'
import { Pager as PromisePager } from '../../dist/promises.js'
import { randomBytes } from '../payloads.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

/**
 * What a batch of calls begins with, untimed, its call, and its end, untimed.
 *
 * @typedef {object} Work
 * @property {string} name
 * @property {(count: number) => void | Promise<void>} [prepare]
 * @property {(position: number) => unknown} call
 * @property {(count: number) => void | Promise<void>} [end]
 */

/** Node 21 and later. */
const { isMarkedAsUntransferable } = /** @type {{ isMarkedAsUntransferable?: (buffer: object) => boolean }} */ (workers)

const PUBLIC = 'pageout'
const NATIVE = 'the calls of the addon'
const NOTHING = 'a job that does nothing'
const DIFFERENCE = 'the layer'
const SIZES = [64, 4096]
const READ_FROM_BYTES = 64 * 1024
const CALLS = 500
const BATCHES = 8

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  bench.say('layer: synchronous')
  const pager = new Pager({ scratchDir: bench.folder })
  const promised = new PromisePager({ scratchDir: bench.folder })
  const ref = native.open(bench.folder, undefined, false, false, true, false, false, false, undefined, undefined)
  try {
    /** @type {Row[]} */
    const rows = []
    for (const byteLength of SIZES) {
      for (const [name, works] of Object.entries(synchronous(pager, ref, byteLength))) {
        rows.push(await measure(`${name}, ${byteLength} bytes`, bench, works))
      }
    }
    bench.say('layer: promises')
    /** @type {Row[]} */
    const promises = []
    for (const [name, works] of Object.entries(await awaited(promised, ref))) {
      promises.push(await measure(name, bench, works))
    }
    return [table(rows), promiseTable(promises)]
  } finally {
    native.close(ref)
    pager.close()
    await promised.close()
  }
}

const ABOUT = /** @type {const} */ ({
  unit: 'us',
  better: 'less',
  subject: PUBLIC,
  references: [],
  plot: 'none',
})

/**
 * @param {Row[]} rows
 * @returns {Table}
 */
function table(rows) {
  return {
    id: 'layer',
    title: 'The TypeScript layer',
    note: `${CALLS} calls of one verb, one after the other, with one array and no options, and the same work straight through the addon: its calls, memory for a result (Buffer.allocUnsafeSlow and the view of it that the caller gets), and the chunk taken from the caller as Node has to be asked for that. Collections of young objects are part of both. "${DIFFERENCE}" is the difference within each round.`,
    ...ABOUT,
    rows,
  }
}

/**
 * @param {Row[]} rows
 * @returns {Table}
 */
function promiseTable(rows) {
  return {
    id: 'layer-promises',
    title: 'The TypeScript layer with promises',
    note: `Promised calls of 64 bytes, each waited for before the next, the same work by promised calls of the addon, and a job of the addon that does nothing on a thread of libuv (hintColdAsync of no memory), which is what it takes to wake that thread and to come back. "${DIFFERENCE}" is that to the calls of the addon, within each round.`,
    ...ABOUT,
    rows,
  }
}

/**
 * @param {string} name
 * @param {Bench} bench
 * @param {readonly Work[]} works
 */
async function measure(name, { quick, rounds }, works) {
  const results = await inTurns(works, quick ? rounds : 3 * rounds, timed, 3)
  const [all = [], least = []] = works.map(work => results.get(work.name) ?? [])
  results.set(
    DIFFERENCE,
    all.map((us, round) => us - (least[round] ?? Number.NaN)),
  )
  return row(name, results, us => us)
}

/**
 * Microseconds of one call.
 *
 * @param {Work} work
 */
async function timed({ prepare, call, end }) {
  let elapsedMs = 0
  for (let batch = 0; batch < BATCHES; batch++) {
    await prepare?.(CALLS)
    elapsedMs += await loop(call)
    await end?.(CALLS)
  }
  return (elapsedMs * 1000) / (CALLS * BATCHES)
}

/** @param {Work['call']} call */
async function loop(call) {
  const start = performance.now()
  const first = call(0)
  if (first instanceof Promise) {
    await first
    for (let position = 1; position < CALLS; position++) await call(position)
  } else {
    for (let position = 1; position < CALLS; position++) call(position)
  }
  return performance.now() - start
}

/**
 * @param {Pager} pager
 * @param {import('../../index.js').PagerRef} ref
 * @param {number} byteLength
 * @returns {Record<string, Work[]>}
 */
function synchronous(pager, ref, byteLength) {
  const arrays = () => Array.from({ length: CALLS }, () => new Uint8Array(byteLength).fill(1))
  /** @type {Uint8Array<ArrayBuffer>[]} */
  let chunks = []
  /** @type {import('../../dist/index.js').Handle<Uint8Array>[]} */
  let handles = []
  /** @type {number[]} */
  let tickets = []
  /** @type {Uint8Array[]} */
  let results = []
  const prepareChunks = () => {
    chunks = arrays()
    handles = new Array(CALLS)
    tickets = new Array(CALLS)
  }
  const prepareHandles = () => {
    results = new Array(CALLS)
    handles = arrays().map(array => pager.pageout(array))
  }
  const prepareTickets = () => {
    results = new Array(CALLS)
    tickets = arrays().map(array => native.pageoutOne(ref, array, 1))
  }
  const long = pager.pageout(randomBytes(READ_FROM_BYTES))
  const longTicket = native.pageoutOne(ref, randomBytes(READ_FROM_BYTES), 1)
  const short = pager.pageout(randomBytes(byteLength))
  const shortTicket = native.pageoutOne(ref, randomBytes(byteLength), 1)
  const offsetOf = (/** @type {number} */ position) => (position * byteLength) % READ_FROM_BYTES
  const memory = () => Buffer.allocUnsafeSlow(byteLength).buffer
  const nativeRead = (/** @type {number} */ ticket, /** @type {number} */ offset) => {
    const result = new Uint8Array(memory(), 0, byteLength)
    native.read(ref, ticket, offset, result)
    return result
  }
  return {
    pageout: [
      {
        name: PUBLIC,
        prepare: prepareChunks,
        call: at => {
          handles[at] = pager.pageout(/** @type {Uint8Array<ArrayBuffer>} */ (chunks[at]))
        },
        end: () => {
          for (const handle of handles) handle.release()
        },
      },
      {
        name: NATIVE,
        prepare: prepareChunks,
        call: at => {
          const chunk = /** @type {Uint8Array<ArrayBuffer>} */ (chunks[at])
          tickets[at] = native.pageoutOne(ref, chunk, 1)
          native.detach(new Uint8Array(transferred(chunk.buffer)))
        },
        end: () => {
          for (const ticket of tickets) native.free(ref, ticket)
        },
      },
    ],
    read: [
      { name: PUBLIC, call: () => pager.read(short) },
      { name: NATIVE, call: () => nativeRead(shortTicket, 0) },
    ],
    readAt: [
      { name: PUBLIC, call: at => pager.readAt(long, offsetOf(at), byteLength) },
      { name: NATIVE, call: at => nativeRead(longTicket, offsetOf(at)) },
    ],
    take: [
      {
        name: PUBLIC,
        prepare: prepareHandles,
        call: at => {
          results[at] = pager.take(/** @type {import('../../dist/index.js').Handle<Uint8Array>} */ (handles[at]))
        },
      },
      {
        name: NATIVE,
        prepare: prepareTickets,
        call: at => {
          const result = new Uint8Array(memory(), 0, byteLength)
          native.take(ref, /** @type {number} */ (tickets[at]), result)
          results[at] = result
        },
      },
    ],
    release: [
      { name: PUBLIC, prepare: prepareHandles, call: at => handles[at]?.release() },
      { name: NATIVE, prepare: prepareTickets, call: at => native.free(ref, /** @type {number} */ (tickets[at])) },
    ],
  }
}

/**
 * The memory of a buffer, taken from its owner.
 *
 * @param {ArrayBuffer} buffer
 */
function transferred(buffer) {
  if (isMarkedAsUntransferable === undefined) return structuredClone(buffer, { transfer: [buffer] })
  if (isMarkedAsUntransferable(buffer)) throw new Error('a chunk cannot be transferred')
  return buffer.transfer()
}

/**
 * @param {PromisePager} pager
 * @param {import('../../index.js').PagerRef} ref
 * @returns {Promise<Record<string, Work[]>>}
 */
async function awaited(pager, ref) {
  const byteLength = 64
  const long = await pager.pageout(randomBytes(READ_FROM_BYTES))
  const longTicket = native.pageoutOne(ref, randomBytes(READ_FROM_BYTES), 1)
  const nothing = { name: NOTHING, call: () => native.hintColdAsync([]) }
  const never = native.makeStop()
  /** @type {Uint8Array<ArrayBuffer>[]} */
  let chunks = []
  /** @type {import('../../dist/index.js').Handle<Uint8Array>[]} */
  let handles = []
  /** @type {number[]} */
  let tickets = []
  const prepareChunks = () => {
    chunks = Array.from({ length: CALLS }, () => new Uint8Array(byteLength).fill(1))
    handles = new Array(CALLS)
    tickets = new Array(CALLS)
  }
  const prepareHandles = async () => {
    prepareChunks()
    handles = await Promise.all(chunks.map(chunk => pager.pageout(chunk)))
  }
  const prepareTickets = () => {
    prepareChunks()
    tickets = chunks.map(chunk => native.pageoutOne(ref, chunk, 1))
  }
  const offsetOf = (/** @type {number} */ at) => (at * byteLength) % READ_FROM_BYTES
  const memory = () => new Uint8Array(Buffer.allocUnsafeSlow(byteLength).buffer, 0, byteLength)
  return {
    readAt: [
      { name: PUBLIC, call: at => pager.readAt(long, offsetOf(at), byteLength) },
      {
        name: NATIVE,
        call: at => native.readAsync(ref, longTicket, Float64Array.of(offsetOf(at), byteLength), memory()),
      },
      nothing,
    ],
    pageout: [
      {
        name: PUBLIC,
        prepare: prepareChunks,
        call: async at => {
          handles[at] = await pager.pageout(/** @type {Uint8Array<ArrayBuffer>} */ (chunks[at]))
        },
        end: () => {
          for (const handle of handles) handle.release()
        },
      },
      {
        name: NATIVE,
        prepare: prepareChunks,
        call: async at => {
          const chunk = /** @type {Uint8Array<ArrayBuffer>} */ (chunks[at])
          const bytes = new Uint8Array(transferred(chunk.buffer))
          tickets[at] = await native.pageoutAsync(ref, [bytes], 1, never)
          native.detach(bytes)
        },
        end: () => {
          for (const ticket of tickets) native.free(ref, ticket)
        },
      },
      nothing,
    ],
    take: [
      {
        name: PUBLIC,
        prepare: prepareHandles,
        call: at => pager.take(/** @type {import('../../dist/index.js').Handle<Uint8Array>} */ (handles[at])),
      },
      {
        name: NATIVE,
        prepare: prepareTickets,
        call: async at => {
          const ticket = /** @type {number} */ (tickets[at])
          const bytes = await native.peekAsync(ref, ticket, memory())
          native.finishTake(ref, ticket)
          return bytes
        },
      },
      nothing,
    ],
  }
}
