import test from 'ava'
import { type Chunk, Pager, pageout, stats, take } from 'pageout'
import {
  backends,
  bytesOf,
  chunkOf,
  classOf,
  KIB,
  kinds,
  lengthOf,
  MIB,
  pattern,
  pieces,
  sameBytes,
} from './helpers/chunks.js'
import { newPager } from './helpers/places.js'

/** Payloads that just fit, just miss or fill pages and slots; multiples of 8, so that every class has them. */
const LENGTHS = [4, 8, 12, 16, 24, 32, 48, 64, 96, 1024].map(pages => pages * KIB).flatMap(at => [at - 8, at, at + 8])

for (const backend of backends) {
  for (const kind of kinds) {
    test(`${kind.name} goes out and comes back through the ${backend} backend`, t => {
      const pager = newPager(t)
      const odd = kind.elementBytes === 1 ? [1, 4095, 4097] : []
      for (const byteLength of [8, ...odd, ...LENGTHS]) {
        const bytes = pattern(byteLength, byteLength)
        const handle = pager.pageout(chunkOf(kind, bytes), { backend })
        t.is(handle.length, byteLength / kind.elementBytes)
        t.is(handle.byteLength, byteLength)
        t.is(handle.backend, backend)
        const result = pager.take(handle)
        t.is(classOf(result), kind.name)
        t.is(lengthOf(result), byteLength / kind.elementBytes)
        sameBytes(t, result, bytes, `${byteLength} bytes`)
      }
    })

    test(`several chunks of ${kind.name} become one payload in the ${backend} backend`, t => {
      const pager = newPager(t)
      const bytes = pattern(96 * KIB)
      const parts = pieces(bytes, [8, 0, 4096, 16, 0, 60_000])
      const chunks = parts.map(part => chunkOf(kind, part))
      const handle = pager.pageout(chunks, { backend })
      t.deepEqual(
        chunks.map(lengthOf),
        parts.map(() => 0),
        'every chunk is empty',
      )
      t.is(handle.byteLength, bytes.length)
      const result = pager.take(handle)
      t.is(classOf(result), kind.name)
      sameBytes(t, result, bytes)
    })
  }

  test(`values of every sort survive the ${backend} backend`, t => {
    const pager = newPager(t)
    const doubles = Float64Array.of(Number.NaN, -0, Number.POSITIVE_INFINITY, Number.MIN_VALUE, Number.MAX_VALUE, 0.1)
    t.deepEqual(pager.take(pager.pageout(doubles.slice(), { backend })), doubles)
    const bigs = BigInt64Array.of(-(2n ** 63n), -1n, 0n, 2n ** 63n - 1n)
    t.deepEqual(pager.take(pager.pageout(bigs.slice(), { backend })), bigs)
    const unsigned = BigUint64Array.of(0n, 2n ** 64n - 1n)
    t.deepEqual(pager.take(pager.pageout(unsigned.slice(), { backend })), unsigned)
    const clamped = Uint8ClampedArray.of(0, 255)
    t.deepEqual(pager.take(pager.pageout(clamped.slice(), { backend })), clamped)
  })

  test(`more chunks than one system call takes become one payload in the ${backend} backend`, t => {
    const pager = newPager(t)
    const bytes = pattern(3000 * 24)
    const chunks = pieces(
      bytes,
      Array.from({ length: 2999 }, () => 24),
    ).map(part => new Float64Array(part.buffer))
    const handle = pager.pageout(chunks, { backend })
    t.is(handle.length, 9000)
    t.true(chunks.every(chunk => chunk.length === 0))
    sameBytes(t, pager.take(handle), bytes)
  })

  test(`a payload longer than the largest slot survives the ${backend} backend`, t => {
    const pager = newPager(t)
    const bytes = pattern(70 * MIB)
    const whole = pager.pageout(bytes.slice(), { backend })
    sameBytes(t, pager.readAt(whole, 64 * MIB - 10, 20), bytes.subarray(64 * MIB - 10, 64 * MIB + 10))
    sameBytes(t, pager.take(whole), bytes)
    const uneven = pager.pageout(pieces(bytes, [1, 40 * MIB, 23 * MIB + 4095, 5]), { backend })
    sameBytes(t, pager.take(uneven), bytes)
  })

  test(`chunks without elements make a handle of length 0 in the ${backend} backend, and open nothing`, t => {
    using pager = new Pager()
    for (const kind of kinds) {
      for (const chunks of [chunkOf(kind, pattern(0)), [0, 0, 0].map(() => chunkOf(kind, pattern(0)))]) {
        const handle = pager.pageout(chunks as Chunk, { backend })
        t.deepEqual([handle.length, handle.byteLength, handle.backend], [0, 0, backend])
        t.is(lengthOf(pager.readAt(handle, 0, 0)), 0)
        const result = pager.take(handle)
        t.is(classOf(result), kind.name)
        t.is(lengthOf(result), 0)
      }
    }
    const { scratchDir, usedBytes, scratchBytes, handles } = pager.stats()
    t.deepEqual(
      { scratchDir, usedBytes, scratchBytes, handles },
      { scratchDir: null, usedBytes: 0, scratchBytes: 0, handles: 0 },
    )
  })

  test(`results of the ${backend} backend are ordinary memory that nobody else holds`, t => {
    const pager = newPager(t)
    for (const kind of kinds) {
      const bytes = pattern(128)
      const handle = pager.pageout(chunkOf(kind, bytes), { backend })
      const quarter = 32 / kind.elementBytes
      const results = [
        pager.readAt(handle, 0, quarter),
        pager.readAt(handle, 0, quarter),
        pager.readAtMany(handle, [
          [quarter, quarter],
          [0, quarter],
        ]),
      ]
      for (const result of results) bytesOf(result).fill(0xee)
      sameBytes(t, pager.readAt(handle, 0, 4 * quarter), bytes, 'what was read may be overwritten')
      const last = pager.take(handle)
      for (const result of [...results, last]) {
        const buffer = ArrayBuffer.isView(result) ? result.buffer : result
        if (!(buffer instanceof ArrayBuffer)) return t.fail(`${kind.name}: shared memory`)
        t.is(buffer.byteLength, result.byteLength, `${kind.name}: no memory of others around it`)
        bytesOf(result)[0] = 0x77
        const moved = structuredClone(buffer, { transfer: [buffer] })
        t.is(new Uint8Array(moved)[0], 0x77)
        t.is(lengthOf(result), 0, `${kind.name}: it moved`)
      }
    }
  })
}

test('the functions of the module work on the pager of the process', t => {
  const before = stats()
  const bytes = pattern(10_000)
  const handle = pageout(bytes.slice())
  t.is(stats().handles, before.handles + 1)
  t.is(handle.backend, 'file')
  sameBytes(t, take(handle), bytes)
  t.is(stats().handles, before.handles)
})

test('the same result class comes back for views of another realm', async t => {
  const { runInNewContext } = await import('node:vm')
  const pager = newPager(t)
  const foreign = runInNewContext('new Float64Array([1, 2, 3])') as Float64Array
  const result = pager.take(pager.pageout(foreign))
  t.is(foreign.length, 0)
  t.deepEqual(result, Float64Array.of(1, 2, 3))
})
