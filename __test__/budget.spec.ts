/** A memory budget: payloads stay in memory while there is room, and the coldest leave by themselves. */

import { channel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import type { Handle, PageoutError, PagerOptions } from 'pageout'
import { MemoryBudget } from 'pageout'
import * as promises from 'pageout/promises'
import { chunkOf, KIB, kinds, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { newDirectory, newPager } from './helpers/places.js'
import { until } from './helpers/until.js'

const BUDGET = MIB

type Native = Record<string, (...args: never[]) => unknown>
const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: Native }

function promisePager(t: ExecutionContext, options: PagerOptions = {}): promises.Pager {
  const pager = new promises.Pager({ scratchDir: newDirectory(t), ...options })
  t.teardown(() => pager.close())
  return pager
}

test('every class comes back in the memory that it went out with, without a write', async t => {
  const [pager, later] = [newPager(t, { residentBytes: BUDGET }), promisePager(t, { residentBytes: BUDGET })]
  for (const kind of kinds) {
    for (const length of [8, 4096, 100_000]) {
      const bytes = pattern(length - (length % kind.elementBytes))
      const chunk = chunkOf(kind, bytes)
      const handle = pager.pageout(chunk)
      t.is((ArrayBuffer.isView(chunk) ? chunk.buffer : chunk).byteLength, 0, kind.name)
      t.is(pager.stats().residentBytes, Math.max(bytes.length, 1024))
      sameBytes(t, pager.read(handle), bytes, kind.name)
      const back = pager.take(handle)
      t.is(back.constructor.name, kind.name)
      sameBytes(t, back, bytes, kind.name)
      const promised = await later.take(await later.pageout(chunkOf(kind, bytes)))
      t.is(promised.constructor.name, kind.name)
      sameBytes(t, promised, bytes, kind.name)
    }
  }
  const { residentBytes, writesElided, takes, residentMisses, usedBytes } = pager.stats()
  t.deepEqual([residentBytes, writesElided, residentMisses, usedBytes], [0, takes, 0, 0])
  t.is(later.stats().residentMisses, 0)
})

test('the coldest leave, all come back, and no more than the budget is in memory', t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const handles = Array.from({ length: 200 }, (_, seed) => {
    const handle = pager.pageout(pattern(64 * KIB, seed))
    t.true(pager.stats().residentBytes <= BUDGET)
    return handle
  })
  for (let round = 0; round < 600; round++) {
    const at = (round * 37) % handles.length
    const handle = handles[at] as Handle<Uint8Array>
    sameBytes(t, pager.readAt(handle, 100, 50), pattern(64 * KIB, at).subarray(100, 150))
    handles[at] = pager.pageout(pager.take(handle))
  }
  handles.forEach((handle, seed) => {
    sameBytes(t, pager.take(handle), pattern(64 * KIB, seed))
  })
  const { residentHits, residentMisses, reads, takes, evictions, residentBytes, usedBytes } = pager.stats()
  t.is(residentHits + residentMisses, reads + takes)
  t.true(evictions > 100)
  t.deepEqual([residentBytes, usedBytes], [0, 0])
})

test('promises do the same, side by side', async t => {
  const pager = promisePager(t, { residentBytes: BUDGET })
  const handles = await Promise.all(Array.from({ length: 100 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed))))
  const reads = handles.map(async (handle, seed) => {
    sameBytes(t, await pager.readAt(handle, seed, 1000), pattern(64 * KIB, seed).subarray(seed, seed + 1000))
    sameBytes(t, await pager.take(handle), pattern(64 * KIB, seed))
  })
  await Promise.all(reads)
  await until(
    t,
    () => pager.stats().usedBytes === 0,
    () => pager.stats(),
  )
  t.is(pager.stats().residentBytes, 0)
})

