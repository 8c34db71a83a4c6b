/** All verbs with payloads that are encrypted, compressed, or both: they do what they do without. */

import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type Chunk, Handle, type HandleToken, type Pager, type PagerOptions } from 'pageout'
import { PagedMap } from 'pageout/map'
import * as promises from 'pageout/promises'
import { bytesOf, chunkOf, classOf, KIB, kinds, MIB, pattern, pieces, rangesOf, sameBytes } from './helpers/chunks.js'
import { forms, untilEmpty } from './helpers/maps.js'
import { newDirectory, newPager } from './helpers/places.js'
import { PAGE, prose, readings, sealings } from './helpers/sealing.js'
import { until } from './helpers/until.js'

/** What there is to store: bytes that do not shrink, and two sorts of bytes that do. */
const contents = { pattern, readings, prose }
/** Lengths around a page, around 16 KiB and around the longest slot of a piece. */
const LENGTHS = [8, 4088, 4096, 4104, 16_376, 16_384, 16_392, 32_768, 100_000, 4 * MIB - 8, 4 * MIB + 8]

function newPromisePager(t: ExecutionContext, options: PagerOptions): promises.Pager {
  const pager = new promises.Pager({ scratchDir: newDirectory(t), ...options })
  t.teardown(() => pager.close())
  return pager
}

