import { once } from 'node:events'
import * as workers from 'node:worker_threads'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type Backend, backend, pageout, pageoutWith, readAt, setBackend, stats, take } from 'pageout'
import { backends, KIB, pattern, sameBytes } from './helpers/chunks.js'
import { hasProc, openDescriptors } from './helpers/places.js'

interface Report {
  readonly isDetached: boolean
  readonly slice: Uint8Array
  readonly own: Float64Array
  readonly whole: Uint8Array
  readonly backend: Backend
  readonly handles: number
}

interface Work {
  /** Handles of each backend that the thread leaves behind. */
  readonly left?: number
  readonly chosen?: Backend
  /** Whether it waits to be terminated. */
  readonly waits?: boolean
}

const bytes = pattern(10_000)

function start(t: ExecutionContext, program: string, work: Work = {}): Worker {
  const workerData = { bytes, left: 0, ...work }
  // Without the test runner's loaders, as an application would start it.
  const worker = new Worker(new URL(`helpers/workers/${program}`, import.meta.url), { workerData, execArgv: [] })
  t.teardown(() => worker.terminate())
  return worker
}

async function reportOf(worker: Worker): Promise<Report> {
  const [report] = await once(worker, 'message')
  return report as Report
}

function check(t: ExecutionContext, report: Report): void {
  t.true(report.isDetached)
  sameBytes(t, report.slice, bytes.subarray(10, 30))
  sameBytes(t, report.whole, bytes)
  t.deepEqual(report.own, Float64Array.of(1.5, 2.5))
}

test.serial('a worker thread can use the package, and what it leaves behind is freed when it ends', async t => {
  const mine = pageout(bytes.slice())
  const before = stats()
  const worker = start(t, 'load.mjs', { left: 50 })
  const ended = once(worker, 'exit')
  check(t, await reportOf(worker))
  t.deepEqual(await ended, [0])
  const { handles, payloadBytes, usedBytes } = stats()
  t.deepEqual([handles, payloadBytes, usedBytes], [before.handles, before.payloadBytes, before.usedBytes])
  sameBytes(t, take(mine), bytes, 'handles of other threads stay')
})

test.serial('handles of a thread count in the stats of the process', async t => {
  const before = stats()
  const worker = start(t, 'load.mjs', { left: 50, waits: true })
  const report = await reportOf(worker)
  t.is(report.handles, before.handles + 100, 'in that thread')
  t.is(stats().handles, before.handles + 100, 'and in this')
  t.is(stats().takes, before.takes + 1)
  await worker.terminate()
  t.is(stats().handles, before.handles)
  t.is(stats().usedBytes, before.usedBytes)
})

test.serial('several threads use the package at a time', async t => {
  const before = stats()
  const workers = Array.from({ length: 6 }, () => start(t, 'load.mjs', { left: 20 }))
  const ends = workers.map(worker => once(worker, 'exit'))
  for (const report of await Promise.all(workers.map(reportOf))) check(t, report)
  t.deepEqual(
    await Promise.all(ends),
    workers.map(() => [0]),
  )
  t.is(stats().handles, before.handles)
  t.is(stats().usedBytes, before.usedBytes)
})

test.serial('twenty threads come and go', async t => {
  const before = stats()
  const descriptorsBefore = hasProc ? openDescriptors() : 0
  for (let round = 0; round < 20; round += 1) {
    const worker = start(t, 'load.mjs', { left: 5, waits: round % 2 === 1 })
    const ended = once(worker, 'exit')
    check(t, await reportOf(worker))
    if (round % 2 === 1) await worker.terminate()
    await ended
    t.is(stats().handles, before.handles, `thread ${round}`)
  }
  if (hasProc) t.true(openDescriptors() <= descriptorsBefore + 2, 'the files of their pagers are closed')
  t.is(stats().usedBytes, before.usedBytes)
})

test.serial('threads that are terminated in the middle of their work leave nothing behind', async t => {
  const before = stats()
  const mine = pageout(bytes.slice())
  for (let round = 0; round < 5; round += 1) {
    const workers = [start(t, 'busy.mjs'), start(t, 'busy.mjs')]
    await Promise.all(workers.map(worker => once(worker, 'message')))
    await Promise.all(workers.map(worker => worker.terminate()))
  }
  t.is(stats().handles, before.handles + 1)
  sameBytes(t, take(mine), bytes)
  t.is(stats().usedBytes, before.usedBytes)
})

test.serial('shared memory goes out as it was at one moment or another, while a thread writes to it', async t => {
  const shared = new SharedArrayBuffer(4 + 256 * KIB)
  const workerData = { shared }
  const worker = new Worker(new URL('helpers/workers/scribble.mjs', import.meta.url), { workerData, execArgv: [] })
  t.teardown(() => worker.terminate())
  await once(worker, 'message')
  for (let round = 0; round < 50; round += 1) {
    for (const backend of backends) {
      const handle = pageoutWith(backend, new Uint8Array(shared, 4))
      const first = readAt(handle, 0, 256 * KIB)
      sameBytes(t, take(handle), first, 'the payload does not follow the writes')
      const target = new Uint8Array(shared, 4)
      t.is(take<Uint8Array>(pageoutWith(backend, first), target).length, 256 * KIB)
    }
  }
  Atomics.store(new Int32Array(shared, 0, 1), 0, 1)
  await once(worker, 'message')
})

test.serial('the backend that one thread chooses is the one of all', async t => {
  t.teardown(() => setBackend('file'))
  t.is(backend(), 'file')
  const worker = start(t, 'load.mjs', { chosen: 'swap' })
  const ended = once(worker, 'exit')
  const report = await reportOf(worker)
  check(t, report)
  t.is(report.backend, 'swap')
  t.is(backend(), 'swap')
  await ended
  t.is(backend(), 'swap', 'the choice outlives the thread')
  setBackend('file')
  const next = await reportOf(start(t, 'load.mjs'))
  t.is(next.backend, 'file')
})

const canRefuse = 'markAsUncloneable' in workers

;(canRefuse ? test.serial.skip : test.serial)('a handle that is sent to another thread is none there', async t => {
  const handle = pageout(bytes.slice())
  const { port1, port2 } = new MessageChannel()
  t.teardown(() => port1.close())
  port1.postMessage(handle)
  const [received] = await once(port2, 'message')
  t.throws(() => take(received), { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE' })
  sameBytes(t, take(handle), bytes)
})
