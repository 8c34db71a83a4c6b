/** Borrows within a memory budget beside what other threads do with the payload: none reads memory that callers can reach. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type Borrow, Handle, MemoryBudget, type PageoutError, type Pager, take } from 'pageout'
import * as promises from 'pageout/promises'
import { watchWarnings } from './helpers/borrows.js'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { holdPool } from './helpers/held-pool.js'
import { newDirectory, newPager } from './helpers/places.js'
import { pageoutToDisk } from './helpers/stored.js'
import { until } from './helpers/until.js'

const BUDGET = MIB

type Reads = (handle: Handle<Uint8Array>) => Promise<Uint8Array>[]

/** Reads that wait for a thread of the pool, each of which gives bytes 10 to 20. */
const reads: Record<string, Reads> = {
  'a small read': handle => [promises.readAt(handle, 10, 10)],
  'small reads that share a job': handle => [promises.readAt(handle, 10, 10), promises.readAt(handle, 10, 10)],
  'a read of ranges': handle => [
    promises.readAtMany(handle, [
      [10, 5],
      [15, 5],
    ]),
  ],
  'a large read': handle => [promises.readAt(handle, 10, 100_000).then(bytes => bytes.slice(0, 10))],
  'a stream': handle => [firstOf(handle)],
}

async function firstOf(handle: Handle<Uint8Array>): Promise<Uint8Array> {
  const reader = promises.toReadableStream(handle, { chunkBytes: 20 }).getReader()
  const { value } = await reader.read()
  await reader.cancel()
  return (value as Uint8Array).slice(10)
}

/** A payload on disk, in an empty budget. */
function storedPayload(pager: Pager): Handle<Uint8Array> {
  return pageoutToDisk(pager, pattern(200 * KIB))
}

/** A payload in memory; with a good copy on disk too where `isWritten`. */
function residentPayload(pager: Pager, isWritten: boolean): Handle<Uint8Array> {
  if (!isWritten) return pager.pageout(pattern(200 * KIB))
  const handle = storedPayload(pager)
  pager.borrow(handle, value => value.length)
  return handle
}

function countsOf(pager: Pager): Record<string, number> {
  const { residentBytes, borrowedBytes, residentHits, residentMisses } = pager.stats()
  return { residentBytes, borrowedBytes, residentHits, residentMisses }
}

function transferAway(value: Uint8Array): void {
  const theirs = structuredClone(value, { transfer: [value.buffer as ArrayBuffer] })
  theirs.fill(0xee)
}

for (const [what, begin] of Object.entries(reads)) {
  test.serial(
    `${what} that waits while its payload is borrowed and transferred away does not see that memory`,
    async t => {
      const { arrived } = watchWarnings(t)
      for (const isWritten of [false, true]) {
        const pager = newPager(t, { residentBytes: BUDGET })
        const handle = residentPayload(pager, isWritten)
        const release = holdPool(t)
        const waiting = begin(handle)
        await new Promise(resolve => setImmediate(resolve))
        const borrowed = pager.borrow(handle)
        transferAway(borrowed.value)
        await release()
        for (const outcome of await Promise.allSettled(waiting)) {
          if (outcome.status === 'fulfilled') sameBytes(t, outcome.value, pattern(20).subarray(10))
          else t.is(outcome.reason.code, 'ERR_PAGEOUT_RELEASED')
          t.is(outcome.status, isWritten ? 'fulfilled' : 'rejected')
        }
        borrowed.release()
        t.is(handle.released, !isWritten)
      }
      t.true(await arrived(2))
    },
  )

  test.serial(
    `${what} that waits while its payload is borrowed and changed is done by the JavaScript thread`,
    async t => {
      const pager = newPager(t, { residentBytes: BUDGET })
      for (const isOver of [false, true]) {
        const handle = residentPayload(pager, false)
        const release = holdPool(t)
        const waiting = begin(handle)
        await new Promise(resolve => setImmediate(resolve))
        const borrowed = pager.borrow(handle)
        borrowed.value.fill(7)
        if (isOver) borrowed.release()
        await release()
        for (const read of waiting) sameBytes(t, await read, new Uint8Array(10).fill(7))
        borrowed.release()
        sameBytes(t, pager.take(handle), new Uint8Array(200 * KIB).fill(7))
      }
      t.is(pager.stats().residentBytes, 0)
    },
  )
}

