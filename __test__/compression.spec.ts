/** Compressed payloads: what they take on the disk, and what was changed there. */

import test, { type ExecutionContext } from 'ava'
import type { Chunk, Handle, PageoutError, Pager, PagerOptions, Stored } from 'pageout'
import * as promises from 'pageout/promises'
import { chunkOf, KIB, kinds, MIB, pattern, pieces, sameBytes } from './helpers/chunks.js'
import { hasProc, newDirectory, newPager } from './helpers/places.js'
import { bytesAt, overwrite, PAGE, prose, readings, written } from './helpers/sealing.js'
import { until } from './helpers/until.js'

const where = hasProc ? test : test.skip
const LZ4 = { compression: 'lz4' } as const
const CORRUPT = { code: 'ERR_PAGEOUT_CORRUPT' }

const doublesOf = (bytes: Uint8Array) => new Float64Array(bytes.slice().buffer as ArrayBuffer)

type AnyPager = Pager | promises.Pager

function newPromisePager(t: ExecutionContext, options: PagerOptions): promises.Pager {
  const pager = new promises.Pager(options)
  t.teardown(() => pager.close())
  return pager
}

/** What a payload takes in its slots. */
async function storedBytes<P extends AnyPager>(pager: P, step: (pager: P) => unknown): Promise<number> {
  const before = pager.stats().storedBytes
  await step(pager)
  return pager.stats().storedBytes - before
}

/** Pages a chunk out to disk: all of the budget is borrowed at that moment. */
async function toDisk<C extends Chunk>(pager: promises.Pager, chunk: C): Promise<Handle<Stored<C>>> {
  const full = await pager.pageout(pattern(pager.stats().residentLimitBytes))
  const borrowed = await pager.borrow(full)
  const handle = await pager.pageout(chunk)
  borrowed.release()
  full.release()
  return handle
}

