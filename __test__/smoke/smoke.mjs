/**
 * The promises of the package, one check for each, for any runtime that knows Node's modules: prints one line per check.
 * It needs nothing but the built package, and a global function gc.
 */

import assert from 'node:assert/strict'
import { tracingChannel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import {
  Handle,
  PageoutError,
  Pager,
  pageout,
  pageoutFrom,
  pageoutWith,
  prefetch,
  readAt,
  readAtMany,
  stats,
  take,
  toReadableStream,
  trim,
  tryPageout,
} from 'pageout'
import * as promises from 'pageout/promises'

const MIB = 2 ** 20
/** More rounds than any collector needs. */
const ROUNDS_MAX = 100

const pattern = (/** @type {number} */ length) => Float64Array.from({ length }, (_, position) => position * 1.5)

/** @type {[string, () => void | Promise<void>][]} */
const CHECKS = [
  ['a payload comes back as it went out', roundTrip],
  ['every class of chunks comes back as that class', classes],
  ['chunks that can be detached are empty', detaches],
  ['chunks that cannot be detached are left as they are', leavesOthers],
  ['the memory of chunks is back with the system', givesMemoryBack],
  ['ranges come back, also into a target', ranges],
  ['the swap backend keeps and gives back', swap],
  ['errors have their codes and fields', errors],
  ['a pager closes, and frees what it held', closes],
  ['a handle that is dropped is freed', collects],
  ['promises: a payload comes back as it went out', promisedRoundTrip],
  ['promises: many reads at once', manyReads],
  ['promises: a signal aborts, and the handle stays whole', aborts],
  ['promises: a failure hands the chunks back', handsBack],
  ['a payload is collected from a generator', collected],
  ['promises: a payload is collected from a stream, and becomes one', streamed],
  ['a handle moves to a worker and back', moves],
  ['a worker uses the package', worker],
  ['what a worker leaves behind is freed when it ends', leavings],
  ['tracing channels tell of the verbs', traces],
]

function roundTrip() {
  const handle = pageout([pattern(200_000), pattern(3)])
  assert.equal(handle.length, 200_003)
  prefetch(handle)
  const back = take(handle)
  assert.deepEqual(back.subarray(0, 200_000), pattern(200_000))
  assert.deepEqual(back.subarray(200_000), pattern(3))
  assert.equal(handle.released, true)
  trim()
}

function classes() {
  const Arrays = [Int8Array, Uint8ClampedArray, Int16Array, Uint32Array, Float32Array, Float64Array, BigInt64Array]
  const Views = [...Arrays, ...(globalThis.Float16Array ? [Float16Array] : []), DataView]
  const chunks = [
    ...Views.map(View => new View(Uint8Array.from({ length: 16 }, (_, byte) => byte).buffer)),
    Buffer.from('sixteen bytes ok'),
    Uint8Array.of(1, 2, 3).buffer,
  ]
  for (const chunk of chunks) {
    const back = take(pageout(copyOf(chunk)))
    assert.equal(back.constructor.name, chunk.constructor.name)
    assert.deepEqual(back, chunk)
  }
}

/** A copy of a chunk, of the same class. */
function copyOf(chunk) {
  return Buffer.isBuffer(chunk) ? Buffer.from(new Uint8Array(chunk).buffer) : structuredClone(chunk)
}

function detaches() {
  for (const length of [1, 8, 1000, MIB]) {
    const chunk = new Float64Array(length)
    const alias = new Uint8Array(chunk.buffer)
    const handle = pageout(chunk)
    assert.deepEqual([chunk.length, alias.length, handle.length], [0, 0, length])
    handle[Symbol.dispose]()
  }
  const required = new Uint8Array(10)
  pageout(required, { detach: 'required' })[Symbol.dispose]()
  assert.equal(required.length, 0)
}

function leavesOthers() {
  const whole = pattern(100)
  const chunks = [
    whole.subarray(10, 20),
    new Float64Array(new SharedArrayBuffer(80)),
    new Float64Array(new WebAssembly.Memory({ initial: 1 }).buffer, 0, 10),
    new Float64Array(new WebAssembly.Memory({ initial: 1 }).buffer),
  ]
  for (const chunk of chunks) {
    const before = chunk.slice()
    assert.throws(() => pageout(chunk, { detach: 'required' }), { code: 'ERR_PAGEOUT_NOT_DETACHABLE' })
    assert.deepEqual(take(pageout(chunk)), before)
    assert.deepEqual(chunk, before)
  }
  const kept = pattern(1000)
  pageout(kept, { detach: 'never' })[Symbol.dispose]()
  assert.deepEqual(kept, pattern(1000))
  const pair = [pattern(10), whole.subarray(0, 10)]
  assert.throws(() => pageout(pair, { detach: 'required' }), { code: 'ERR_PAGEOUT_NOT_DETACHABLE' })
  assert.deepEqual(pair, [pattern(10), pattern(10)])
}

function givesMemoryBack() {
  // More than spare buffers may take.
  const chunk = new Uint8Array(128 * MIB).fill(7)
  const before = residentBytes()
  const handle = pageout(chunk)
  const fell = before - residentBytes()
  handle[Symbol.dispose]()
  assert.ok(fell > 96 * MIB, `${Math.round(fell / MIB)} MiB of 128 are back`)
}

/** Memory of this process. Where a processor is emulated, only the kernel knows it. */
function residentBytes() {
  const status = '/proc/self/status'
  const told = existsSync(status) && /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(status, 'utf8'))
  return told ? Number(told[1]) * 1024 : process.memoryUsage().rss
}