test.serial('a promised borrow of what is in memory waits for no thread of the pool', async t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const handle = residentPayload(pager, false)
  const release = holdPool(t)
  const borrowed = await promises.borrow(handle)
  sameBytes(t, borrowed.value, pattern(200 * KIB))
  borrowed.release()
  await release()
  t.deepEqual(countsOf(pager), { residentBytes: 200 * KIB, borrowedBytes: 0, residentHits: 1, residentMisses: 0 })
})

test.serial('borrows that share a read are one miss, and of what is in memory each is a hit', async t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const handle = storedPayload(pager)
  const hits = pager.stats().residentHits
  const borrowAll = async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => promises.borrow(handle)))
    for (const borrowed of all) borrowed.release()
  }
  await borrowAll()
  t.deepEqual([pager.stats().residentHits - hits, pager.stats().residentMisses], [0, 1])
  await borrowAll()
  t.deepEqual([pager.stats().residentHits - hits, pager.stats().residentMisses], [5, 1])
})

test.serial('a borrow that waits for a prefetch is the miss that the prefetch is not', async t => {
  const borrows: Record<string, (handle: Handle<Uint8Array>) => Borrow | Promise<Borrow>> = {
    'of a promise': handle => promises.borrow(handle),
    'that holds the thread': async handle => {
      await new Promise(resolve => setImmediate(resolve))
      return (await import('pageout')).borrow(handle)
    },
  }
  for (const [what, borrow] of Object.entries(borrows)) {
    const pager = newPager(t, { residentBytes: BUDGET })
    const handle = storedPayload(pager)
    const { residentHits: hits } = pager.stats()
    pager.prefetch(handle)
    const borrowed = await borrow(handle)
    borrowed.release()
    const { residentHits, residentMisses } = pager.stats()
    // The prefetch may be done by then.
    t.is(residentHits - hits + residentMisses, 1, what)
  }
})

/** What comes into memory for a payload that is gone from this thread by then. */
const comings: Record<string, (handle: Handle<Uint8Array>, pager: Pager) => Promise<unknown>> = {
  'a prefetch': async (handle, pager) => pager.prefetch(handle),
  'a promised borrow': async handle => promises.borrow(handle).catch(error => error.code),
}

for (const [what, begin] of Object.entries(comings)) {
  test.serial(
    `a payload that moves away while ${what} waits does not come into memory of the thread that it left`,
    async t => {
      const other = newPager(t).pageout(pattern(MIB))
      const pager = newPager(t, { residentBytes: BUDGET })
      const handle = storedPayload(pager)
      const release = holdPool(t)
      const coming = begin(handle, pager)
      const adopted = Handle.adopt(handle.move())
      await release()
      if (what === 'a promised borrow') t.is(await coming, 'ERR_PAGEOUT_RELEASED')
      // Jobs of one thread end in their order.
      for (let job = 0; job < 8; job++) await promises.read(other)
      t.is(pager.stats().residentBytes, 0)
      sameBytes(t, take(adopted), pattern(200 * KIB))
    },
  )
}

const ends: Record<string, (t: ExecutionContext, handle: Handle<Uint8Array>) => void> = {
  taken: (t, handle) => sameBytes(t, take(handle), pattern(200 * KIB)),
  moved: (t, handle) => sameBytes(t, take(Handle.adopt(handle.move())), pattern(200 * KIB)),
  released: (_, handle) => handle.release(),
}

for (const [what, end] of Object.entries(ends)) {
  test.serial(`a payload that was read for a promised borrow may be ${what} before that`, async t => {
    for (const isStored of [true, false]) {
      const pager = newPager(t, { residentBytes: BUDGET })
      const handle = isStored ? storedPayload(pager) : residentPayload(pager, false)
      // The background may be writing what left: there is no room as long as it does.
      const settled = isStored ? 0 : 200 * KIB
      await until(
        t,
        () => pager.stats().residentBytes === settled,
        () => pager.stats(),
      )
      const borrowing = promises.borrow(handle)
      // Other threads read while this one turns.
      while (pager.stats().borrowedBytes === 0);
      end(t, handle)
      await t.throwsAsync(borrowing, { code: 'ERR_PAGEOUT_RELEASED' })
      t.like(countsOf(pager), { residentBytes: 0, borrowedBytes: 0 })
      t.is(pager.stats().handles, 0)
    }
  })
}

