/** Encrypted payloads: nothing of them is on the disk, and what was changed there is refused. */

import { text } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import { type Chunk, Handle, type PageoutError, Pager, type PagerOptions, take } from 'pageout'
import { PagedMap } from 'pageout/map'
import * as promises from 'pageout/promises'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { excludedBytes, lockedBytes } from './helpers/excluded.js'
import { countsOf, hasProc, newDirectory, newPager } from './helpers/places.js'
import { bytesAt, contentOf, encrypted, overwrite, PAGE, type Place, readings, written } from './helpers/sealing.js'
import { pageoutToDisk } from './helpers/stored.js'
import { until } from './helpers/until.js'

const where = hasProc ? test : test.skip
const onLinux = process.platform === 'linux' ? test.serial : test.serial.skip
const CORRUPT = { code: 'ERR_PAGEOUT_CORRUPT' }
const [BUDGET, PIECE] = [MIB, 64 * KIB]

/** A marker that stands in every page, and in no other text. */
const MARKER = Buffer.from('SECRETbY')

function marked(byteLength: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(byteLength).map((_, position) => MARKER[position % MARKER.length] ?? 0)
}

/** A promise pager that ends with the test. */
function newPromisePager(t: ExecutionContext, options: PagerOptions): promises.Pager {
  const pager = new promises.Pager(options)
  t.teardown(() => pager.close())
  return pager
}

