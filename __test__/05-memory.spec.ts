import { existsSync, readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import test from 'ava'
import { type Handle, pageout, stats, trim } from 'pageout'
import { runChild } from './helpers/child.js'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { newPager } from './helpers/places.js'

interface Resident {
  readonly goneBytes: number
  readonly spareBytes: number
  readonly isWhole: boolean
}

const LOADS = [
  { bufferBytes: 64 * KIB, count: 1024, share: 0.85 },
  { bufferBytes: MIB, count: 64, share: 0.9 },
  { bufferBytes: 2 * MIB, count: 32, share: 0.9 },
  { bufferBytes: 16 * MIB, count: 8, share: 0.9 },
  { bufferBytes: 256 * MIB, count: 1, share: 0.9 },
]

for (const { bufferBytes, count, share } of LOADS) {
  for (const how of ['together', 'apart']) {
    test.serial(
      `${count} buffers of ${bufferBytes / KIB} KiB that go out ${how} are out of memory at once`,
      async t => {
        const { goneBytes, isWhole } = await runChild<Resident>('resident.ts', [bufferBytes, count, 0, how])
        const payloadBytes = bufferBytes * count
        t.log(`${Math.round((100 * goneBytes) / payloadBytes)} % of ${payloadBytes / MIB} MiB`)
        t.true(goneBytes >= share * payloadBytes)
        t.true(isWhole)
      },
    )
  }
}

test.serial('memory that is not kept as a spare is out of memory at once', async t => {
  const payloadBytes = 64 * MIB
  const { goneBytes, spareBytes } = await runChild<Resident>('resident.ts', [MIB, 64, 16 * MIB, 'apart'])
  t.is(spareBytes, 16 * MIB)
  t.true(goneBytes >= 0.9 * (payloadBytes - spareBytes))
})

const ROLLUP = '/proc/self/smaps_rollup'
const serialWithRollup = existsSync(ROLLUP) ? test.serial : test.serial.skip

serialWithRollup("spare buffers are the kernel's for the taking when the call returns", t => {
  const offeredBytes = () => Number(/^LazyFree: *(\d+) kB$/m.exec(readFileSync(ROLLUP, 'utf8'))?.[1]) * KIB
  const pager = newPager(t, { spareBytes: 16 * MIB })
  const before = offeredBytes()
  const handles = Array.from({ length: 16 }, () => pager.pageout(new Uint8Array(MIB).fill(1)))
  t.is(pager.stats().spareBytes, 16 * MIB)
  const risenBytes = offeredBytes() - before
  t.log(`${risenBytes / KIB} KiB`)
  // Less what lies in pages that are shared with neighbours.
  t.true(risenBytes > 15.5 * MIB && risenBytes <= 16 * MIB)
  handles.forEach(handle => {
    sameBytes(t, pager.take(handle), new Uint8Array(MIB).fill(1))
  })
})

test.serial('a payload of the swap backend comes back without a copy', async t => {
  const { risenBytes, isWhole } = await runChild<{ risenBytes: number; isWhole: boolean }>('peak.ts', [256 * MIB])
  t.log(`the peak rose by ${Math.round(risenBytes / MIB)} of 256 MiB`)
  t.true(risenBytes < 25 * MIB)
  t.true(isWhole)
})

test('spares stay within their budget, and the oldest go first', t => {
  const pager = newPager(t, { spareBytes: 3 * MIB })
  t.is(pager.stats().spareBytes, 0)
  const spareBytes = () => pager.stats().spareBytes
  const out = (byteLength: number) => pager.pageout(new Uint8Array(byteLength))
  out(MIB)
  t.is(spareBytes(), MIB)
  out(MIB)
  out(MIB)
  t.is(spareBytes(), 3 * MIB)
  out(MIB)
  t.is(spareBytes(), 3 * MIB, 'one went')
  out(3 * MIB + 1)
  t.is(spareBytes(), 3 * MIB, 'what is over the budget by itself is not kept')
  out(2 * MIB)
  t.is(spareBytes(), 3 * MIB)
  out(4 * KIB)
  t.is(spareBytes(), 2 * MIB + 4 * KIB)
  out(4 * KIB - 8)
  t.is(spareBytes(), 2 * MIB + 4 * KIB, 'what has no page of its own is not kept')
  pager.trim()
  t.is(spareBytes(), 0)
})

test('spares become results of the same length, overwritten wholly', t => {
  const pager = newPager(t, { spareBytes: 4 * MIB })
  const bytes = pattern(MIB)
  const handle = pager.pageout(bytes.slice())
  pager.pageout(new Uint8Array(MIB).fill(0xff))[Symbol.dispose]()
  t.is(pager.stats().spareBytes, 2 * MIB)
  const half = pager.readAt(handle, 0, MIB / 2)
  t.is(pager.stats().spareBytes, 2 * MIB, 'other lengths use none')
  sameBytes(t, half, bytes.subarray(0, MIB / 2))
  const first = pager.readAt(handle, 0, MIB)
  t.is(pager.stats().spareBytes, MIB)
  const second = pager.readAtMany(handle, [
    [MIB / 2, MIB / 2],
    [0, MIB / 2],
  ])
  t.deepEqual([pager.stats().spareBytes, pager.stats().spareHits], [0, 2])
  const third = pager.take(handle)
  sameBytes(t, first, bytes)
  sameBytes(t, second, Buffer.concat([bytes.subarray(MIB / 2), bytes.subarray(0, MIB / 2)]))
  sameBytes(t, third, bytes)
  t.is(new Set([first.buffer, second.buffer, third.buffer]).size, 3, 'nobody shares memory')
})

test('a spare of one class serves results of another', t => {
  const pager = newPager(t, { spareBytes: MIB })
  const handle = pager.pageout(new Float64Array(1000).fill(0.25), { detach: 'never' })
  pager.pageout(new Uint8Array(8000).fill(0xff))
  t.is(pager.stats().spareBytes, 8000)
  t.deepEqual(pager.take(handle), new Float64Array(1000).fill(0.25))
  t.is(pager.stats().spareBytes, 0)
})

test('chunks that stay with the caller, and those of the swap backend, leave no spares', t => {
  const pager = newPager(t, { spareBytes: MIB })
  const kept = new Uint8Array(1000)
  const handles: Handle<Uint8Array>[] = [
    pager.pageout(kept, { detach: 'never' }),
    pager.pageout(kept.subarray(1)),
    pager.pageout(new Uint8Array(new SharedArrayBuffer(1000))),
    pager.pageoutWith('swap', new Uint8Array(1000)),
    pager.pageout(new Uint8Array(0)),
  ]
  t.is(pager.stats().spareBytes, 0)
  for (const handle of handles) pager.take(handle)
  t.is(pager.stats().spareBytes, 0)
})

test('a buffer that can be resized never becomes a spare', t => {
  const pager = newPager(t, { spareBytes: MIB })
  const handle = pager.pageout(new Uint8Array(new ArrayBuffer(1000, { maxByteLength: 2000 })))
  t.is(pager.stats().spareBytes, 0)
  t.false(pager.take(handle).buffer.resizable)
})

test('without the option spares take 32 MiB, or a sixteenth of the memory limit where that is less', t => {
  const limit = Math.min(process.constrainedMemory() || totalmem(), totalmem())
  const budget = Math.min(32 * MIB, Math.floor(limit / 16))
  const pager = newPager(t)
  pager.pageout(new Uint8Array(budget + 1))
  t.is(pager.stats().spareBytes, 0)
  pager.pageout(new Uint8Array(budget))
  t.is(pager.stats().spareBytes, budget)
  pager.pageout(new Uint8Array(5000))
  t.is(pager.stats().spareBytes, 5000)
  const before = stats().spareBytes
  pageout(new Uint8Array(5000))[Symbol.dispose]()
  t.is(stats().spareBytes, before + 5000, 'the pager of the process has its own')
  trim()
  t.is(stats().spareBytes, 0)
})

test('a budget of 0 keeps no spares', t => {
  const pager = newPager(t, { spareBytes: 0 })
  pager.pageout(new Uint8Array(1000))
  t.is(pager.stats().spareBytes, 0)
})