test.serial('where another thread does not free what left, the error has the numbers of the budget', async t => {
  const budget = new MemoryBudget(BUDGET)
  const pager = newPager(t, { residentBytes: budget })
  const handle = storedPayload(pager)
  const wake = new SharedArrayBuffer(4)
  const worker = new Worker(new URL('helpers/workers/full-budget.mjs', import.meta.url), {
    workerData: { token: budget.token, scratchDir: newDirectory(t), wake },
    execArgv: [],
  })
  await once(worker, 'message')
  const facts = { requestedBytes: 200 * KIB, borrowedBytes: 0, residentBytes: BUDGET, limitBytes: BUDGET }
  t.like(
    t.throws<PageoutError>(() => pager.borrow(handle), { code: 'ERR_PAGEOUT_BUDGET' }),
    facts,
  )
  t.like(await t.throwsAsync<PageoutError>(promises.borrow(handle), { code: 'ERR_PAGEOUT_BUDGET' }), facts)
  const waiting = promises.borrow(handle, value => value.slice(), { wait: true })
  Atomics.store(new Int32Array(wake), 0, 1)
  Atomics.notify(new Int32Array(wake), 0)
  sameBytes(t, await waiting, pattern(200 * KIB))
  await until(
    t,
    () => budget.residentBytes === 200 * KIB,
    () => budget.residentBytes,
  )
})

test.serial(
  'a synchronous borrow waits a moment for another thread, which frees what left when it has time',
  async t => {
    const budget = new MemoryBudget(BUDGET)
    const pager = newPager(t, { residentBytes: budget })
    const handle = storedPayload(pager)
    const worker = new Worker(new URL('helpers/workers/full-budget.mjs', import.meta.url), {
      workerData: { token: budget.token, scratchDir: newDirectory(t), busyMs: 200 },
      execArgv: [],
    })
    await once(worker, 'message')
    sameBytes(
      t,
      pager.borrow(handle, value => value.slice()),
      pattern(200 * KIB),
    )
    worker.postMessage('end')
    await once(worker, 'exit')
  },
)

test.serial('a thread ends while a payload is in memory for a borrow that it did not get', async t => {
  const worker = new Worker(new URL('helpers/workers/ends-holding.mjs', import.meta.url), {
    workerData: newDirectory(t),
    execArgv: [],
  })
  await once(worker, 'exit')
  t.pass()
})

test.serial('a borrow that waits long is told of room once', async t => {
  const { clearTimeout } = globalThis
  t.teardown(() => {
    globalThis.clearTimeout = clearTimeout
  })
  let told = 0
  globalThis.clearTimeout = (timer: Parameters<typeof clearTimeout>[0]) => {
    told++
    clearTimeout(timer)
  }
  const pager = newPager(t, { residentBytes: BUDGET })
  const handle = storedPayload(pager)
  const full = pager.pageout(new Uint8Array(BUDGET))
  const borrowed = pager.borrow(full)
  const waiting = promises.borrow(handle, undefined, { wait: true })
  // It looks for itself meanwhile.
  await new Promise(resolve => setTimeout(resolve, 200))
  told = 0
  borrowed.release()
  ;(await waiting).release()
  t.true(told <= 2, `${told} times`)
})

test.serial('a thread that has nothing to do frees little memory too when somebody waits for the room', async t => {
  const budget = new MemoryBudget(BUDGET)
  const pager = newPager(t, { residentBytes: budget })
  const handle = storedPayload(pager)
  const worker = new Worker(new URL('helpers/workers/full-budget.mjs', import.meta.url), {
    workerData: { token: budget.token, scratchDir: newDirectory(t) },
    execArgv: [],
  })
  await once(worker, 'message')
  const value = await promises.borrow(handle, value => value.slice(), { wait: true })
  sameBytes(t, value, pattern(200 * KIB))
  worker.postMessage('end')
  await once(worker, 'exit')
})