for (const [name, options] of encrypted) {
  where(`nothing of a payload is in the scratch files (${name})`, async t => {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, ...options })
    const later = newPromisePager(t, { scratchDir, ...options })
    const handles: Handle<Uint8Array>[] = []
    for (const byteLength of [1, 100, PAGE, 3 * PAGE + 1, 300 * KIB, 5 * MIB]) {
      handles.push(pager.pageout(marked(byteLength)), await later.pageout(marked(byteLength)))
      handles.push(pager.pageoutFrom([marked(byteLength), marked(byteLength)]))
      handles.push(await later.pageoutFrom([marked(byteLength), marked(byteLength)]))
    }
    const content = contentOf(scratchDir)
    t.true(content.length > 0)
    t.false(content.includes(MARKER))
    t.false(content.includes(MARKER.subarray(0, 4)) && content.includes(MARKER.subarray(4)), 'nor half of it')
    for (const handle of handles) handle.release()
    t.false(contentOf(scratchDir).includes(MARKER), 'nor afterwards')
  })

  where(`what leaves a memory budget is encrypted, and so is what a map has written (${name})`, async t => {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, residentBytes: BUDGET, ...options })
    const handles = Array.from({ length: 64 }, () => pager.pageout(marked(PIECE)))
    const map = new PagedMap<number, Uint8Array>({ scratchDir, residentBytes: BUDGET, ...options })
    t.teardown(() => map.close())
    for (let key = 0; key < 64; key++) map.set(key, marked(PIECE))
    const isWritten = () => pager.stats().evictions > 0 && map.stats().evictions > 0
    await until(t, isWritten, () => [pager.stats(), map.stats()])
    t.false(contentOf(scratchDir).includes(MARKER))
    for (const handle of handles) sameBytes(t, pager.take(handle), marked(PIECE))
    for (let key = 0; key < 64; key++) sameBytes(t, map.take(key) as Uint8Array, marked(PIECE))
  })

  where(`every page that was changed is refused, and the target is zeros (${name})`, async t => {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, spareBytes: 0, ...options })
    for (const byteLength of [1, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE, 70_000]) {
      const bytes = pattern(byteLength)
      let handle!: Handle<Uint8Array>
      const place = written(scratchDir, () => {
        handle = pager.pageout(bytes.slice())
      })
      const good = bytesAt(place)
      for (let start = 0; start < place.length; start += PAGE) {
        // Behind the payload are zeros up to the page, which are not sealed.
        const at = start + Math.min(PAGE, byteLength - start) - 1
        overwrite(place, Uint8Array.of((good[at] ?? 0) ^ 1), at)
        refuses(t, pager, handle, byteLength)
        overwrite(place, good)
      }
      sameBytes(t, pager.take(handle), bytes, 'what is whole again is read again')
    }
  })

  where(`pages that were exchanged, within a payload and between payloads, are refused (${name})`, t => {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, spareBytes: 0, ...options })
    const [one, other] = [
      stored(pager, scratchDir, pattern(4 * PAGE, 1)),
      stored(pager, scratchDir, pattern(4 * PAGE, 2)),
    ]
    const [ofOne, ofOther] = [bytesAt(one.place), bytesAt(other.place)]
    overwrite(one.place, Buffer.concat([ofOne.subarray(PAGE, 2 * PAGE), ofOne.subarray(0, PAGE)]))
    refuses(t, pager, one.handle, 4 * PAGE)
    overwrite(one.place, ofOne)
    sameBytes(t, pager.read(one.handle), pattern(4 * PAGE, 1))
    overwrite(one.place, ofOther)
    overwrite(other.place, ofOne)
    refuses(t, pager, one.handle, 4 * PAGE)
    refuses(t, pager, other.handle, 4 * PAGE)
  })

  where(`the same bytes are never the same on the disk, and what was there before is refused (${name})`, t => {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, spareBytes: 0, ...options })
    const first = stored(pager, scratchDir, readings(5 * PAGE))
    const before = bytesAt(first.place)
    first.handle.release()
    const second = stored(pager, scratchDir, readings(5 * PAGE))
    t.deepEqual([second.place.start, second.place.length], [first.place.start, first.place.length], 'the same slot')
    const now = bytesAt(second.place)
    for (let start = 0; start < now.length; start += PAGE) {
      t.notDeepEqual(now.subarray(start, start + PAGE), before.subarray(start, start + PAGE))
    }
    overwrite(second.place, before)
    refuses(t, pager, second.handle, 5 * PAGE)
  })

  where(`a scratch file that was cut short is refused (${name})`, async t => {
    const { truncateSync } = await import('node:fs')
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, spareBytes: 0, ...options })
    const { handle, place } = stored(pager, scratchDir, pattern(5 * PAGE))
    truncateSync(place.path, place.start + 2 * PAGE)
    refuses(t, pager, handle, 5 * PAGE)
  })

  where(`without checksums what was changed is refused all the same (${name})`, t => {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, integrity: 'none', ...options })
    const { handle, place } = stored(pager, scratchDir, pattern(3 * PAGE))
    overwrite(place, Uint8Array.of((bytesAt(place)[PAGE] ?? 0) ^ 0x80), PAGE)
    refuses(t, pager, handle, 3 * PAGE)
  })

  where(`a promise that rejects leaves zeros in its target, and a stream fails (${name})`, async t => {
    const scratchDir = newDirectory(t)
    const pager = newPromisePager(t, { scratchDir, spareBytes: 0, ...options })
    const writer = newPager(t, { scratchDir, ...options })
    for (const byteLength of [3 * PAGE, 300_000]) {
      const { handle, place } = stored(writer, scratchDir, pattern(byteLength))
      overwrite(place, Uint8Array.of((bytesAt(place)[PAGE] ?? 0) ^ 1), PAGE)
      // A handle that has moved is as encrypted as before.
      const moved = Handle.adopt(handle.move())
      const target = () => new Uint8Array(byteLength + 8).fill(7)
      const zeros = new Uint8Array(byteLength + 8).fill(7, byteLength)
      const calls: [call: (into: Uint8Array) => Promise<unknown>, isShared?: boolean][] = [
        [into => promises.readAt(moved, 0, byteLength, into)],
        [
          into =>
            promises.readAtMany(
              moved,
              [
                [PAGE, byteLength - PAGE],
                [0, PAGE],
              ],
              { target: into },
            ),
        ],
        [into => promises.read(moved, into)],
        [into => promises.take(moved, into)],
        [into => promises.read(moved, into), true],
      ]
      for (const [call, isShared] of calls) {
        const into = isShared ? new Uint8Array(new SharedArrayBuffer(byteLength + 8)).fill(7) : target()
        await t.throwsAsync(call(into), CORRUPT)
        sameBytes(t, into, zeros)
      }
      const result = await promises.tryReadAt(moved, 0, byteLength, target())
      t.is(result.ok ? undefined : result.error.code, 'ERR_PAGEOUT_CORRUPT')
      await t.throwsAsync(text(promises.toReadableStream(moved, { chunkBytes: PAGE })), CORRUPT)
      const reader = promises.toReadableStream(moved).getReader({ mode: 'byob' })
      await t.throwsAsync(reader.read(new Uint8Array(byteLength)), CORRUPT)
      await t.throwsAsync(promises.borrow(moved), CORRUPT)
      moved.release()
    }
    t.is(pager.stats().handles, 0)
  })

  where(`an aborted read and a wrong argument leave the target as it was (${name})`, async t => {
    const pager = newPromisePager(t, { scratchDir: newDirectory(t), ...options })
    const handle = await pager.pageout(pattern(300_000))
    const target = new Uint8Array(300_000).fill(7)
    const controller = new AbortController()
    const pending = pager.read(handle, { target, signal: controller.signal })
    controller.abort()
    await t.throwsAsync(pending, { code: 'ABORT_ERR' })
    await t.throwsAsync(pager.readAt(handle, 1, 300_000, target), { code: 'ERR_OUT_OF_RANGE' })
    sameBytes(t, target, new Uint8Array(300_000).fill(7))
    sameBytes(t, await pager.take(handle, target), pattern(300_000))
  })

  where(`a borrow of what was changed on the disk fails, and the payload stays (${name})`, t => {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir, residentBytes: BUDGET, ...options })
    let handle!: Handle<Uint8Array>
    const onDisk = () => {
      handle = pageoutToDisk(pager, pattern(5 * PAGE))
    }
    const place = written(scratchDir, onDisk, 5 * PAGE)
    const good = bytesAt(place)
    overwrite(place, Uint8Array.of((good[0] ?? 0) ^ 1))
    t.throws(() => pager.borrow(handle), CORRUPT)
    t.is(pager.stats().residentBytes, 0, 'nothing of it is in memory')
    overwrite(place, good)
    pager.borrow(handle, value => sameBytes(t, value, pattern(5 * PAGE)))
  })
}

