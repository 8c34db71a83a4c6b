/** What pageout does with memory: it gives back what it was given, and touches only what it allocated. */

import * as workerThreads from 'node:worker_threads'
import test from 'ava'
import { type Handle, type Pager, stats } from 'pageout'
import { Pager as PromisePager } from 'pageout/promises'
import { runChild } from './helpers/child.js'
import { KIB, MIB, pattern, sameBytes, wasmMemory } from './helpers/chunks.js'
import { type Lender, openLender } from './helpers/lender.js'
import { newPager } from './helpers/places.js'

interface Left {
  readonly leftBytes: number
  readonly collectedBytes: number
  readonly isWhole: boolean
}

/** Stays in any case: 1 MiB that is not worth a trim, and what V8 and the file backend took meanwhile. */
const TOLERANCE_BYTES = 8 * MIB
/** The first and the last page of a piece, which it shares with its neighbours. */
const EDGES_BYTES = 8 * KIB

const PIECES = [
  { pieceBytes: 64 * KIB, count: 4096 },
  { pieceBytes: 2 * MIB, count: 128 },
  { pieceBytes: 16 * MIB, count: 16 },
  { pieceBytes: 256 * MIB, count: 1 },
]

for (const spareBytes of [0, 32 * MIB]) {
  for (const { pieceBytes, count } of PIECES) {
    const what = `${count} pieces of ${pieceBytes / KIB} KiB with spareBytes ${spareBytes}`
    test.serial(`the memory of ${what} is back when the calls return`, async t => {
      const { leftBytes, isWhole } = await runChild<Left>('given-back.ts', [pieceBytes, count, spareBytes, 1, 'file'])
      t.log(`${Math.round(leftBytes / MIB)} MiB left`)
      t.true(leftBytes <= spareBytes + TOLERANCE_BYTES + count * EDGES_BYTES)
      t.true(isWhole)
    })
  }
}

for (const how of ['release', 'close', 'take']) {
  for (const { pieceBytes, count } of PIECES) {
    test.serial(`${how} of swap payloads of ${pieceBytes / KIB} KiB gives their memory back at once`, async t => {
      const { leftBytes } = await runChild<Left>('given-back.ts', [pieceBytes, count, 0, 1, how])
      t.log(`${Math.round(leftBytes / MIB)} MiB left`)
      t.true(leftBytes <= TOLERANCE_BYTES + count * EDGES_BYTES)
    })
  }
}

test.serial('16 pagers share one budget', async t => {
  const { leftBytes } = await runChild<Left>('given-back.ts', [2 * MIB, 128, 16 * MIB, 1, 'pagers'])
  t.log(`${Math.round(leftBytes / MIB)} MiB left`)
  t.true(leftBytes <= 16 * MIB + TOLERANCE_BYTES + 128 * EDGES_BYTES)
})

// A piece of 4 KiB holds no whole page, and V8's own records lie between the pieces until they are collected.
test.serial('the memory of pieces of 4 KiB is back after a collection and a trim', async t => {
  const { leftBytes, collectedBytes } = await runChild<Left>('given-back.ts', [4 * KIB, 65_536, 0, 1024, 'file'])
  t.log(`${Math.round(leftBytes / MIB)} of 256 MiB left, then ${Math.round(collectedBytes / MIB)}`)
  t.true(collectedBytes <= 64 * MIB)
})

for (const pieceBytes of [512, 4 * KIB, 16 * KIB]) {
  test.serial(`memory does not grow where arrays of ${pieceBytes} bytes are paged out all the time`, async t => {
    const args = [pieceBytes, (256 * MIB) / pieceBytes / (pieceBytes < KIB ? 4 : 1), 32 * MIB]
    const { grownBytes } = await runChild<{ grownBytes: number }>('steady.ts', args)
    t.log(`${Math.round(grownBytes / MIB)} MiB`)
    // V8's own heap grows at first.
    t.true(grownBytes <= 32 * MIB + 32 * MIB)
  })
}

/** musl maps and unmaps each array by itself. */
const ifHeapKeeps = 'glibcVersionRuntime' in (process.report.getReport() as { header: object }).header

;(ifHeapKeeps ? test.serial : test.serial.skip)(
  'freed memory that is allocated and freed again counts once',
  async t => {
    const batches = 64
    const { pages } = await runChild<{ pages: number }>('recycled.ts', [2 * MIB, 10, batches, 32 * MIB])
    t.log(`${pages} pages`)
    // Counted each time, it would be given back with every second batch, which has 20 MiB.
    t.true(pages < ((batches * 3) / 4) * ((20 * MIB) / (4 * KIB) / 16))
  },
)

