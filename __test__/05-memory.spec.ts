import { totalmem } from 'node:os'
import test from 'ava'
import { type Handle, type Pager, pageout, stats, trim } from 'pageout'
import { runChild } from './helpers/child.js'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { newPager } from './helpers/places.js'

/** An array whose memory pageout allocated: a result. Only such memory is kept. */
function own(pager: Pager, byteLength: number): Uint8Array<ArrayBuffer> {
  return pager.take(pager.pageout(new Uint8Array(byteLength), { detach: 'never' }))
}

test.beforeEach(() => trim())

test.serial('a payload of the swap backend comes back without a copy', async t => {
  const { risenBytes, isWhole } = await runChild<{ risenBytes: number; isWhole: boolean }>('peak.ts', [256 * MIB])
  t.log(`the peak rose by ${Math.round(risenBytes / MIB)} of 256 MiB`)
  t.true(risenBytes < 25 * MIB)
  t.true(isWhole)
})

test.serial('spares stay within their budget, and the oldest go first', t => {
  const pager = newPager(t, { spareBytes: 3 * MIB })
  const lengths = [MIB, MIB, MIB, MIB, 3 * MIB + 1, 2 * MIB, 4 * KIB, 4 * KIB - 8]
  const results = lengths.map(byteLength => own(pager, byteLength))
  trim()
  const kept = results.map(result => {
    pager.pageout(result)
    return pager.stats().spareBytes
  })
  t.deepEqual(kept, [
    MIB,
    2 * MIB,
    3 * MIB,
    3 * MIB, // one went
    3 * MIB, // what is over the budget by itself is not kept
    3 * MIB, // two went
    2 * MIB + 4 * KIB, // the last of the length that was given back longest ago went
    2 * MIB + 4 * KIB, // what has no page of its own is not kept
  ])
  pager.trim()
  t.is(pager.stats().spareBytes, 0)
})

test.serial('spares become results of the same length, overwritten wholly', t => {
  const pager = newPager(t, { spareBytes: 4 * MIB })
  const bytes = pattern(MIB)
  const handle = pager.pageout(bytes, { detach: 'never' })
  const { spareHits } = pager.stats()
  const others = [own(pager, MIB), own(pager, MIB)]
  for (const other of others) pager.pageout(other.fill(0xff))
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
  t.deepEqual([pager.stats().spareBytes, pager.stats().spareHits], [0, spareHits + 2])
  const third = pager.take(handle)
  sameBytes(t, first, bytes)
  sameBytes(t, second, Buffer.concat([bytes.subarray(MIB / 2), bytes.subarray(0, MIB / 2)]))
  sameBytes(t, third, bytes)
  t.is(new Set([first.buffer, second.buffer, third.buffer]).size, 3, 'nobody shares memory')
})

test.serial('a spare of one class serves results of another', t => {
  const pager = newPager(t, { spareBytes: MIB })
  const handle = pager.pageout(new Float64Array(1000).fill(0.25), { detach: 'never' })
  pager.pageout(own(pager, 8000).fill(0xff))
  t.is(pager.stats().spareBytes, 8000)
  t.deepEqual(pager.take(handle), new Float64Array(1000).fill(0.25))
  t.is(pager.stats().spareBytes, 0)
})

test.serial('memory that pageout did not allocate never becomes a spare', t => {
  const pager = newPager(t, { spareBytes: 4 * MIB })
  pager.pageout(new Uint8Array(MIB))
  pager.pageout(new Uint8Array(own(pager, MIB).buffer.transfer?.() ?? new ArrayBuffer(MIB)))
  t.is(pager.stats().spareBytes, 0)
})

test.serial('chunks that stay with the caller, and those of the swap backend, leave no spares', t => {
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

test.serial('a buffer that can be resized never becomes a spare', t => {
  const pager = newPager(t, { spareBytes: MIB })
  const handle = pager.pageout(new Uint8Array(new ArrayBuffer(1000, { maxByteLength: 2000 })))
  t.is(pager.stats().spareBytes, 0)
  t.false(pager.take(handle).buffer.resizable)
})

test.serial(
  'without the option spares take 32 MiB, or a sixteenth of the memory limit where that is less, over all pagers',
  t => {
    const limit = Math.min(process.constrainedMemory() || totalmem(), totalmem())
    const budget = Math.min(32 * MIB, Math.floor(limit / 16))
    const pager = newPager(t)
    const [over, within, small] = [budget + 1, budget, 5000].map(byteLength => own(pager, byteLength))
    trim()
    pager.pageout(over as Uint8Array)
    t.is(pager.stats().spareBytes, 0)
    pager.pageout(within as Uint8Array)
    t.is(pager.stats().spareBytes, budget)
    pageout(small as Uint8Array).release()
    t.deepEqual([stats().spareBytes, pager.stats().spareBytes], [5000, 5000], 'one budget, of which the oldest goes')
    trim()
    t.is(pager.stats().spareBytes, 0)
  },
)

test.serial('a budget of 0 keeps no spares', t => {
  const pager = newPager(t, { spareBytes: 0 })
  pager.pageout(own(pager, MIB))
  t.is(pager.stats().spareBytes, 0)
})