/** A payload, and where it lies. */
function stored(pager: Pager, directory: string, bytes: Uint8Array): { handle: Handle<Uint8Array>; place: Place } {
  let handle!: Handle<Uint8Array>
  const place = written(directory, () => {
    handle = pager.pageout(bytes.slice())
  })
  return { handle, place }
}

/** What a thread counts for all its pagers, so that other tests change it. */
function sparesOf(pager: Pager): object {
  const { spareBytes, spareHits } = pager.stats()
  return { spareBytes, spareHits }
}

/** Every way of reading the whole of a payload fails, changes nothing and leaves zeros. */
function refuses(t: ExecutionContext, pager: Pager, handle: Handle<Uint8Array>, byteLength: number): void {
  const before = countsOf(pager)
  const half = byteLength >> 1
  const calls: ((into?: Uint8Array) => Chunk)[] = [
    into => pager.readAt(handle, 0, byteLength, into),
    into =>
      pager.readAtMany(
        handle,
        [
          [half, byteLength - half],
          [0, half],
        ],
        into,
      ),
    into => pager.read(handle, into),
    into => pager.take(handle, into),
  ]
  for (const call of calls) {
    const error = t.throws(() => call(), CORRUPT) as PageoutError
    t.true(Number.isSafeInteger(error?.byteOffset) && (error.byteOffset ?? byteLength) < byteLength)
    for (const buffer of [new ArrayBuffer(byteLength + 8), new SharedArrayBuffer(byteLength + 8)]) {
      const target = new Uint8Array(buffer).fill(7)
      t.throws(() => call(target), CORRUPT)
      sameBytes(t, target, new Uint8Array(byteLength + 8).fill(7, byteLength), 'zeros, and nothing behind them')
    }
  }
  const result = pager.tryTake(handle)
  t.is(result.ok ? undefined : result.error.code, 'ERR_PAGEOUT_CORRUPT')
  t.deepEqual(countsOf(pager), { ...before, ...sparesOf(pager) })
  t.false(handle.released)
}

onLinux('keys are out of core dumps', async t => {
  const before = excludedBytes()
  openSome(t)
  t.true(await collectUntil(() => excludedBytes() === before), 'what is collected leaves no page behind')
})

function openSome(t: ExecutionContext): void {
  const before = excludedBytes()
  const pagers = Array.from({ length: 3 }, () => new Pager({ encryption: true }))
  t.is(excludedBytes() - before, 3 * PAGE)
  for (const pager of pagers) {
    const handle = pager.pageout(pattern(PAGE))
    pager.close()
    t.true(handle.released)
  }
}

onLinux('keys of pagers that are closed lock no memory, also before they are collected', async t => {
  const before = lockedBytes()
  const pagers = Array.from({ length: 3 }, () => new Pager({ encryption: true }))
  const later = new promises.Pager({ encryption: true })
  t.is(lockedBytes() - before, 4 * PAGE)
  pagers[0]?.pageout(pattern(PAGE))
  await later.pageout(pattern(PAGE))
  for (const pager of pagers) pager.close()
  await later.close()
  t.is(lockedBytes(), before)
  t.is([...pagers, later].length, 4, 'all are still there')
})

test('a payload that moved is read with its own key, also when its pager is closed', t => {
  const pager = newPager(t, { encryption: true })
  const token = pager.pageout(pattern(70_000)).move()
  pager.close()
  sameBytes(t, take(Handle.adopt(token)), pattern(70_000))
})