/** Pages out and takes, so that the array that comes back is in memory that pageout allocated. */
function resultOf(pager: Pager, byteLength: number): Uint8Array<ArrayBuffer> {
  return pager.take(pager.pageout(new Uint8Array(byteLength).fill(3))) as Uint8Array<ArrayBuffer>
}

test.serial('only results become spares', t => {
  const pager = newPager(t, { spareBytes: 32 * MIB })
  pager.trim()
  const spareBytes = () => pager.stats().spareBytes
  const results = [resultOf(pager, MIB), resultOf(pager, MIB), resultOf(pager, MIB)]
  t.is(spareBytes(), 0)
  for (const result of results) pager.pageout(result)[Symbol.dispose]()
  t.is(spareBytes(), 3 * MIB)
  t.is(stats().spareBytes, 3 * MIB, 'all pagers of the thread see them')
  const hits = pager.stats().spareHits
  const bytes = pattern(MIB)
  const other = newPager(t, { spareBytes: 0 })
  sameBytes(t, other.take(other.pageout(bytes.slice())), bytes)
  t.deepEqual([spareBytes(), pager.stats().spareHits], [2 * MIB, hits + 1], 'and use them')
  pager.trim()
  t.is(spareBytes(), 0)
})

test.serial('memory that the caller moved is no longer known as ours', t => {
  const pager = newPager(t, { spareBytes: 32 * MIB })
  pager.trim()
  const result = resultOf(pager, MIB)
  const moved = new Uint8Array(structuredClone(result.buffer, { transfer: [result.buffer] }))
  pager.pageout(moved)[Symbol.dispose]()
  t.is(moved.length, 0)
  t.is(pager.stats().spareBytes, 0)
})

test.serial('memory that went through the swap backend is still known as ours', t => {
  const pager = newPager(t, { spareBytes: 32 * MIB })
  pager.trim()
  const result = pager.take(pager.pageoutWith('swap', resultOf(pager, MIB)))
  pager.pageout(result)[Symbol.dispose]()
  t.is(pager.stats().spareBytes, MIB)
})

test.serial('spares stay within the budget of the pager that gives back, and the oldest go first', t => {
  const large = newPager(t, { spareBytes: 4 * MIB })
  const small = newPager(t, { spareBytes: MIB })
  const none = newPager(t, { spareBytes: 0 })
  const results = [2 * MIB, MIB, MIB, MIB, MIB, MIB, 5 * MIB].map(byteLength => resultOf(large, byteLength))
  large.trim()
  const backTo = (pager: Pager) => pager.pageout(results.shift() as Uint8Array)[Symbol.dispose]()
  const spareBytes = () => large.stats().spareBytes
  for (const expected of [2 * MIB, 3 * MIB, 4 * MIB]) {
    backTo(large)
    t.is(spareBytes(), expected)
  }
  backTo(none)
  t.is(spareBytes(), 4 * MIB, 'a pager that keeps nothing leaves what others keep')
  backTo(small)
  t.is(spareBytes(), 4 * MIB, 'so does one whose budget others exceed')
  backTo(large)
  t.is(spareBytes(), 3 * MIB, 'the oldest, of 2 MiB, went')
  backTo(large)
  t.is(spareBytes(), 3 * MIB, 'what exceeds the budget by itself is not kept')
  large.trim()
})

test.serial('a buffer that can be resized never becomes a spare', t => {
  const pager = newPager(t, { spareBytes: 32 * MIB })
  pager.trim()
  const chunk = new Uint8Array(new ArrayBuffer(MIB, { maxByteLength: 2 * MIB }))
  const handle = pager.pageout(chunk)
  t.is(chunk.length, 0)
  t.is(pager.stats().spareBytes, 0)
  t.false((pager.take(handle) as Uint8Array<ArrayBuffer>).buffer.resizable)
})

/** Other kinds of memory, as chunks: whether they are emptied. */
const LENT: [name: string, isEmptied: boolean, make: () => Uint8Array][] = [
  ['an ordinary buffer', true, () => new Uint8Array(MIB)],
  ['a resizable buffer', true, () => new Uint8Array(new ArrayBuffer(MIB, { maxByteLength: 2 * MIB }))],
  ['shared memory', false, () => new Uint8Array(new SharedArrayBuffer(MIB))],
  ['growable shared memory', false, () => new Uint8Array(growable(MIB))],
  ['WebAssembly memory', false, () => new Uint8Array(wasmMemory().buffer)],
  ['memory marked as untransferable', false, () => marked(new Uint8Array(MIB))],
]

