/** Borrows of payloads within a memory budget: in the memory that the payload has, and that the background may write. */

import { markAsUntransferable } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import type { Borrow, Handle, PageoutError, PagerOptions } from 'pageout'
import { MemoryBudget } from 'pageout'
import * as promises from 'pageout/promises'
import { chunkOf, KIB, kinds, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { holdPool } from './helpers/held-pool.js'
import { newDirectory, newPager } from './helpers/places.js'
import { pageoutToDisk } from './helpers/stored.js'
import { until } from './helpers/until.js'

const BUDGET = MIB

function promisePager(t: ExecutionContext, options: PagerOptions = {}): promises.Pager {
  const pager = new promises.Pager({ scratchDir: newDirectory(t), residentBytes: BUDGET, ...options })
  t.teardown(() => pager.close())
  return pager
}

test('a payload in memory is borrowed where it is, in its class, and its array is empty afterwards', t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  for (const kind of kinds) {
    const bytes = pattern(8000)
    const handle = pager.pageout(chunkOf(kind, bytes))
    const borrowed = pager.borrow(handle) as Borrow
    const { value } = borrowed
    t.is(value.constructor.name, kind.name)
    sameBytes(t, value, bytes, kind.name)
    t.deepEqual([pager.stats().borrowedBytes, pager.stats().residentBytes], [8000, 8000])
    const again = pager.borrow(handle) as Borrow
    t.is(again.value.byteLength, 8000)
    borrowed.release()
    sameBytes(t, again.value, bytes, 'the other borrow goes on')
    sameBytes(t, pager.read(handle), bytes)
    t.throws(() => pager.take(handle), { code: 'ERR_PAGEOUT_BORROWED' })
    again.release()
    t.is((ArrayBuffer.isView(value) ? value.buffer : value).byteLength, 0, 'kept references show themselves')
    t.is(pager.stats().borrowedBytes, 0)
    sameBytes(t, pager.take(handle), bytes, kind.name)
  }
  const { residentHits, residentMisses, reads, takes, writesElided } = pager.stats()
  t.is(residentMisses, 0)
  // Each payload was borrowed twice.
  t.is(residentHits, reads + takes + 2 * kinds.length)
  t.is(writesElided, kinds.length)
})

test('a payload on disk comes into memory, and leaves without a write', t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const handles = Array.from({ length: 64 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))
  for (let round = 0; round < 6; round++) {
    handles.forEach((handle, seed) => {
      const borrowed = pager.borrow(handle) as Borrow
      sameBytes(t, borrowed.value, pattern(64 * KIB, seed))
      borrowed.release()
      t.true(pager.stats().residentBytes <= BUDGET)
    })
  }
  const { evictions, evictionsWithoutWrite, changedBorrows, residentMisses } = pager.stats()
  t.true(evictionsWithoutWrite >= 100, String(evictionsWithoutWrite))
  t.true(evictions >= evictionsWithoutWrite && residentMisses >= 100)
  t.is(changedBorrows, 0)
})

test('promises do the same, and those that miss one payload share a read', async t => {
  const pager = promisePager(t)
  const handles = []
  for (let seed = 0; seed < 64; seed++) handles.push(await pager.pageout(pattern(64 * KIB, seed)))
  for (let round = 0; round < 3; round++) {
    for (const [seed, handle] of handles.entries()) {
      const sum = await pager.borrow(handle, value => {
        sameBytes(t, value, pattern(64 * KIB, seed))
        return value.length
      })
      t.is(sum, 64 * KIB)
    }
  }
  const before = pager.stats().residentMisses
  const [cold] = handles
  // Everything else is borrowed once more, so that it is not in memory.
  const all = await Promise.all(Array.from({ length: 8 }, () => pager.borrow(cold as Handle<Uint8Array>)))
  t.true(pager.stats().residentMisses - before <= 1)
  for (const one of all) sameBytes(t, (one as Borrow).value, pattern(64 * KIB, 0))
  for (const one of all) (one as Borrow).release()
  t.is(pager.stats().borrowedBytes, 0)
})

