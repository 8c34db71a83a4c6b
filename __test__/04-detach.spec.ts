import { pbkdf2Sync } from 'node:crypto'
import { markAsUntransferable } from 'node:worker_threads'
import test from 'ava'
import type { Chunk } from 'pageout'
import { backends, bytesOf, chunkOf, KIB, kinds, lengthOf, pattern, sameBytes, wasmMemory } from './helpers/chunks.js'
import { countsOf, newPager } from './helpers/places.js'

/** A buffer that cannot be given back, or can be only with others' memory. */
interface Stubborn {
  readonly what: string
  /** The chunk, with 64 bytes. */
  readonly make: () => Chunk
}

const bytes64 = pattern(64)
const filled = <C extends Chunk>(chunk: C): C => {
  bytesOf(chunk).set(bytes64)
  return chunk
}

const stubborn: readonly Stubborn[] = [
  { what: 'the front of a buffer', make: () => filled(new Uint8Array(new ArrayBuffer(65), 0, 64)) },
  { what: 'the back of a buffer', make: () => filled(new Uint8Array(new ArrayBuffer(65), 1)) },
  { what: 'a subarray', make: () => filled(new Float64Array(10).subarray(1, 9)) },
  { what: 'a DataView of a part', make: () => filled(new DataView(new ArrayBuffer(72), 8)) },
  { what: 'a small Buffer of the pool', make: () => filled(Buffer.from(bytes64)) },
  { what: 'a view of shared memory', make: () => filled(new Int32Array(new SharedArrayBuffer(64))) },
  { what: 'a DataView of shared memory', make: () => filled(new DataView(new SharedArrayBuffer(64))) },
  {
    what: 'growable shared memory',
    make: () => filled(new Uint8Array(new SharedArrayBuffer(64, { maxByteLength: 128 }))),
  },
  { what: 'a buffer marked as untransferable', make: () => filled(untransferable(new ArrayBuffer(64))) },
  {
    what: 'a view of a buffer marked as untransferable',
    make: () => filled(new Uint16Array(untransferable(new ArrayBuffer(64)))),
  },
]

function untransferable(buffer: ArrayBuffer): ArrayBuffer {
  markAsUntransferable(buffer)
  return buffer
}