test('several chunks are one payload, in memory and on disk', t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const whole = pattern(100_000)
  const out = () => pager.pageout([whole.slice(0, 10), new Uint8Array(0), whole.slice(10, 60_000), whole.slice(60_000)])
  const handle = out()
  t.is(pager.stats().residentBytes, 100_000)
  sameBytes(t, pager.readAt(handle, 5, 70_000), whole.subarray(5, 70_005))
  sameBytes(t, pager.take(handle), whole)
  const target = new Uint8Array(150_000)
  const back = pager.take(out(), target)
  t.is(back.buffer, target.buffer)
  sameBytes(t, back, whole)
  const [left, right] = [out(), Array.from({ length: 40 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))]
  sameBytes(t, pager.take(left), whole)
  for (const one of right) one.release()
})

test('what cannot be moved is copied and left, and what may not be moved too', t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const buffer = pattern(1000).buffer as ArrayBuffer
  const part = new Uint8Array(buffer, 100, 500)
  const [ofPart, ofNever] = [pager.pageout(part), pager.pageout(pattern(700), { detach: 'never' })]
  t.is(part.length, 500)
  part.fill(0)
  sameBytes(t, pager.take(ofPart), pattern(1000).subarray(100, 600))
  sameBytes(t, pager.take(ofNever), pattern(700))
  t.is(pager.stats().writesElided, 2)
  if ('resizable' in ArrayBuffer.prototype) {
    const resizable = new (ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer)(1000, {
      maxByteLength: 10_000,
    })
    const chunk = new Uint8Array(resizable)
    chunk.set(pattern(1000))
    const handle = pager.pageout(chunk)
    t.is(chunk.length, 0)
    const back = pager.take(handle)
    sameBytes(t, back, pattern(1000))
    t.falsy((back.buffer as { resizable?: boolean }).resizable)
  }
})

test('a reached capacity is told by the pageout, and chunks are as they were', async t => {
  const options = { residentBytes: BUDGET, capacityBytes: 256 * KIB }
  const [pager, later] = [newPager(t, options), promisePager(t, options)]
  const held = pager.pageout(pattern(128 * KIB))
  const chunk = pattern(200 * KIB)
  const error = t.throws<PageoutError>(() => pager.pageout(chunk))
  t.is(error?.code, 'ERR_PAGEOUT_CAPACITY')
  sameBytes(t, chunk, pattern(200 * KIB))
  sameBytes(t, pager.take(held), pattern(128 * KIB))
  sameBytes(t, pager.take(pager.pageout(chunk)), pattern(200 * KIB))
  const kept = await later.pageout(pattern(128 * KIB))
  const again = pattern(200 * KIB)
  const promised = await t.throwsAsync<PageoutError>(later.pageout(again))
  t.is(promised?.code, 'ERR_PAGEOUT_CAPACITY')
  sameBytes(t, (promised?.chunks?.[0] ?? again) as Uint8Array, pattern(200 * KIB))
  sameBytes(t, await later.take(kept), pattern(128 * KIB))
})

test.serial('chunks that could not be admitted are whole, in the error where they were taken', async t => {
  const pagers = [{ residentBytes: BUDGET }, { residentBytes: BUDGET, excludeFromCoreDumps: true }].flatMap(options => [
    newPager(t, options),
    promisePager(t, options),
  ])
  // A scratch directory that is not open yet is opened by a write.
  for (const pager of pagers) (await pager.pageout(pattern(10))).release()
  const { admitOne, admit } = native
  const fail = () => {
    throw { code: 'ENOMEM', message: 'no memory for an entry' }
  }
  Object.assign(native, { admitOne: fail, admit: fail })
  t.teardown(() => Object.assign(native, { admitOne, admit }))
  for (const pager of pagers) {
    for (const whole of [[pattern(5000)], [pattern(5000), pattern(7000)]]) {
      const lengths = whole.map(({ length }) => length)
      const error = await t.throwsAsync<PageoutError>(async () => pager.pageout(whole), { code: 'ENOMEM' })
      t.deepEqual(
        error?.chunks?.map(chunk => chunk.byteLength),
        lengths,
      )
      for (const chunk of error?.chunks ?? []) sameBytes(t, chunk, pattern(chunk.byteLength))
    }
  }
})