test.serial('borrows that wait for a thread have no memory yet', async t => {
  const pager = promisePager(t, { residentBytes: 64 * MIB })
  const handles = []
  for (let seed = 0; seed < 16; seed++) handles.push(await pager.pageoutFrom([pattern(4 * MIB, seed)]))
  const release = holdPool(t)
  const before = process.memoryUsage().arrayBuffers
  const borrows = handles.map(handle => pager.borrow(handle, value => value[1]))
  await new Promise(resolve => setImmediate(resolve))
  const inUse = process.memoryUsage().arrayBuffers - before
  await release()
  t.deepEqual(
    await Promise.all(borrows),
    await Promise.all(handles.map(async handle => (await pager.readAt(handle, 1, 1))[0])),
  )
  t.true(inUse <= 3 * 4 * MIB, `${inUse}`)
})

test('several chunks are joined by the first borrow', t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const whole = pattern(100_000)
  const handle = pager.pageout([whole.slice(0, 10), new Uint8Array(0), whole.slice(10, 60_000), whole.slice(60_000)])
  pager.borrow(handle, value => sameBytes(t, value, whole))
  t.is(pager.stats().residentBytes, 100_000)
  sameBytes(t, pager.take(handle), whole)
})

test('what was changed while it was borrowed is kept as changed, and counted', async t => {
  for (const integrity of ['checksum', 'none'] as const) {
    const pager = newPager(t, { residentBytes: BUDGET, integrity })
    const handles = Array.from({ length: 64 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))
    const first = handles[0] as Handle<Uint8Array>
    // It has a good copy on disk, from which it comes.
    pager.borrow(first, value => {
      value[100] = 1
      value[101] = 2
    })
    const others = () => {
      for (const handle of handles.slice(1)) pager.borrow(handle, value => value.length)
    }
    if (integrity === 'none') {
      others()
      others()
      t.is(pager.stats().changedBorrows, 0, 'without checksums nobody can tell')
      continue
    }
    const expected = pattern(64 * KIB, 0)
    expected.set([1, 2], 100)
    await until(
      t,
      () => {
        others()
        return pager.stats().changedBorrows === 1
      },
      () => pager.stats(),
    )
    const before = pager.stats().residentMisses
    for (let round = 0; pager.stats().residentMisses === before && round < 100; round++) {
      others()
      sameBytes(t, pager.read(first), expected)
    }
    pager.borrow(first, value => sameBytes(t, value, expected))
    t.is(pager.stats().changedBorrows, 1)
    sameBytes(t, pager.take(first), expected)
  }
})

test('what was changed before it was ever written is counted too, and once', async t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const changed = pager.pageout(pattern(64 * KIB, 0))
  const unchanged = pager.pageout(pattern(64 * KIB, 1))
  const expected = pattern(64 * KIB, 0)
  for (const at of [100, 101]) {
    pager.borrow(changed, value => void value.fill(7, at, at + 1))
    expected[at] = 7
    pager.borrow(unchanged, value => value.length)
  }
  t.is(pager.stats().changedBorrows, 0, 'it is noticed before it leaves')
  const others = Array.from({ length: 64 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))
  await until(
    t,
    () => {
      for (const handle of others) pager.borrow(handle, value => value.length)
      return pager.stats().changedBorrows > 0
    },
    () => pager.stats(),
  )
  for (const handle of others) pager.borrow(handle, value => value.length)
  t.is(pager.stats().changedBorrows, 1)
  sameBytes(t, pager.take(changed), expected)
  sameBytes(t, pager.take(unchanged), pattern(64 * KIB, 1))
})