for (const [name, options] of Object.entries(sealings)) {
  test(`payloads of every class and length come back (${name})`, t => {
    const pager = newPager(t, options)
    const [first, ...others] = LENGTHS
    for (const kind of kinds) {
      for (const byteLength of kind.name === 'Float64Array'
        ? [first as number, ...others]
        : [first as number, 16_392, 100_000]) {
        for (const make of Object.values(contents))
          roundTrip(t, pager, byteLength, bytes => chunkOf(kind, bytes), make(byteLength))
      }
    }
    t.deepEqual([pager.stats().handles, pager.stats().usedBytes, pager.stats().storedBytes], [0, 0, 0])
  })

  test(`several chunks, empty ones and none make one payload (${name})`, t => {
    const pager = newPager(t, options)
    const bytes = readings(100_000)
    const handle = pager.pageout([new Uint8Array(0), ...pieces(bytes, [5, 16_384, 1]), new Uint8Array(0)])
    sameBytes(t, pager.read(handle), bytes)
    const parts = pieces(readings(80_000, 3), [7 * 8, 1000 * 8]).map(
      part => new Float64Array(part.buffer as ArrayBuffer),
    )
    sameBytes(t, pager.take(pager.pageout(parts)), readings(80_000, 3))
    for (const chunks of [[], new Float64Array(0), [new Uint8Array(0), new Uint8Array(0)]]) {
      const empty = pager.pageout(chunks as Chunk)
      t.deepEqual([empty.byteLength, bytesOf(pager.take(empty)).length], [0, 0])
    }
  })

  test(`many promises read one handle at a time, and take leaves nothing (${name})`, async t => {
    const pager = newPromisePager(t, options)
    for (const make of Object.values(contents)) {
      const bytes = make(300_000)
      const handle = await pager.pageout(bytes.slice())
      const reads = Array.from({ length: 64 }, (_, position) => [position * 4600, 100 + 150 * position] as const)
      const results = await Promise.all(reads.map(([offset, length]) => pager.readAt(handle, offset, length)))
      for (const [position, [offset, length]] of reads.entries()) {
        sameBytes(t, results[position] as Uint8Array, bytes.subarray(offset, offset + length))
      }
      const ranges = [
        [200_000, 5],
        [0, 100_000],
        [250_000, 50_000],
      ] as const
      sameBytes(t, await pager.readAtMany(handle, ranges), rangesOf(bytes, 1, ranges))
      const target = new Uint8Array(300_008)
      sameBytes(t, await pager.take(handle, { target }), bytes)
      t.is(target[300_000], 0)
    }
    t.deepEqual([pager.stats().handles, pager.stats().usedBytes, pager.stats().storedBytes], [0, 0, 0])
  })

  test(`what is collected is read back as a whole, in parts and as a stream (${name})`, async t => {
    const [pager, later] = [newPager(t, options), newPromisePager(t, options)]
    for (const [make, cuts] of [
      [readings, [3, 5 * MIB, 100_001]],
      [prose, [4 * MIB, 4 * MIB]],
      [pattern, [70_000, 9 * MIB]],
    ] as const) {
      const bytes = make(9 * MIB + 300_001)
      const parts = pieces(bytes, cuts)
      for (const verbs of [pager, later]) {
        const handle = await verbs.pageoutFrom(parts)
        for (const offset of [0, 4 * MIB - 5, 8 * MIB - 100_000, 9 * MIB]) {
          sameBytes(t, await verbs.readAt(handle, offset, 200_000), bytes.subarray(offset, offset + 200_000))
        }
        const stream = verbs.toReadableStream(handle, { chunkBytes: 1_000_003, release: 'end' })
        sameBytes(t, await buffer(stream), bytes)
        t.true(handle.released)
      }
    }
  })

  test(`elements wider than a byte are collected as such (${name})`, async t => {
    const [pager, later] = [newPager(t, options), newPromisePager(t, options)]
    const numbers = new Float64Array(readings(6 * MIB).buffer as ArrayBuffer)
    const source = () => [numbers.slice(0, 1), numbers.slice(1, 600_000), numbers.slice(600_000)]
    for (const verbs of [pager, later]) {
      const handle = await verbs.pageoutFrom(source())
      t.is(handle.type, 'Float64Array')
      t.deepEqual(await verbs.readAt(handle, 599_990, 20), numbers.slice(599_990, 600_010))
      t.deepEqual(await verbs.take(handle), numbers)
    }
  })

  test(`hints change nothing that is read (${name})`, t => {
    const pager = newPager(t, options)
    const bytes = readings(300_000)
    const handle = pager.pageout(bytes.slice())
    pager.prefetch(handle)
    pager.prefetch(handle, [
      [200_000, 100_000],
      [5, 1],
    ])
    const gone = pager.pageout(prose(MIB))
    gone.release()
    pager.trim()
    sameBytes(t, pager.readAt(handle, 100_000, 100_000), bytes.subarray(100_000, 200_000))
    sameBytes(t, pager.take(handle), bytes)
  })

  test(`payloads move to another thread and back (${name})`, async t => {
    const worker = new Worker(new URL('helpers/workers/adopt.mjs', import.meta.url), { execArgv: [] })
    t.teardown(() => worker.terminate())
    for (const pager of [newPager(t, options), newPager(t, { ...options, residentBytes: MIB })]) {
      for (const make of Object.values(contents)) {
        const numbers = new Float64Array(make(80_000).buffer as ArrayBuffer)
        const handle = pager.pageout(numbers.slice())
        worker.postMessage({ token: handle.move() })
        const [there] = await once(worker, 'message')
        t.deepEqual(there.whole, numbers)
        const back = Handle.adopt(there.token as HandleToken<Float64Array<ArrayBuffer>>)
        t.deepEqual(await promises.take(back), numbers)
      }
      t.deepEqual([pager.stats().handles, pager.stats().usedBytes, pager.stats().storedBytes], [0, 0, 0])
    }
  })

  test(`a thread may be terminated at any moment (${name})`, async t => {
    for (const residentBytes of [0, MIB]) {
      for (let round = 0; round < 3; round++) {
        const workerData = { scratchDir: newDirectory(t), residentBytes, ...options }
        const worker = new Worker(new URL('helpers/workers/sealing.mjs', import.meta.url), { execArgv: [], workerData })
        await once(worker, 'message')
        await setTimeout(10 * round)
        t.is(await worker.terminate(), 1)
      }
    }
  })

  test(`payloads that left a memory budget come back (${name})`, t => {
    const pager = newPager(t, { residentBytes: MIB, ...options })
    const bytesAt = (seed: number) => Object.values(contents)[seed % 3]?.(60_000, seed) as Uint8Array
    const handles = Array.from({ length: 60 }, (_, seed) => pager.pageout(bytesAt(seed)))
    for (const [seed, handle] of handles.entries()) {
      sameBytes(t, pager.readAt(handle, 1000, 5000), bytesAt(seed).subarray(1000, 6000))
      pager.borrow(handle, value => sameBytes(t, value, bytesAt(seed)))
    }
    const { residentMisses, changedBorrows, residentBytes } = pager.stats()
    t.true(residentMisses > 30)
    t.is(changedBorrows, 0, 'what only was looked at has not changed')
    t.true(residentBytes <= MIB)
    for (const [seed, handle] of handles.entries()) sameBytes(t, pager.take(handle), bytesAt(seed))
    t.deepEqual([pager.stats().usedBytes, pager.stats().storedBytes], [0, 0])
  })

  for (const integrity of ['checksum', 'none'] as const) {
    if (integrity === 'none' && !options.encryption) continue
    test(`a payload that was changed while it was borrowed is noticed (${name}, integrity ${integrity})`, async t => {
      const pager = newPager(t, { residentBytes: MIB, integrity, ...options })
      const bytes = readings(64 * KIB)
      const handle = pager.pageout(bytes.slice())
      const others = Array.from({ length: 64 }, (_, seed) => pager.pageout(readings(64 * KIB, seed)))
      pager.borrow(handle, value => value.set([1, 2, 3], 20_000))
      const push = () => {
        for (const other of others) pager.borrow(other, value => value.length)
        return pager.stats().changedBorrows === 1
      }
      await until(t, push, () => pager.stats())
      bytes.set([1, 2, 3], 20_000)
      for (let round = 0; round < 3; round++) push()
      sameBytes(t, pager.take(handle), bytes)
    })
  }

  test(`a map within a budget keeps its values (${name})`, async t => {
    for (const open of Object.values(forms)) {
      const map = open(t, options as Record<string, unknown>)
      const bytesAt = (seed: number) => Object.values(contents)[seed % 3]?.(50_000, seed) as Uint8Array
      for (let key = 0; key < 50; key++) await map.set(key, bytesAt(key))
      for (let key = 0; key < 50; key++) {
        await map.borrow(key, value => sameBytes(t, value, bytesAt(key)))
        sameBytes(t, (await map.readAt(key, 100, 20_000)) as Chunk, bytesAt(key).subarray(100, 20_100))
      }
      await map.update(7, value => (value as Uint8Array).fill(7))
      await map.borrowAll([7, 8], (seven, eight) => {
        sameBytes(t, seven as Chunk, new Uint8Array(50_000).fill(7))
        sameBytes(t, eight as Chunk, bytesAt(8))
      })
      t.true(map.stats().residentMisses > 0)
      await map.clear()
      await untilEmpty(t, map)
    }
  })

  test(`the swap backend is as it is without (${name})`, t => {
    const pager = newPager(t, { ...options, backend: 'swap' })
    const chunk = readings(300_000)
    const handle = pager.pageout(chunk.slice())
    const { payloadBytes, usedBytes, storedBytes } = pager.stats()
    t.deepEqual([payloadBytes, usedBytes, storedBytes], [300_000, 0, 0])
    sameBytes(t, pager.take(handle), chunk)
  })

  test(`a pager that is closed ends its payloads, and what is pending (${name})`, async t => {
    const pager = newPromisePager(t, options)
    const handle = await pager.pageout(readings(MIB))
    const pending = pager.read(handle)
    await pager.close()
    sameBytes(t, await pending, readings(MIB))
    t.true(handle.released)
    const map = new PagedMap<string, Uint8Array>({ ...options, residentBytes: PAGE })
    map.set('key', readings(MIB))
    map.close()
    t.throws(() => map.read('key'), { code: 'ERR_PAGEOUT_CLOSED' })
  })
}

function roundTrip(
  t: ExecutionContext,
  pager: Pager,
  byteLength: number,
  make: (bytes: Uint8Array) => Chunk,
  bytes: Uint8Array,
): void {
  const chunk = make(bytes)
  const handle = pager.pageout(chunk)
  t.is(handle.byteLength, byteLength)
  const half = handle.length >> 1
  const elementBytes = byteLength / handle.length
  const ranges = [
    [half, handle.length - half],
    [0, half],
  ] as const
  sameBytes(t, pager.readAtMany(handle, ranges), rangesOf(bytes, elementBytes, ranges))
  sameBytes(t, pager.readAt(handle, half, 1), rangesOf(bytes, elementBytes, [[half, 1]]))
  const target = make(new Uint8Array(byteLength))
  const taken = pager.take(handle, target)
  t.is(classOf(taken), classOf(target))
  sameBytes(t, target, bytes)
}