function growable(byteLength: number): SharedArrayBuffer {
  type Growable = new (byteLength: number, options: { maxByteLength: number }) => SharedArrayBuffer
  return new (SharedArrayBuffer as unknown as Growable)(byteLength, { maxByteLength: 2 * byteLength })
}

function marked(chunk: Uint8Array): Uint8Array {
  workerThreads.markAsUntransferable(chunk.buffer)
  return chunk
}

for (const [name, isEmptied, make] of LENT) {
  for (const backend of ['file', 'swap'] as const) {
    test.serial(`${name}: as a chunk of the ${backend} backend and as a target`, async t => {
      const pager = newPager(t, { backend, spareBytes: 32 * MIB })
      await using promises = new PromisePager({ backend, spareBytes: 32 * MIB })
      const expected = pattern(make().length)
      for (const pageout of [pager.pageout.bind(pager), promises.pageout.bind(promises)]) {
        const chunk = make()
        chunk.set(expected)
        const handle = await pageout(chunk)
        t.is(chunk.length, isEmptied ? 0 : expected.length)
        // What is left must not become part of what others get.
        handle[Symbol.dispose]()
        resultOf(pager, expected.length)
        if (!isEmptied) sameBytes(t, chunk, expected)
      }
      const target = make()
      const result = pager.take(pager.pageout(expected.slice()), target)
      t.true(result.buffer === target.buffer)
      sameBytes(t, target, expected)
    })
  }
}

const lender = openLender()
const withLender = typeof lender === 'string' ? test.skip : test.serial
if (typeof lender === 'string') test('foreign memory', t => t.pass(`not tested: ${lender}`))
let loans = 0

function lendPages(pages: number): { buffer: ArrayBuffer; loan: number } {
  return { buffer: (lender as Lender).lend(pages), loan: loans++ }
}

/** Turns of the event loop, in which an addon's finalizers run. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve))
}

const PAGES = 16
const LENT_BYTES = PAGES * 4096

for (const backend of ['file', 'swap'] as const) {
  withLender(`memory that an addon lends and marks stays as it is in the ${backend} backend`, async t => {
    const { changed, returns } = lender as Lender
    const pager = newPager(t, { backend, spareBytes: 32 * MIB })
    const { buffer, loan } = lendPages(PAGES)
    const handle = pager.pageout(new Uint8Array(buffer)) as Handle<Uint8Array>
    t.is(buffer.byteLength, LENT_BYTES, 'it is left to its owner')
    for (let read = 0; read < 3; read++) resultOf(pager, LENT_BYTES)
    sameBytes(t, pager.take(handle), new Uint8Array(LENT_BYTES).fill(7))
    await turns()
    t.deepEqual([changed(loan), returns(loan), buffer.byteLength], [0, 0, LENT_BYTES])
    const target = new Uint8Array(buffer)
    pager.take(pager.pageout(new Uint8Array(LENT_BYTES).fill(8)), target)
    t.is(changed(loan), LENT_BYTES, 'as a target it is filled where it lies')
  })

  // Before Node 22 nothing takes the mark away.
  const withTransfer = typeof ArrayBuffer.prototype.transfer === 'function' ? withLender : test.skip
  for (const end of ['release', 'take', 'take several', 'close'] as const) {
    withTransfer(`memory of an addon that lost its mark goes back to the addon: ${backend}, ${end}`, async t => {
      const { changed, returns } = lender as Lender
      const pager = newPager(t, { backend, spareBytes: 32 * MIB })
      const { buffer, loan } = lendPages(PAGES)
      const lent = new Uint8Array(buffer.transfer())
      const several = end === 'take several'
      const handle: Handle<Uint8Array> = pager.pageout(several ? [lent, new Uint8Array(LENT_BYTES).fill(7)] : lent)
      t.is(lent.length, 0)
      // Of the same length: a spare would be overwritten by it.
      for (let read = 0; read < 3; read++) resultOf(pager, LENT_BYTES).fill(9)
      const bytes = new Uint8Array((several ? 2 : 1) * LENT_BYTES).fill(7)
      sameBytes(t, pager.readAt(handle, 0, bytes.length), bytes)
      const isSameMemory = backend === 'swap' && end === 'take'
      if (end === 'release') handle[Symbol.dispose]()
      else if (end === 'close') pager.close()
      else sameBytes(t, pager.take(handle), bytes)
      await turns()
      t.is(changed(loan), 0)
      if (!isSameMemory) t.is(returns(loan), 1, 'its deleter ran')
    })
  }
}