test('a payload larger than the budget, and one that is collected, are written', t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const large = pager.pageout(pattern(BUDGET + 1))
  const collected = pager.pageoutFrom([pattern(10), pattern(20)])
  t.is(pager.stats().residentBytes, 0)
  sameBytes(t, pager.take(large), pattern(BUDGET + 1))
  t.is(pager.take(collected).length, 30)
  t.is(pager.stats().residentMisses, 2)
})

test('a prefetched payload comes into memory', async t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const handles: Handle<Uint8Array>[] = Array.from({ length: 40 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))
  const isResident = (handle: Handle<Uint8Array>) => {
    const before = pager.stats().residentHits
    pager.readAt(handle, 0, 1)
    return pager.stats().residentHits > before
  }
  const cold = handles.find(handle => !isResident(handle)) as Handle<Uint8Array>
  pager.prefetch(cold)
  await until(
    t,
    () => isResident(cold),
    () => pager.stats(),
  )
  sameBytes(t, pager.take(cold), pattern(64 * KIB, handles.indexOf(cold)))
})

test('prefetches that wait for their turn hold no memory, and what was released meanwhile is not read', async t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const handles = Array.from({ length: 400 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))
  await until(
    t,
    () => pager.stats().usedBytes === 400 * 64 * KIB,
    () => pager.stats(),
  )
  const before = process.memoryUsage().arrayBuffers
  for (const handle of handles) {
    pager.prefetch(handle)
    pager.borrow(handle, bytes => bytes[0])
  }
  const heldBytes = process.memoryUsage().arrayBuffers - before
  t.true(heldBytes < 8 * MIB, `${heldBytes} bytes`)
  const { evictions } = pager.stats()
  for (const handle of handles) {
    pager.prefetch(handle)
    handle.release()
  }
  await until(
    t,
    () => pager.stats().residentBytes === 0 && pager.stats().usedBytes === 0,
    () => pager.stats(),
  )
  t.true(pager.stats().evictions - evictions < 100, `${pager.stats().evictions - evictions} evictions`)
})

test('a handle that is released, moved or closed gives its room back', async t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const handles = Array.from({ length: 10 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))
  handles[0]?.release()
  t.is(pager.stats().residentBytes, 9 * 64 * KIB)
  const token = handles[1]?.move() as Parameters<typeof promises.Handle.adopt>[0]
  t.is(pager.stats().residentBytes, 8 * 64 * KIB, 'memory of a thread cannot move')
  const adopted = promises.Handle.adopt(token)
  sameBytes(t, await promises.take(adopted), pattern(64 * KIB, 1))
  const later = promisePager(t, { residentBytes: BUDGET })
  await later.pageout(pattern(64 * KIB))
  await later.pageout(pattern(64 * KIB))
  await later.close()
  pager.close()
  t.throws(() => pager.read(handles[2] as Handle<Uint8Array>), { code: 'ERR_PAGEOUT_CLOSED' })
})