for (const backend of backends) {
  test(`a chunk that is all of its buffer is detached with all its aliases by the ${backend} backend`, t => {
    const pager = newPager(t)
    for (const kind of kinds) {
      const buffer = pattern(4096).buffer as ArrayBuffer
      const chunk = kind.over(buffer)
      const aliases = [new Uint8Array(buffer), new Uint32Array(buffer, 8, 4), buffer, new DataView(buffer)]
      const handle = pager.pageout(chunk, { backend })
      t.is(buffer.byteLength, 0, kind.name)
      t.throws(() => new Uint8Array(buffer), { instanceOf: TypeError }, `${kind.name}: detached, not just empty`)
      t.is(lengthOf(chunk), 0)
      t.deepEqual([aliases[0]?.byteLength, aliases[1]?.byteLength, aliases[2]?.byteLength], [0, 0, 0])
      t.throws(() => (aliases[3] as DataView).getUint8(0), { instanceOf: TypeError })
      sameBytes(t, pager.take(handle), pattern(4096))
    }
  })

  test(`a buffer that can be resized is detached as any other by the ${backend} backend`, t => {
    const pager = newPager(t)
    const kindsOfViews: ((buffer: ArrayBuffer) => Chunk)[] = [
      buffer => new Uint8Array(buffer),
      buffer => new Float64Array(buffer, 0, 8),
      buffer => new DataView(buffer),
      buffer => buffer,
    ]
    for (const view of kindsOfViews) {
      const buffer = new ArrayBuffer(64, { maxByteLength: 2 ** 20 })
      const handle = pager.pageout(filled(view(buffer)), { backend })
      t.is(buffer.byteLength, 0)
      t.is(handle.byteLength, 64)
      sameBytes(t, pager.readAt(handle, 0, handle.length), bytes64)
      sameBytes(t, pager.take(handle), bytes64)
    }
    const buffer = new ArrayBuffer(64, { maxByteLength: 128 })
    const part = filled(new Uint8Array(buffer, 0, 64))
    buffer.resize(128)
    sameBytes(t, pager.take(pager.pageout(part, { backend })), bytes64)
    t.is(buffer.byteLength, 128, 'a view of a part of it leaves it alone')
  })

  test(`memory that the runtime got from elsewhere goes out and comes back through the ${backend} backend`, t => {
    const pager = newPager(t)
    const derived = pbkdf2Sync('a', 'b', 1, 256 * KIB, 'sha1')
    const expected = Buffer.from(derived)
    const handle = pager.pageout(derived, { backend })
    sameBytes(t, pager.take(handle), expected)
  })

  for (const { what, make } of stubborn) {
    test(`${what} is copied and left as it was by the ${backend} backend`, t => {
      const pager = newPager(t)
      const chunk = make()
      const around = 'buffer' in chunk ? chunk.buffer.byteLength : chunk.byteLength
      const handle = pager.pageout(chunk, { backend })
      t.is('buffer' in chunk ? chunk.buffer.byteLength : chunk.byteLength, around)
      sameBytes(t, chunk, bytes64)
      bytesOf(chunk).fill(0)
      const result = pager.take(handle)
      sameBytes(t, result, bytes64, 'later writes of the caller do not reach the payload')
      bytesOf(result).fill(1)
      sameBytes(t, chunk, new Uint8Array(64), 'nor does the caller see those of the result')
    })
  }

  test(`WebAssembly memory is copied and left as it was by the ${backend} backend`, t => {
    const pager = newPager(t)
    const memory = wasmMemory()
    const view = new Uint8Array(memory.buffer)
    view.set(bytes64)
    const expected = view.slice()
    for (const chunk of [view, memory.buffer]) {
      sameBytes(t, pager.take(pager.pageout(chunk as Chunk, { backend })), expected)
      t.is(view.length, 65_536)
      sameBytes(t, view, expected)
    }
    t.is(memory.grow(1), 1, 'the module can go on')
  })

  test(`the pool of small Buffers survives when it is paged out as an ArrayBuffer by the ${backend} backend`, t => {
    const pager = newPager(t)
    const before = Buffer.from('before')
    const pool = before.buffer as ArrayBuffer
    const expected = new Uint8Array(pool.slice(0))
    const handle = pager.pageout(pool, { backend })
    t.is(pool.byteLength, expected.length)
    t.is(before.toString(), 'before')
    t.is(Buffer.from('after').toString(), 'after')
    sameBytes(t, pager.take(handle), expected)
    const whole = Buffer.from(pool)
    pager.pageout(whole, { backend })
    t.is(whole.length, expected.length, 'nor is a Buffer of all of it detached')
    t.is(before.toString(), 'before')
  })

  test(`detach 'never' leaves every chunk as it was in the ${backend} backend`, t => {
    const pager = newPager(t)
    for (const kind of kinds) {
      const chunks = [chunkOf(kind, bytes64), chunkOf(kind, bytes64)]
      const handle = pager.pageout(chunks, { backend, detach: 'never' })
      for (const chunk of chunks) {
        sameBytes(t, chunk, bytes64)
        bytesOf(chunk).fill(0)
      }
      sameBytes(t, pager.take(handle), Buffer.concat([bytes64, bytes64]), kind.name)
    }
    for (const { make } of stubborn) {
      const chunk = make()
      sameBytes(t, pager.take(pager.pageoutWith(backend, chunk, { detach: 'never' })), bytes64)
      sameBytes(t, chunk, bytes64)
    }
  })

  test(`detach 'required' detaches every chunk in the ${backend} backend`, t => {
    const pager = newPager(t)
    for (const kind of kinds) {
      const chunks = [chunkOf(kind, bytes64), chunkOf(kind, bytes64), chunkOf(kind, new Uint8Array(0))]
      const handle = pager.pageoutWith(backend, chunks, { detach: 'required' })
      t.deepEqual(chunks.map(lengthOf), [0, 0, 0], kind.name)
      sameBytes(t, pager.take(handle), Buffer.concat([bytes64, bytes64]), kind.name)
    }
  })

  for (const { what, make } of [
    ...stubborn,
    { what: 'WebAssembly memory', make: wasmChunk },
    { what: 'the pool', make: poolChunk },
  ]) {
    test(`detach 'required' refuses ${what} before anything happens in the ${backend} backend`, t => {
      const pager = newPager(t)
      const good = kinds.find(kind => kind.name === make().constructor.name)
      t.truthy(good)
      if (!good) return
      const chunks = [chunkOf(good, bytes64), make(), chunkOf(good, bytes64)]
      const lengths = chunks.map(lengthOf)
      const before = countsOf(pager)
      const refusal = { instanceOf: TypeError, code: 'ERR_PAGEOUT_NOT_DETACHABLE', message: /chunks\[1\]/ }
      t.throws(() => pager.pageout(chunks, { backend, detach: 'required' }), refusal)
      t.throws(() => pager.tryPageout(chunks, { backend, detach: 'required' }), refusal)
      t.throws(() => pager.pageoutWith(backend, chunks, { detach: 'required' }), refusal)
      t.throws(() => pager.tryPageoutWith(backend, chunks, { detach: 'required' }), refusal)
      t.throws(() => pager.pageout(make(), { backend, detach: 'required' }), { ...refusal, message: /chunks/ })
      t.deepEqual(chunks.map(lengthOf), lengths)
      for (const chunk of chunks.toSpliced(1, 1)) sameBytes(t, chunk, bytes64)
      t.deepEqual(countsOf(pager), before)
    })
  }

  test(`a chunk named twice goes out twice through the ${backend} backend`, t => {
    const pager = newPager(t)
    for (const kind of kinds) {
      for (const detach of ['auto', 'required', 'never'] as const) {
        const chunk = chunkOf(kind, bytes64)
        const handle = pager.pageout([chunk, chunk, chunk], { backend, detach })
        if (detach === 'never') sameBytes(t, chunk, bytes64)
        else t.is(lengthOf(chunk), 0, `${kind.name}, ${detach}`)
        sameBytes(t, pager.take(handle), Buffer.concat([bytes64, bytes64, bytes64]), kind.name)
      }
    }
  })

  test(`two views that are all of one buffer both go out through the ${backend} backend`, t => {
    const pager = newPager(t)
    const first = bytes64.slice()
    const handle = pager.pageout([first, new Uint8Array(first.buffer)], { backend })
    t.is(first.length, 0)
    sameBytes(t, pager.take(handle), Buffer.concat([bytes64, bytes64]))
  })

  for (const order of ['before', 'after'] as const) {
    test(`a part of a buffer named ${order} all of it does not keep it from being detached by the ${backend} backend`, t => {
      const pager = newPager(t)
      const whole = bytes64.slice()
      const part = whole.subarray(8, 24)
      const chunks = order === 'before' ? [part, whole] : [whole, part]
      const expected = Buffer.concat(chunks)
      const handle = pager.pageout(chunks, { backend })
      t.is(whole.length, 0)
      sameBytes(t, pager.take(handle), expected)
    })
  }
}

function wasmChunk(): Chunk {
  return new Uint8Array(wasmMemory().buffer)
}

function poolChunk(): Chunk {
  return Buffer.from('x').buffer as ArrayBuffer
}