function ranges() {
  const handle = pageout(pattern(100_000))
  assert.deepEqual(readAt(handle, 50_000, 2), Float64Array.of(75_000, 75_001.5))
  const target = new Float64Array(5)
  const view = readAtMany(
    handle,
    [
      [99_999, 1],
      [0, 2],
    ],
    target,
  )
  assert.deepEqual(view, Float64Array.of(149_998.5, 0, 1.5))
  assert.equal(view.buffer, target.buffer)
  handle[Symbol.dispose]()
}

function swap() {
  const chunk = pattern(10_000)
  const handle = pageoutWith('swap', chunk)
  assert.deepEqual([handle.backend, chunk.length], ['swap', 0])
  assert.deepEqual(readAt(handle, 1, 1), Float64Array.of(1.5))
  assert.deepEqual(take(handle), pattern(10_000))
}

function errors() {
  const handle = pageout(pattern(10))
  assert.throws(() => readAt(handle, 9, 2), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' })
  assert.throws(
    () =>
      readAtMany(handle, [
        [0, 2],
        [1, 2],
      ]),
    { name: 'RangeError', code: 'ERR_PAGEOUT_OVERLAP' },
  )
  take(handle)
  assert.throws(() => take(handle), { name: 'PageoutError', code: 'ERR_PAGEOUT_RELEASED' })
  assert.throws(() => pageout('text'), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  const pager = new Pager({ capacityBytes: 4096 })
  const result = pager.tryPageout(new Uint8Array(5000))
  assert.ok(!result.ok && result.error instanceof PageoutError)
  assert.deepEqual([result.error.code, result.error.requestedBytes], ['ERR_PAGEOUT_CAPACITY', 8192])
  pager.close()
  const missing = () => new Pager({ scratchDir: '/dev/null/no' })
  assert.throws(missing, ({ code, cause }) => code === 'ERR_PAGEOUT_SCRATCH_DIR' && cause.code === 'ENOTDIR')
}

function closes() {
  const pager = new Pager()
  const handle = pager.pageout(pattern(10_000))
  assert.equal(pager.stats().handles, 1)
  pager[Symbol.dispose]()
  assert.throws(() => pager.readAt(handle, 0, 1), { code: 'ERR_PAGEOUT_CLOSED' })
  pager.close()
}

async function collects() {
  const pager = new Pager()
  for (let count = 0; count < 100; count += 1) pager.pageout(new Uint8Array(5000))
  for (let round = 0; round < ROUNDS_MAX && pager.stats().handles > 50; round += 1) {
    globalThis.gc()
    await setImmediate()
  }
  // Which handle is collected when is the collector's affair.
  assert.ok(pager.stats().handles <= 50, `${pager.stats().handles} of 100 handles are left`)
  pager.close()
}

async function promisedRoundTrip() {
  const chunk = pattern(200_000)
  const pending = promises.pageout(chunk)
  assert.equal(chunk.length, 0)
  const handle = await pending
  assert.deepEqual(await promises.readAt(handle, 2, 2, new Float64Array(3)), Float64Array.of(3, 4.5))
  assert.deepEqual(await promises.take(handle), pattern(200_000))
  await assert.rejects(promises.take(handle), { code: 'ERR_PAGEOUT_RELEASED' })
}

async function manyReads() {
  const handle = await promises.pageout(pattern(100_000))
  const starts = Array.from({ length: 500 }, (_, position) => position * 200)
  const parts = await Promise.all(starts.map(start => promises.readAt(handle, start, 200)))
  parts.forEach((part, position) => {
    assert.deepEqual(part, pattern(100_000).subarray(position * 200, position * 200 + 200))
  })
  handle[Symbol.dispose]()
}

async function aborts() {
  const pager = new promises.Pager()
  const handle = await pager.pageout(pattern(4 * MIB))
  const early = AbortSignal.abort('enough')
  const isAbort = { name: 'AbortError', code: 'ABORT_ERR', cause: 'enough' }
  await assert.rejects(pager.readAt(handle, 0, 10, undefined, { signal: early }), isAbort)
  const controller = new AbortController()
  const pending = pager.take(handle, undefined, { signal: controller.signal })
  controller.abort('enough')
  await assert.rejects(pending, isAbort)
  assert.equal((await pager.take(handle)).length, 4 * MIB)
  await pager.close()
}

async function handsBack() {
  const pager = new promises.Pager({ capacityBytes: 4096 })
  const chunk = pattern(1000)
  const error = await pager.pageout([chunk]).catch(thrown => thrown)
  assert.equal(error.code, 'ERR_PAGEOUT_CAPACITY')
  assert.deepEqual(error.chunks, [pattern(1000)])
  await pager.close()
}

function collected() {
  function* parts() {
    for (let part = 0; part < 20; part++) yield pattern(100_000)
  }
  const handle = pageoutFrom(parts())
  assert.equal(handle.length, 2_000_000)
  assert.deepEqual(readAt(handle, 1_900_000, 100_000), pattern(100_000))
  handle[Symbol.dispose]()
}

async function streamed() {
  const { buffer } = new Uint8Array(5 * MIB).fill(9)
  const source = new ReadableStream({
    start(controller) {
      for (let start = 0; start < 5 * MIB; start += MIB) controller.enqueue(new Uint8Array(buffer, start, MIB))
      controller.close()
    },
  })
  const handle = await promises.pageoutFrom(source)
  let bytes = 0
  for await (const chunk of toReadableStream(handle, { release: true })) {
    assert.ok(chunk.every(byte => byte === 9))
    bytes += chunk.length
  }
  assert.deepEqual([bytes, handle.released], [5 * MIB, true])
}

async function moves() {
  const thread = new Worker(new URL(import.meta.url), { workerData: { token: pageout(pattern(1000)).move() } })
  const [{ token, length }] = await endOf(thread)
  assert.equal(length, 1000)
  const handle = Handle.adopt(token)
  assert.throws(() => Handle.adopt(token), { code: 'ERR_PAGEOUT_RELEASED' })
  assert.deepEqual(take(handle), pattern(1000))
}

async function worker() {
  const [report] = await endOf(new Worker(new URL(import.meta.url), { workerData: 0 }))
  assert.deepEqual(report, { isSame: true, isDetached: true })
}

async function leavings() {
  const before = stats().handles
  await endOf(new Worker(new URL(import.meta.url), { workerData: 5 }))
  assert.equal(stats().handles, before)
}

/** What a thread says before it ends. */
async function endOf(thread) {
  const said = []
  thread.on('message', message => said.push(message))
  assert.deepEqual(await once(thread, 'exit'), [0])
  return said
}

/** What a thread does: it sends a handle back, or leaves some handles behind. */
function inThread() {
  if (workerData.token) {
    const handle = Handle.adopt(workerData.token)
    return parentPort.postMessage({ length: handle.length, token: handle.move() })
  }
  globalThis.leftBehind = Array.from({ length: workerData }, () => pageout(pattern(1000)))
  const chunk = pattern(100_000)
  const handle = pageout(chunk)
  parentPort.postMessage({ isDetached: chunk.length === 0, isSame: take(handle)[99_999] === 149_998.5 })
}

function traces() {
  const told = []
  const tell = ({ byteLength, backend }) => told.push([byteLength, backend])
  tracingChannel('pageout:pageout').start.subscribe(tell)
  const result = tryPageout(pattern(4))
  tracingChannel('pageout:pageout').start.unsubscribe(tell)
  assert.ok(result.ok)
  assert.deepEqual(told, [[32, 'file']])
  take(result.value)
}

async function main() {
  let failed = 0
  for (const [name, check] of CHECKS) {
    try {
      await check()
      console.log(`ok      ${name}`)
    } catch (error) {
      failed += 1
      console.log(`not ok  ${name}: ${String(error.message).split('\n', 1)}`)
    }
  }
  console.log(`${CHECKS.length - failed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

if (isMainThread) await main()
else inThread()