test('where all of the budget is borrowed a borrow fails with the numbers, or waits in order', async t => {
  const pager = promisePager(t)
  const handles: Handle<Uint8Array>[] = []
  for (let seed = 0; seed < 20; seed++) handles.push(await pager.pageout(pattern(64 * KIB, seed)))
  const borrowed: Borrow[] = []
  for (const handle of handles.slice(0, 16)) borrowed.push((await pager.borrow(handle)) as Borrow)
  const error = await t.throwsAsync<PageoutError>(pager.borrow(handles[16] as Handle<Uint8Array>))
  const { code, requestedBytes, borrowedBytes, residentBytes } = error as PageoutError
  t.deepEqual([code, requestedBytes, borrowedBytes, residentBytes], ['ERR_PAGEOUT_BUDGET', 64 * KIB, BUDGET, BUDGET])
  const result = await pager.tryBorrow(handles[16] as Handle<Uint8Array>)
  t.is(!result.ok && result.error.code, 'ERR_PAGEOUT_BUDGET')
  const came: number[] = []
  const waiting = [16, 17, 18].map(async position => {
    const one = (await pager.borrow(handles[position] as Handle<Uint8Array>, { wait: true })) as Borrow
    came.push(position)
    sameBytes(t, one.value, pattern(64 * KIB, position))
    return one
  })
  const stop = new AbortController()
  const givesUp = pager.borrow(handles[19] as Handle<Uint8Array>, { wait: true, signal: stop.signal })
  const refused = t.throwsAsync(givesUp, { name: 'AbortError' })
  await new Promise(resolve => setTimeout(resolve, 30))
  t.deepEqual(came, [])
  stop.abort()
  await refused
  for (const one of borrowed.splice(0, 3)) {
    one.release()
    await new Promise(resolve => setTimeout(resolve, 30))
  }
  const waited = await Promise.all(waiting)
  t.deepEqual(came, [16, 17, 18])
  for (const one of [...borrowed, ...waited]) one.release()
  const large = await pager.pageout(new Uint8Array(BUDGET + 1))
  await t.throwsAsync(pager.borrow(large, { wait: true }), { code: 'ERR_PAGEOUT_BUDGET' }, 'it can never fit')
  t.is(pager.stats().borrowedBytes, 0)
})

test('a close ends borrows at once and rejects those who wait', async t => {
  const pager = promisePager(t)
  const handles: Handle<Uint8Array>[] = []
  for (let seed = 0; seed < 17; seed++) handles.push(await pager.pageout(pattern(64 * KIB, seed)))
  const borrowed: Borrow<Uint8Array>[] = []
  for (const handle of handles.slice(0, 16)) borrowed.push((await pager.borrow(handle)) as Borrow<Uint8Array>)
  const values = borrowed.map(({ value }) => value)
  const waits = t.throwsAsync(pager.borrow(handles[16] as Handle<Uint8Array>, { wait: true }), {
    code: 'ERR_PAGEOUT_CLOSED',
  })
  const closed = pager.close()
  t.true(values.every(({ length }) => length === 0))
  t.true(borrowed.every(({ released }) => released))
  await waits
  await closed
})

test('memory that was transferred away is noticed, and the payload is what the disk says', async t => {
  const pager = newPager(t, { residentBytes: BUDGET })
  const warnings: Error[] = []
  const listener = (warning: Error) => warnings.push(warning)
  process.on('warning', listener)
  t.teardown(() => process.off('warning', listener))
  const unwritten = pager.pageout(pattern(1000))
  const borrowed = pager.borrow(unwritten) as Borrow<Uint8Array>
  structuredClone(borrowed.value, { transfer: [borrowed.value.buffer as ArrayBuffer] })
  borrowed.release()
  t.true(unwritten.released, 'there was no copy')
  t.is(pager.stats().residentBytes, 0)
  const written = pageoutToDisk(pager, pattern(64 * KIB, 0))
  const other = pager.borrow(written) as Borrow<Uint8Array>
  structuredClone(other.value, { transfer: [other.value.buffer as ArrayBuffer] })
  other.release()
  t.false(written.released)
  sameBytes(t, pager.take(written), pattern(64 * KIB, 0))
  await new Promise(resolve => setImmediate(resolve))
  t.is(warnings.filter(({ message }) => message.includes('transferred away')).length, 2)
  t.is(pager.stats().borrowedBytes, 0)
})

