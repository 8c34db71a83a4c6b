import { readdirSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import {
  type Backend,
  backend as chosenBackend,
  Pager,
  type PagerStats,
  pageout,
  setBackend,
  take,
  trim,
} from 'pageout'
import * as promises from 'pageout/promises'
import { backends, KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { countsOf, hasProc, heldBytes, newDirectory, newPager, openDescriptors } from './helpers/places.js'

const testWithProc = hasProc ? test : test.skip
const serialWithProc = hasProc ? test.serial : test.serial.skip

/** Follows what a pager counts from step to step. */
function counter(t: ExecutionContext, pager: Pager): (step: string, more: Partial<PagerStats>) => void {
  let { scratchBytes: _, dirtyBytes: __, ...expected } = countsOf(pager)
  return (step, more) => {
    const added = Object.entries(more).map(([name, by]) => [
      name,
      Number(expected[name as keyof typeof expected]) + Number(by),
    ])
    expected = { ...expected, ...Object.fromEntries(added) }
    const { scratchBytes, dirtyBytes, ...counts } = countsOf(pager)
    t.deepEqual(counts, expected, step)
    t.true(scratchBytes >= counts.usedBytes, `${step}: slots in use have disk space`)
    t.is(dirtyBytes, counts.usedBytes, `${step}: so few bytes are left to the system`)
  }
}

for (const backend of backends) {
  test(`stats are exact after each verb of the ${backend} backend`, t => {
    const pager = newPager(t, { spareBytes: 0 })
    const slots = (bytes: number) => {
      const ofFile = backend === 'file' ? bytes : 0
      return { usedBytes: ofFile, storedBytes: ofFile }
    }
    const expect = counter(t, pager)
    expect('nothing happened', {})
    const two = pager.pageoutWith(backend, [new Float64Array(256), new Float64Array(256)])
    expect('pageout', { handles: 1, payloadBytes: 4096, ...slots(4096), pageouts: 1, pageoutBytes: 4096 })
    const eight = pager.pageoutWith(backend, new Uint8Array(8 * KIB), { detach: 'never' })
    expect('pageout', { handles: 1, payloadBytes: 8192, ...slots(8192), pageouts: 1, pageoutBytes: 8192 })
    const empty = pager.pageoutWith(backend, new Uint8Array(0))
    expect('pageout of nothing', { handles: 1, pageouts: 1 })
    pager.readAt(two, 1, 2)
    expect('readAt', { reads: 1, readBytes: 16 })
    pager.readAt(two, 512, 0)
    expect('readAt of nothing', { reads: 1 })
    pager.readAtMany(eight, [
      [5, 1],
      [7000, 100],
      [0, 2],
    ])
    expect('readAtMany', { reads: 1, readBytes: 103 })
    pager.readAtMany(eight, [])
    expect('readAtMany of nothing', { reads: 1 })
    pager.readAt(eight, 0, 10, new Uint8Array(20))
    expect('readAt into a target', { reads: 1, readBytes: 10 })
    pager.prefetch(two)
    pager.prefetch(two, [
      [0, 1],
      [5, 2],
    ])
    expect('prefetch', {})
    pager.tryReadAt(two, 0, 1)
    expect('tryReadAt', { reads: 1, readBytes: 8 })
    t.throws(() => pager.readAt(two, 0, 513))
    t.throws(() => pager.pageoutWith(backend, 'text' as never))
    expect('wrong calls', {})
    pager.take(two)
    expect('take', { handles: -1, payloadBytes: -4096, ...slots(-4096), takes: 1, takeBytes: 4096 })
    pager.take(empty, new Uint8Array(1))
    expect('take of nothing', { handles: -1, takes: 1 })
    eight[Symbol.dispose]()
    expect('dispose', { handles: -1, payloadBytes: -8192, ...slots(-8192) })
    const { handles, payloadBytes, usedBytes } = pager.stats()
    t.deepEqual({ handles, payloadBytes, usedBytes }, { handles: 0, payloadBytes: 0, usedBytes: 0 })
  })

  test(`prefetch changes nothing that can be seen in the ${backend} backend`, t => {
    const pager = newPager(t)
    const bytes = pattern(MIB)
    const handle = pager.pageoutWith(backend, [bytes.slice(0, 1000), bytes.slice(1000)])
    const before = countsOf(pager)
    t.is(pager.prefetch(handle), undefined)
    t.is(pager.prefetch(handle, []), undefined)
    t.is(pager.prefetch(handle, [[MIB, 0]]), undefined)
    t.is(
      pager.prefetch(handle, [
        [MIB - 1, 1],
        [0, 5000],
      ]),
      undefined,
    )
    t.deepEqual(countsOf(pager), before)
    sameBytes(t, pager.take(handle), bytes)
    const empty = pager.pageoutWith(backend, new Uint8Array(0))
    t.is(pager.prefetch(empty), undefined)
  })

  test(`a pager is closed once, with all its handles of the ${backend} backend`, t => {
    const [pager, other] = [newPager(t), newPager(t)]
    const handles = [pager.pageoutWith(backend, pattern(10)), pager.pageoutWith(backend, pattern(20))]
    const survivor = other.pageoutWith(backend, pattern(30))
    for (let round = 0; round < 3; round += 1) {
      t.is(pager.close(), undefined)
      t.is(pager[Symbol.dispose](), undefined)
    }
    t.true(handles.every(handle => handle.released))
    t.false(survivor.released)
    for (const handle of handles) t.throws(() => pager.take(handle), { code: 'ERR_PAGEOUT_CLOSED' })
    for (const handle of handles) handle[Symbol.dispose]()
    for (const handle of handles) t.throws(() => handle.move(), { code: 'ERR_PAGEOUT_CLOSED' })
    t.deepEqual([other.stats().handles, other.stats().payloadBytes], [1, 30], 'other pagers are as they were')
    sameBytes(t, other.take(survivor), pattern(30))
  })

  test(`the backend of a handle is fixed when it goes to ${backend}`, t => {
    const pager = newPager(t)
    pager.setBackend(backend)
    const handle = pager.pageout(pattern(100))
    pager.setBackend(backend === 'file' ? 'swap' : 'file')
    t.is(handle.backend, backend)
    t.not(pager.pageout(pattern(100)).backend, backend)
    sameBytes(t, pager.take(handle), pattern(100))
  })
}

test('the backend is file until another is chosen, and options of a call win', t => {
  const pager = newPager(t)
  const backendOf = (options?: { backend?: Backend }) => {
    using handle = pager.pageout(Uint8Array.of(1), options)
    return handle.backend
  }
  t.deepEqual(
    [pager.backend(), backendOf(), backendOf({ backend: 'swap' }), pager.backend()],
    ['file', 'file', 'swap', 'file'],
  )
  t.is(pager.setBackend('swap'), undefined)
  t.deepEqual(
    [pager.backend(), backendOf(), backendOf({}), backendOf({ backend: 'file' })],
    ['swap', 'swap', 'swap', 'file'],
  )
  t.is(newPager(t, { backend: 'swap' }).backend(), 'swap')
  t.is(newPager(t, { backend: 'file' }).backend(), 'file')
})

test.serial('setBackend of the module changes later pageouts of the module, and no other pager', t => {
  const pager = newPager(t)
  t.is(chosenBackend(), 'file')
  const before = pageout(Uint8Array.of(1))
  setBackend('swap')
  t.teardown(() => setBackend('file'))
  const after = pageout(Uint8Array.of(2))
  t.deepEqual([chosenBackend(), before.backend, after.backend, pager.backend()], ['swap', 'file', 'swap', 'file'])
  t.deepEqual([...take(before), ...take(after)], [1, 2])
  setBackend('file')
  t.is(chosenBackend(), 'file')
})

test('pagers are independent of each other', t => {
  const [first, second] = [newPager(t, { capacityBytes: 4 * KIB }), newPager(t)]
  t.not(first.stats().scratchDir, second.stats().scratchDir)
  const handle = first.pageout(pattern(4 * KIB))
  t.is(second.stats().handles, 0)
  t.false(first.tryPageout(pattern(1)).ok, 'the first is full')
  const other = second.pageout(pattern(8 * KIB))
  second.setBackend('swap')
  t.is(first.backend(), 'file')
  const refusal = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_VALUE' }
  t.throws(() => second.take(handle), refusal)
  t.throws(() => first.readAt(other, 0, 1), refusal)
  const ofProcess = pageout(pattern(5))
  t.throws(() => second.take(ofProcess), refusal, 'nor does a pager serve handles of the process-wide one')
  ofProcess.release()
  sameBytes(t, second.take(other), pattern(8 * KIB))
  sameBytes(t, take(handle), pattern(4 * KIB), 'the functions serve handles of any pager')
  t.deepEqual([first.stats().handles, first.stats().takes], [0, 1])
})

test('a pager of promises is closed by its close and by await using alone', t => {
  t.false(Symbol.dispose in promises.Pager.prototype)
  t.true(Symbol.asyncDispose in promises.Pager.prototype)
  t.true(Symbol.dispose in Pager.prototype)
  t.false(Symbol.asyncDispose in Pager.prototype)
})

test('two pagers may share a scratch directory', t => {
  const scratchDir = newDirectory(t)
  using first = new Pager({ scratchDir })
  using second = new Pager({ scratchDir })
  const [one, two] = [first.pageout(pattern(5000, 1)), second.pageout(pattern(5000, 2))]
  first.close()
  t.is(one.length, 5000)
  sameBytes(t, second.take(two), pattern(5000, 2))
})

test('a pager without a directory opens one when the first payload goes out', t => {
  using pager = new Pager()
  const { scratchDir, fileSystem, capacityBytes, scratchBytes } = pager.stats()
  t.deepEqual(
    { scratchDir, fileSystem, capacityBytes, scratchBytes },
    { scratchDir: null, fileSystem: null, capacityBytes: 0, scratchBytes: 0 },
  )
  pager.pageoutWith('swap', pattern(100))
  pager.trim()
  t.is(pager.stats().scratchDir, null, 'the swap backend needs none')
  pager.pageout(pattern(100))
  const open = pager.stats()
  t.is(typeof open.scratchDir, 'string')
  t.is(typeof open.fileSystem, 'string')
  t.true(open.capacityBytes > 0)
})

test('stats have every number, and nothing else', t => {
  const stats = newPager(t).stats()
  const counts = [
    'handles',
    'payloadBytes',
    'movingHandles',
    'usedBytes',
    'storedBytes',
    'capacityBytes',
    'scratchBytes',
    'dirtyBytes',
    'dirtyBudgetBytes',
    'pushedBytes',
    'writeBackFailures',
    'atRiskBytes',
    'spareBytes',
    'spareHits',
    'pageouts',
    'pageoutBytes',
  ]
  const budget = [
    ['residentBytes', 'borrowedBytes', 'residentLimitBytes', 'residentHits', 'residentMisses', 'evictions'],
    ['evictionsWithoutWrite', 'writesElided', 'backgroundWriteFailures', 'changedBorrows'],
  ].flat()
  const rest = [...budget, 'reads', 'readBytes', 'takes', 'takeBytes', 'swapBytes', 'swapFreeBytes']
  t.deepEqual(Object.keys(stats).sort(), [...counts, ...rest, 'scratchDir', 'fileSystem'].sort())
  for (const name of [...counts, ...rest]) t.true(Number.isSafeInteger(stats[name as keyof PagerStats]), name)
  t.true(stats.swapFreeBytes <= stats.swapBytes)
})

test('stats are a picture of their moment', t => {
  const pager = newPager(t)
  const before = pager.stats()
  pager.pageout(pattern(10))
  t.is(before.pageouts, 0)
  before.pageouts = 99
  t.is(pager.stats().pageouts, 1)
})

testWithProc('trim gives back the disk space of payloads that are gone, and leaves the others', t => {
  const scratchDir = newDirectory(t)
  using pager = new Pager({ scratchDir, spareBytes: 0 })
  const kept = pager.pageout(pattern(64 * KIB))
  const gone = Array.from({ length: 64 }, () => pager.pageout(pattern(64 * KIB)))
  gone.push(pager.pageout(pattern(5 * MIB)))
  for (const handle of gone) handle[Symbol.dispose]()
  const before = countsOf(pager)
  t.is(before.usedBytes, 64 * KIB)
  t.true(before.scratchBytes >= 9 * MIB)
  t.is(pager.trim(), undefined)
  const after = countsOf(pager)
  t.is(after.scratchBytes, 64 * KIB)
  t.true(heldBytes(scratchDir) <= 128 * KIB, String(heldBytes(scratchDir)))
  t.deepEqual({ ...after, scratchBytes: 0 }, { ...before, scratchBytes: 0 })
  sameBytes(t, pager.take(kept), pattern(64 * KIB))
  pager.trim()
  t.is(pager.stats().scratchBytes, 0)
  t.is(heldBytes(scratchDir), 0)
  sameBytes(t, pager.take(pager.pageout(pattern(100))), pattern(100), 'and all goes on')
})

testWithProc('closing gives all disk space back, while handles are still held', t => {
  const scratchDir = newDirectory(t)
  const pager = new Pager({ scratchDir })
  const handles = [pattern(100), pattern(MIB), pattern(70 * MIB)].map(chunk => pager.pageout(chunk))
  t.true(heldBytes(scratchDir) >= 71 * MIB)
  pager.close()
  t.is(heldBytes(scratchDir), 0)
  t.deepEqual(readdirSync(scratchDir), [])
  t.is(handles.length, 3)
})

test.serial('closing gives the memory of the swap backend back, while handles are still held', async t => {
  const pager = newPager(t)
  globalThis.gc?.()
  const before = process.memoryUsage().arrayBuffers
  const handles = Array.from({ length: 8 }, () => pager.pageoutWith('swap', new Uint8Array(8 * MIB)))
  t.true(process.memoryUsage().arrayBuffers >= before + 60 * MIB)
  pager.close()
  t.true(await collectUntil(() => process.memoryUsage().arrayBuffers < before + 30 * MIB))
  t.is(handles.length, 8)
})

test.serial('a taken or disposed payload of the swap backend is not held by its handle', async t => {
  const pager = newPager(t)
  globalThis.gc?.()
  const before = process.memoryUsage().arrayBuffers
  const handles = Array.from({ length: 8 }, () => pager.pageoutWith('swap', new Uint8Array(8 * MIB)))
  handles.forEach((handle, position) => {
    if (position % 2 === 0) pager.take(handle)
    else handle[Symbol.dispose]()
  })
  t.true(await collectUntil(() => process.memoryUsage().arrayBuffers < before + 30 * MIB))
  t.true(handles.every(handle => handle.released))
})

/** Uses pagers of each kind, one after the other, and closes them. Gives them, and handles of theirs. */
async function useAndClose(t: ExecutionContext, count: number): Promise<unknown[]> {
  const held: unknown[] = []
  const chunks = () => [pattern(100), pattern(70 * KIB), pattern(5 * MIB)]
  for (let round = 0; round < count; round += 1) {
    const pager = new Pager({ scratchDir: newDirectory(t) })
    held.push(pager, ...chunks().map(chunk => pager.pageout(chunk)), pager.pageoutFrom(chunks()))
    pager.close()
    const promised = new promises.Pager({ scratchDir: newDirectory(t) })
    held.push(promised, ...(await Promise.all(chunks().map(chunk => promised.pageout(chunk)))))
    held.push(await promised.pageoutFrom(chunks()))
    await promised.close()
  }
  return held
}

serialWithProc('30 pagers of each kind that were used and closed have no descriptor left', async t => {
  // The files that tell memory limits are open once for the process, and the pool of threads has some.
  const held = await useAndClose(t, 1)
  const before = openDescriptors()
  held.push(...(await useAndClose(t, 30)))
  // Node may close one of its own meanwhile.
  t.true(openDescriptors() <= before)
  t.is(held.length, 31 * 10)
})

serialWithProc('closing a pager that has an open stream closes its descriptors, and the stream fails', async t => {
  const before = openDescriptors()
  const pager = newPager(t)
  const reader = pager.toReadableStream(pager.pageout(pattern(8 * MIB))).getReader()
  t.false((await reader.read()).done)
  const reading = t.throwsAsync(
    async () => {
      for (;;) if ((await reader.read()).done) return
    },
    { code: 'ERR_PAGEOUT_CLOSED' },
  )
  pager.close()
  t.true(openDescriptors() <= before)
  await reading
})

test('using closes a pager at the end of its block', t => {
  const outer: Pager[] = []
  {
    using pager = new Pager({ scratchDir: newDirectory(t) })
    pager.pageout(pattern(10))
    outer.push(pager)
  }
  for (const pager of outer) t.throws(() => pager.stats(), { code: 'ERR_PAGEOUT_CLOSED' })
})

test('trim of the module keeps every payload', t => {
  const handle = pageout(pattern(5000))
  pageout(pattern(5000))[Symbol.dispose]()
  t.is(trim(), undefined)
  sameBytes(t, take(handle), pattern(5000))
})

test('the verbs of a pager that is a property or a part of another work as they are', t => {
  class Own extends Pager {}
  const own = new Own({ scratchDir: newDirectory(t) })
  t.teardown(() => own.close())
  const holder = { own }
  sameBytes(t, holder.own.take(holder.own.pageout(pattern(10))), pattern(10))
})
