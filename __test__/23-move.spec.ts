/** Handles that move to another thread. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type Chunk, Handle, type HandleToken, pageout, pageoutWith, readAt, stats, take } from 'pageout'
import * as promises from 'pageout/promises'
import { backends, bytesOf, chunkOf, classOf, kinds, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { hasProc, newPager, openDescriptors } from './helpers/places.js'

const serialWithProc = hasProc ? test.serial : test.serial.skip

/** A thread that adopts what it is sent, and says what it found; see the file. */
function adopter(t: ExecutionContext): Worker {
  const worker = new Worker(new URL('helpers/workers/adopt.mjs', import.meta.url), { execArgv: [] })
  t.teardown(() => worker.terminate())
  return worker
}

async function answer<T>(worker: Worker, request: object): Promise<T> {
  worker.postMessage(request)
  const [found] = await once(worker, 'message')
  return found as T
}

for (const backend of backends) {
  test.serial(`payloads of every class move to another thread and back (${backend})`, async t => {
    const worker = adopter(t)
    for (const kind of kinds) {
      const bytes = pattern(64 * kind.elementBytes)
      const handle = pageoutWith(backend, chunkOf(kind, bytes))
      const token = handle.move()
      t.true(handle.released)
      t.throws(() => take(handle), { code: 'ERR_PAGEOUT_RELEASED' })
      const there = await answer<Record<string, unknown>>(worker, { token })
      t.deepEqual([there.class, there.length, there.backend], [kind.name, 64, backend])
      sameBytes(t, there.whole as Chunk, bytes, kind.name)
      const back = take(Handle.adopt(there.token as HandleToken))
      t.is(classOf(back), kind.name)
      sameBytes(t, back, bytes, kind.name)
    }
  })
}

test.serial('moving leaves the payload where it is', t => {
  const before = stats()
  const handle = pageout(pattern(64 * MIB))
  const out = stats()
  const token = handle.move()
  const { handles, payloadBytes, usedBytes, pageouts } = stats()
  t.deepEqual([handles, payloadBytes, usedBytes], [out.handles, out.payloadBytes, out.usedBytes], 'on its way')
  t.is(stats().movingHandles, out.movingHandles + 1)
  const adopted = Handle.adopt(token)
  t.deepEqual([adopted.length, adopted.released, stats().handles], [64 * MIB, false, out.handles])
  t.deepEqual([stats().pageouts, stats().movingHandles], [pageouts, out.movingHandles], 'nothing went out anew')
  adopted[Symbol.dispose]()
  t.deepEqual([stats().handles, stats().usedBytes], [before.handles, before.usedBytes])
})

test.serial('the numbers of a payload in memory move with it', t => {
  const before = stats()
  const handle = pageoutWith('swap', [pattern(1000), pattern(500)])
  const token = handle.move()
  t.deepEqual([stats().handles, stats().payloadBytes], [before.handles + 1, before.payloadBytes + 1500])
  const adopted = Handle.adopt(token)
  t.deepEqual([stats().handles, stats().payloadBytes], [before.handles + 1, before.payloadBytes + 1500])
  sameBytes(t, readAt(adopted, 990, 20), Buffer.concat([pattern(1000).subarray(990), pattern(500).subarray(0, 10)]))
  adopted[Symbol.dispose]()
  t.deepEqual([stats().handles, stats().payloadBytes], [before.handles, before.payloadBytes])
})

test('a token is small and may be cloned', t => {
  const token = pageout(pattern(MIB)).move()
  t.true(JSON.stringify(token).length < 64)
  take(Handle.adopt(structuredClone(token)))
  t.pass()
})

test('a token is good for one use, in one of all threads', async t => {
  const token = pageout(pattern(100)).move()
  const worker = adopter(t)
  const there = await answer<{ code?: string }>(worker, { token })
  t.is(there.code, undefined)
  t.throws(() => Handle.adopt(token), { code: 'ERR_PAGEOUT_RELEASED', message: /adopted before/ })
  t.is((await answer<{ code?: string }>(worker, { token })).code, 'ERR_PAGEOUT_RELEASED')
})

test('of many threads that adopt one token, one succeeds', async t => {
  const workers = Array.from({ length: 4 }, () => adopter(t))
  const token = pageout(pattern(100)).move()
  const found = await Promise.all(workers.map(worker => answer<{ code?: string }>(worker, { token })))
  const codes = found.map(({ code }) => code).sort()
  t.deepEqual(codes, ['ERR_PAGEOUT_RELEASED', 'ERR_PAGEOUT_RELEASED', 'ERR_PAGEOUT_RELEASED', undefined])
})