test('memory that callers keep for good is copied in the same room, and the payload can be taken', async t => {
  for (const residentBytes of [64 * KIB, BUDGET]) {
    for (const excludeFromCoreDumps of [false, true]) {
      const pager = newPager(t, { residentBytes, excludeFromCoreDumps })
      const handle = pager.pageout(pattern(64 * KIB))
      const borrowed = pager.borrow(handle) as Borrow<Uint8Array>
      const { value } = borrowed
      value[0] = 99
      markAsUntransferable(value.buffer)
      borrowed.release()
      t.is(value.length, 64 * KIB, 'nothing empties it')
      t.deepEqual([pager.stats().borrowedBytes, pager.stats().residentBytes], [0, 64 * KIB])
      value.fill(1)
      const expected = pattern(64 * KIB)
      expected[0] = 99
      sameBytes(t, await promises.read(handle), expected)
      pager.borrow(handle, again => sameBytes(t, again, expected))
      sameBytes(t, pager.take(handle), expected)
      t.is(pager.stats().residentBytes, 0)
    }
  }
})

test.serial('a release without memory for that copy fails, and is tried again', t => {
  const pager = newPager(t, { residentBytes: BUDGET, spareBytes: 0 })
  const handle = pager.pageout(pattern(64 * KIB))
  const borrowed = pager.borrow(handle) as Borrow<Uint8Array>
  markAsUntransferable(borrowed.value.buffer)
  const { allocUnsafeSlow } = Buffer
  const fail = () => {
    throw new RangeError('no memory')
  }
  Buffer.allocUnsafeSlow = fail
  try {
    t.throws(() => borrowed.release(), { code: 'ENOMEM' })
    t.throws(() => pager.take(handle), { code: 'ENOMEM' })
  } finally {
    Buffer.allocUnsafeSlow = allocUnsafeSlow
  }
  t.true(borrowed.released)
  sameBytes(t, pager.take(handle), pattern(64 * KIB))
  t.deepEqual([pager.stats().borrowedBytes, pager.stats().residentBytes], [0, 0])
})

test.serial('a pager closes without memory for that copy', t => {
  const pager = newPager(t, { residentBytes: BUDGET, spareBytes: 0 })
  const borrowed = pager.borrow(pager.pageout(pattern(64 * KIB))) as Borrow<Uint8Array>
  const { value } = borrowed
  markAsUntransferable(value.buffer)
  const { allocUnsafeSlow } = Buffer
  Buffer.allocUnsafeSlow = () => {
    throw new RangeError('no memory')
  }
  try {
    pager.close()
  } finally {
    Buffer.allocUnsafeSlow = allocUnsafeSlow
  }
  t.true(borrowed.released)
  t.throws(() => pager.stats(), { code: 'ERR_PAGEOUT_CLOSED' })
  sameBytes(t, value, pattern(64 * KIB), 'it is the callers')
})

test('threads borrow within one budget', async t => {
  const budget = new MemoryBudget(BUDGET)
  const pagers = [newPager(t, { residentBytes: budget }), newPager(t, { residentBytes: budget })]
  const handles = pagers.map(pager => Array.from({ length: 16 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed))))
  const borrowed = pagers.map((pager, at) => handles[at]?.slice(8).map(handle => pager.borrow(handle) as Borrow) ?? [])
  t.is(budget.residentBytes, BUDGET)
  const error = t.throws<PageoutError>(() => pagers[0]?.borrow(handles[0]?.[0] as Handle<Uint8Array>))
  t.is(error?.code, 'ERR_PAGEOUT_BUDGET')
  for (const one of borrowed.flat()) one.release()
  pagers.forEach((pager, at) => {
    handles[at]?.forEach((handle, seed) => {
      pager.borrow(handle, value => sameBytes(t, value, pattern(64 * KIB, seed)))
    })
  })
  t.deepEqual(
    pagers.map(pager => pager.stats().borrowedBytes),
    [0, 0],
  )
})