for (const [name, options] of Object.entries({
  compressed: LZ4,
  'compressed and encrypted': { ...LZ4, encryption: true },
})) {
  test(`what shrinks takes fewer bytes, and its slots are as long as it is then (${name})`, t => {
    const pager = newPager(t, options)
    for (const [byteLength, make] of [
      [64 * KIB, (bytes: Uint8Array) => doublesOf(bytes)],
      [MIB, (bytes: Uint8Array) => doublesOf(bytes)],
      [10 * MIB, (bytes: Uint8Array) => doublesOf(bytes)],
      [10 * MIB, undefined],
    ] as const) {
      const bytes = make ? readings(byteLength) : prose(byteLength)
      const handle: Handle<Chunk> = pager.pageout(make ? make(bytes) : bytes.slice())
      const { payloadBytes, storedBytes, usedBytes } = pager.stats()
      t.is(payloadBytes, byteLength)
      t.true(storedBytes > 0 && storedBytes < byteLength / (make ? 3 : 1.5), `${storedBytes} of ${byteLength}`)
      t.true(usedBytes >= storedBytes && usedBytes <= 1.5 * storedBytes + PAGE, `${usedBytes} for ${storedBytes}`)
      sameBytes(t, pager.take(handle), bytes)
      t.deepEqual([pager.stats().storedBytes, pager.stats().usedBytes], [0, 0])
    }
  })

  test(`what does not shrink is stored as it is (${name})`, async t => {
    const [pager, plain] = [newPager(t, options), newPager(t)]
    for (const byteLength of [1, PAGE, PAGE + 1, 16 * KIB, 100_000, 5 * MIB]) {
      for (const verbs of [pager, plain]) verbs.pageout(pattern(byteLength))
      t.is(await storedBytes(pager, () => pager.pageout(pattern(byteLength))), byteLength)
      plain.pageout(pattern(byteLength))
      t.is(pager.stats().usedBytes, plain.stats().usedBytes)
    }
  })

  test(`bytes of elements are sorted by the length of the class, whichever way a payload leaves (${name})`, async t => {
    const [pager, later] = [newPager(t, options), newPromisePager(t, { scratchDir: newDirectory(t), ...options })]
    const few = readings(64 * KIB)
    const many = readings(6 * MIB)
    for (const bytes of [few, many]) {
      const asBytes = await storedBytes(pager, () => pager.pageout(bytes.slice()))
      const doubles = () => doublesOf(bytes)
      const parts = () => pieces(bytes, [8 * KIB, 24 * KIB]).map(doublesOf)
      const ways: Record<string, [Pager | promises.Pager, () => unknown]> = {
        pageout: [pager, () => pager.pageout(doubles())],
        'several chunks': [pager, () => pager.pageout(parts())],
        'shared memory': [pager, () => pager.pageout(new Float64Array(shared(bytes)))],
        pageoutFrom: [pager, () => pager.pageoutFrom(parts())],
        promises: [later, () => later.pageout(doubles())],
        'promises in one tick': [later, () => Promise.all([later.pageout(pattern(8)), later.pageout(doubles())])],
        'promises, pageoutFrom': [later, () => later.pageoutFrom(parts())],
      }
      for (const [way, [verbs, step]] of Object.entries(ways)) {
        const taken = await storedBytes(verbs, step)
        t.true(taken < 0.8 * asBytes, `${way}: ${taken} as doubles, ${asBytes} as bytes`)
      }
    }
  })

  test(`every class says how long its elements are (${name})`, async t => {
    const pager = newPager(t, options)
    // Numbers of two, four and eight bytes that rise: in each width another one shrinks best.
    for (const elementBytes of [2, 4, 8]) {
      const bytes = new Uint8Array(64 * KIB)
      const view = new DataView(bytes.buffer)
      const noise = pattern(bytes.length)
      for (let at = 0; at < bytes.length; at += elementBytes) {
        for (let low = 0; low < elementBytes / 2; low++) view.setUint8(at + low, noise[at + low] ?? 0)
        for (let high = elementBytes / 2; high < elementBytes; high++) view.setUint8(at + high, high)
      }
      const taken = new Map<string, number>()
      for (const kind of kinds)
        taken.set(kind.name, await storedBytes(pager, () => pager.pageout(chunkOf(kind, bytes))))
      const ofWidth = kinds.filter(kind => kind.elementBytes === elementBytes).map(({ name }) => taken.get(name))
      t.is(new Set(ofWidth).size, 1, 'all classes of a width are alike')
      t.true((ofWidth[0] ?? Number.NaN) < 0.6 * bytes.length, JSON.stringify([...taken]))
      t.is(taken.get('DataView'), taken.get('Uint8Array'))
      t.is(taken.get('ArrayBuffer'), taken.get('Buffer'))
    }
  })

  test(`within a budget what is not written counts in full, and is compressed when it leaves (${name})`, async t => {
    const pager = newPager(t, { residentBytes: MIB, ...options })
    const first = pager.pageout(doublesOf(readings(256 * KIB)))
    t.deepEqual([pager.stats().residentBytes, pager.stats().storedBytes], [256 * KIB, 256 * KIB])
    const others = Array.from({ length: 12 }, (_, seed) => pager.pageout(doublesOf(readings(256 * KIB, seed))))
    await until(
      t,
      () => pager.stats().storedBytes < (12 * 256 * KIB) / 2,
      () => pager.stats(),
    )
    const { usedBytes, payloadBytes } = pager.stats()
    t.true(usedBytes < payloadBytes, 'the long slots that were claimed are free again')
    for (const [seed, handle] of [first, ...others].entries()) {
      sameBytes(t, pager.take(handle), readings(256 * KIB, seed === 0 ? 1 : seed - 1))
    }
    t.deepEqual([pager.stats().storedBytes, pager.stats().usedBytes], [0, 0])
  })

  test(`what was changed while it was borrowed leaves again as elements of its class (${name})`, async t => {
    const asBytes = await storedBytes(newPager(t, options), pager => pager.pageout(readings(256 * KIB)))
    const settings = { scratchDir: newDirectory(t), residentBytes: MIB, ...options }
    // Its verbs are awaited, so that it does not matter which form it has.
    for (const pager of [newPager(t, settings) as unknown as promises.Pager, newPromisePager(t, settings)]) {
      const handle = await toDisk(pager, doublesOf(readings(256 * KIB)))
      await pager.borrow(handle, value => void value.fill(7, 0, 10))
      const push = async () => {
        const others = await Promise.all([1, 2, 3, 4].map(seed => pager.pageout(pattern(256 * KIB, seed))))
        for (const other of others) other.release()
      }
      for (let round = 0; round < 1000 && pager.stats().changedBorrows === 0; round++) await push()
      const { changedBorrows, storedBytes } = pager.stats()
      t.is(changedBorrows, 1)
      t.true(storedBytes < 0.8 * asBytes, `${storedBytes} as doubles, ${asBytes} as bytes`)
      t.deepEqual((await pager.take(handle)).subarray(8, 11), Float64Array.of(7, 7, doublesOf(readings(88))[10] ?? 0))
    }
  })

  where(`a frame that was changed is refused, and the others are read (${name})`, t => {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, spareBytes: 0, ...options })
    const bytes = prose(MIB)
    let handle!: Handle<Uint8Array>
    const place = written(scratchDir, () => {
      handle = pager.pageout(bytes.slice())
    })
    t.true(place.length < 0.75 * MIB)
    const good = bytesAt(place)
    const refused: number[] = []
    for (let start = 0; start < pager.stats().storedBytes; start += PAGE) {
      overwrite(place, Uint8Array.of((good[start] ?? 0) ^ 1), start)
      const target = new Uint8Array(MIB).fill(7)
      const error = t.throws(() => pager.read(handle, target), CORRUPT) as PageoutError
      sameBytes(t, target, new Uint8Array(MIB), 'the target is zeros')
      const at = error.byteOffset ?? Number.NaN
      t.true(at >= 0 && at < MIB && at % PAGE === 0, `${at} is where a frame begins`)
      refused.push(at)
      t.throws(() => pager.readAt(handle, at, 1), CORRUPT)
      // What lies far away is in other frames and pages.
      for (const other of [at - 32 * KIB, at + 64 * KIB]) {
        if (other < 0 || other >= MIB) continue
        sameBytes(t, pager.readAt(handle, other, 100), bytes.subarray(other, other + 100), `${other}, not ${at}`)
      }
      overwrite(place, good)
    }
    t.deepEqual(
      refused,
      [...refused].sort((a, b) => a - b),
      'in the order of the payload',
    )
    t.true(new Set(refused).size > 30)
    sameBytes(t, pager.take(handle), bytes)
  })
}