test('what is no token is refused by type or form', t => {
  const adopt = (token: unknown) => () => Handle.adopt(token as HandleToken)
  for (const token of [undefined, null, 5, {}, [], Symbol('token'), pageout(Uint8Array.of(1))]) {
    t.throws(adopt(token), { code: 'ERR_INVALID_ARG_TYPE', message: /"token" argument/ })
  }
  for (const token of ['', 'token', 'g0000000-0000-0000-0000-000000000000']) {
    t.throws(adopt(token), { code: 'ERR_INVALID_ARG_VALUE', message: /"token" argument/ })
  }
  t.throws(adopt('00000000-0000-4000-8000-000000000000'), { code: 'ERR_PAGEOUT_RELEASED' })
})

test('a handle that was taken, disposed of or is being taken cannot move', async t => {
  const taken = pageout(pattern(8))
  take(taken)
  t.throws(() => taken.move(), { code: 'ERR_PAGEOUT_RELEASED' })
  const disposed = pageout(pattern(8))
  disposed[Symbol.dispose]()
  t.throws(() => disposed.move(), { code: 'ERR_PAGEOUT_RELEASED' })
  const pending = pageout(pattern(MIB))
  const taking = promises.take(pending)
  t.throws(() => pending.move(), { code: 'ERR_PAGEOUT_RELEASED' })
  sameBytes(t, await taking, pattern(MIB))
})

test('reads that are pending end well when the handle moves', async t => {
  const handle = pageout(pattern(MIB))
  const reads = Array.from({ length: 32 }, (_, index) => promises.readAt(handle, 1000 * index, 10))
  const adopted = Handle.adopt(handle.move())
  for (const [index, read] of reads.entries()) {
    sameBytes(t, await read, pattern(MIB).subarray(1000 * index, 1000 * index + 10))
  }
  sameBytes(t, await promises.take(adopted), pattern(MIB))
})

test('a payload of another pager is whole after the move, and survives that pager', t => {
  for (const backend of backends) {
    const pager = newPager(t)
    const bytes = pattern(10_000)
    const token = pager.pageoutWith(backend, bytes.slice()).move()
    pager.close()
    const adopted = Handle.adopt(token)
    t.throws(() => newPager(t).take(adopted), { code: 'ERR_INVALID_ARG_VALUE' })
    sameBytes(t, readAt(adopted, 9000, 100), bytes.subarray(9000, 9100))
    sameBytes(t, take(adopted), bytes)
  }
  const closed = newPager(t)
  const handle = closed.pageout(pattern(8))
  closed.close()
  t.throws(() => handle.move(), { code: 'ERR_PAGEOUT_CLOSED' })
})

serialWithProc('a closed pager is open for the payload that was moved from it, and no longer', t => {
  const before = openDescriptors()
  const pager = newPager(t)
  const [kept, sent] = [pager.pageout(pattern(100)), pager.pageout(pattern(200))]
  const first = Handle.adopt(sent.move())
  pager.close()
  t.true(openDescriptors() > before)
  const second = Handle.adopt(first.move())
  sameBytes(t, readAt(second, 0, 200), pattern(200))
  t.throws(() => pager.take(kept), { code: 'ERR_PAGEOUT_CLOSED' })
  second[Symbol.dispose]()
  t.is(openDescriptors(), before)
})

test.serial('a payload outlives the thread that sent it', async t => {
  const worker = adopter(t)
  const { token } = await answer<{ token: HandleToken }>(worker, { make: pattern(5000) })
  await worker.terminate()
  sameBytes(t, bytesOf(take(Handle.adopt(token))), pattern(5000))
})

test.serial('a thread that ends frees what it adopted', async t => {
  const before = stats().handles
  const worker = adopter(t)
  await answer(worker, { token: pageout(pattern(100)).move(), keeps: true })
  t.is(stats().handles, before + 1)
  await worker.terminate()
  t.is(stats().handles, before)
})

for (const backend of backends) {
  test.serial(
    `of a thread that is terminated in the middle of moving, only what is counted stays (${backend})`,
    async t => {
      const before = stats()
      for (let thread = 0; thread < 40; thread++) {
        const program = new URL('helpers/workers/move.mjs', import.meta.url)
        const worker = new Worker(program, { workerData: backend, execArgv: [] })
        await once(worker, 'message')
        await worker.terminate()
      }
      const after = stats()
      const lost = after.movingHandles - before.movingHandles
      t.log(`${lost} of 40 were terminated between move() and adopt()`)
      t.deepEqual([after.handles, after.payloadBytes], [before.handles + lost, before.payloadBytes + 5000 * lost])
      t.true(after.usedBytes === before.usedBytes + (backend === 'file' ? 8192 * lost : 0))
    },
  )
}