test('pagers share a budget, also with other threads', async t => {
  const budget = new MemoryBudget(BUDGET)
  t.deepEqual([budget.limitBytes, budget.residentBytes], [BUDGET, 0])
  const pagers = [
    newPager(t, { residentBytes: budget }),
    newPager(t, { residentBytes: MemoryBudget.join(budget.token) }),
  ]
  const handles = Array.from({ length: 30 }, (_, seed) => pagers[seed % 2]?.pageout(pattern(64 * KIB, seed)))
  t.true(budget.residentBytes <= BUDGET)
  t.is(
    pagers.reduce((sum, pager) => sum + pager.stats().residentBytes, 0),
    budget.residentBytes,
  )
  const worker = new Worker(new URL('helpers/workers/budget.mjs', import.meta.url), {
    workerData: { token: budget.token, scratchDir: newDirectory(t) },
    execArgv: [],
  })
  const [said] = await once(worker, 'message')
  t.deepEqual(said, { isRight: true, limitBytes: BUDGET })
  t.true(budget.residentBytes <= BUDGET)
  // It ends with payloads in memory.
  await worker.terminate()
  t.is(
    pagers.reduce((sum, pager) => sum + pager.stats().residentBytes, 0),
    budget.residentBytes,
    'its own are gone',
  )
  budget.limitBytes = 128 * KIB
  await until(
    t,
    () => pagers.every(pager => pager.stats()) && budget.residentBytes <= 128 * KIB,
    () => budget.residentBytes,
  )
  handles.forEach((handle, seed) => {
    sameBytes(t, pagers[seed % 2]?.take(handle as Handle<Uint8Array>) as Uint8Array, pattern(64 * KIB, seed))
  })
  t.is(budget.residentBytes, 0)
})

test('evictions are told on a channel, when the call that found them is over', async t => {
  const told: unknown[] = []
  let isInCall = false
  let toldInCall = 0
  // What other tests evict comes here as well, also when this one is over.
  const listener = (message: unknown) => {
    if (isInCall) toldInCall += 1
    told.push(message)
  }
  channel('pageout:eviction').subscribe(listener)
  t.teardown(() => channel('pageout:eviction').unsubscribe(listener))
  const pager = newPager(t, { residentBytes: BUDGET })
  isInCall = true
  for (let seed = 0; seed < 100; seed++) pager.pageout(pattern(48 * KIB, seed))
  isInCall = false
  await Promise.resolve()
  t.is(toldInCall, 0)
  const mine = told.filter(message => (message as { byteLength: number }).byteLength === 48 * KIB)
  t.true(mine.length > 0)
  t.deepEqual(mine[0], { byteLength: 48 * KIB, backend: 'file' })
  t.true(mine.length <= pager.stats().evictions)
})

test('an automatic budget follows what is free', t => {
  const pager = newPager(t, { residentBytes: 'auto' })
  t.true(pager.stats().residentLimitBytes > 0)
  sameBytes(t, pager.take(pager.pageout(pattern(1000))), pattern(1000))
  t.true(new MemoryBudget('auto').limitBytes > 0)
})

test('a wrong budget is refused by name', t => {
  const refused = (option: unknown, code: string) => {
    t.throws(() => newPager(t, { residentBytes: option as number }), { code, message: /residentBytes/ }, String(option))
    t.throws(() => new MemoryBudget(option as number), { code, message: /limit/ }, String(option))
  }
  refused(-1, 'ERR_OUT_OF_RANGE')
  refused(0.5, 'ERR_OUT_OF_RANGE')
  refused(Number.NaN, 'ERR_OUT_OF_RANGE')
  refused(2 ** 53, 'ERR_OUT_OF_RANGE')
  refused('all', 'ERR_INVALID_ARG_VALUE')
  refused({}, 'ERR_INVALID_ARG_TYPE')
  refused(1n, 'ERR_INVALID_ARG_TYPE')
  refused(true, 'ERR_INVALID_ARG_TYPE')
  const budget = new MemoryBudget(1000)
  t.throws(() => MemoryBudget.join('no token'), { code: 'ERR_INVALID_ARG_VALUE' })
  t.throws(() => MemoryBudget.join(crypto.randomUUID()), { code: 'ERR_INVALID_ARG_VALUE' })
  t.throws(() => MemoryBudget.join(1 as unknown as string), { code: 'ERR_INVALID_ARG_TYPE' })
  t.throws(
    () => {
      budget.limitBytes = -1
    },
    { code: 'ERR_OUT_OF_RANGE', message: /limitBytes/ },
  )
  t.is(budget.limitBytes, 1000)
})