where('without checksums what was changed is an error or other bytes, and nothing worse', t => {
  const scratchDir = newDirectory(t)
  const pager = newPager(t, { scratchDir, integrity: 'none', ...LZ4 })
  const bytes = prose(100_000)
  let handle!: Handle<Uint8Array>
  const place = written(scratchDir, () => {
    handle = pager.pageout(bytes.slice())
  })
  const good = bytesAt(place)
  const outcomes = new Set<string>()
  for (let at = 0; at < pager.stats().storedBytes; at += 97) {
    overwrite(place, Uint8Array.of((good[at] ?? 0) ^ 0xff), at)
    const result = pager.tryReadAt(handle, 0, 100_000)
    outcomes.add(result.ok ? 'bytes' : result.error.code)
    if (result.ok) t.is(result.value.length, 100_000)
    overwrite(place, good)
  }
  t.deepEqual([...outcomes].sort(), ['ERR_PAGEOUT_CORRUPT', 'bytes'])
  sameBytes(t, pager.take(handle), bytes)
})

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.length)
  new Uint8Array(buffer).set(bytes)
  return buffer
}

test('without the option nothing is compressed', t => {
  for (const options of [{}, { compression: 'none' } as const, { encryption: true }]) {
    const pager = newPager(t, options)
    pager.pageout(doublesOf(readings(MIB)))
    t.deepEqual([pager.stats().storedBytes, pager.stats().usedBytes], [MIB, MIB])
  }
})
