/** Payloads that are collected from a source, chunk by chunk. */

import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { setImmediate } from 'node:timers/promises'
import test from 'ava'
import type { Chunk, ChunkSource, Handle } from 'pageout'
import * as sync from 'pageout'
import * as promises from 'pageout/promises'
import { backends, bytesOf, chunkOf, classOf, KIB, kinds, MIB, pattern, pieces, sameBytes } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { newDirectory, newPager } from './helpers/places.js'

/** What goes out at a time. */
const PIECE_BYTES = 4 * MIB

/** A source that is never done. */
async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) {
    await setImmediate()
    yield new Uint8Array(KIB)
  }
}

for (const backend of backends) {
  for (const kind of kinds) {
    test(`chunks of class ${kind.name} are collected, and stay as they are (${backend})`, async t => {
      const bytes = pattern(64 * kind.elementBytes)
      const chunks = pieces(bytes, [kind.elementBytes, 0, 40 * kind.elementBytes]).map(piece => chunkOf(kind, piece))
      const handles = [sync.pageoutFrom(chunks, { backend }), await promises.pageoutFrom(chunks, { backend })]
      for (const handle of handles) {
        t.deepEqual([handle.length, handle.backend], [64, backend])
        const back = sync.take(handle)
        t.is(classOf(back), kind.name)
        sameBytes(t, back, bytes)
      }
      sameBytes(t, Buffer.concat(chunks.map(bytesOf)), bytes, 'the chunks')
    })
  }
}

test('payloads of several pieces are whole, whatever the lengths of chunks', async t => {
  const bytes = pattern(2 * PIECE_BYTES + 70_001)
  for (const length of [64 * KIB, 100_003, PIECE_BYTES, 3 * PIECE_BYTES]) {
    const chunks = () =>
      pieces(
        bytes,
        Array.from({ length: Math.floor(bytes.length / length) }, () => length),
      )
    for (const handle of [sync.pageoutFrom(chunks()), await promises.pageoutFrom(chunks())]) {
      sameBytes(t, sync.readAt(handle, PIECE_BYTES - 5, 10), bytes.subarray(PIECE_BYTES - 5, PIECE_BYTES + 5))
      sameBytes(t, sync.take(handle), bytes, `chunks of ${length}`)
    }
  }
})

test('every kind of source will do', async t => {
  const bytes = pattern(300_000)
  const path = join(newDirectory(t), 'source')
  await writeFile(path, bytes)
  const parts = () => pieces(bytes, [100_000, 1])
  const sources: Record<string, ChunkSource<Uint8Array>> = {
    array: parts(),
    'array of promises': parts().map(part => Promise.resolve(part)),
    set: new Set(parts()),
    generator: (function* () {
      yield* parts()
    })(),
    'async generator': (async function* () {
      yield* parts()
    })(),
    'Web stream': new ReadableStream({
      start(controller) {
        for (const part of parts()) controller.enqueue(part)
        controller.close()
      },
    }),
    'Node stream': Readable.from(parts()),
    'file stream': createReadStream(path),
  }
  for (const [name, source] of Object.entries(sources)) {
    sameBytes(t, sync.take(await promises.pageoutFrom(source)), bytes, name)
  }
})

test('a source may use its memory again at once', async t => {
  const memory = new Uint8Array(3 * MIB)
  function* days() {
    for (let day = 1; day <= 5; day++) yield memory.fill(day)
  }
  const expected = new Uint8Array(15 * MIB).map((_, position) => 1 + Math.floor(position / (3 * MIB)))
  sameBytes(t, sync.take(sync.pageoutFrom(days())), expected)
  sameBytes(t, sync.take(await promises.pageoutFrom(days())), expected)
})

test('a source that gives nothing makes an empty payload', async t => {
  const handles: Handle[] = [sync.pageoutFrom([]), await promises.pageoutFrom([])]
  for (const handle of handles) t.deepEqual(sync.take(handle), new Uint8Array(0))
})

test('shared memory is copied at the call', async t => {
  const shared = new Uint8Array(new SharedArrayBuffer(8)).fill(3)
  t.deepEqual(sync.take(sync.pageoutFrom([shared])), new Uint8Array(8).fill(3))
  t.deepEqual(await promises.take(await promises.pageoutFrom([shared])), new Uint8Array(8).fill(3))
})

test('what is no source, no chunk, or of another class is refused by name, and nothing stays', async t => {
  const pager = newPager(t)
  const wrong: [unknown, RegExp][] = [
    [undefined, /"source" argument must be an iterable of chunks/],
    [5, /"source" argument/],
    [{}, /"source" argument/],
    ['text', /"source" argument/],
    [new Uint8Array(4), /"source" argument.*instance of Uint8Array/],
    [[5], /"source\[0\]" value/],
    [[new Uint8Array(1), new Int8Array(1)], /"source\[1\]" value must be of the class of source\[0\], Uint8Array/],
    [[new Uint8Array(9 * MIB), null], /"source\[1\]" value/],
  ]
  for (const [source, message] of wrong) {
    t.throws(() => pager.tryPageoutFrom(source as Chunk[]), { code: 'ERR_INVALID_ARG_TYPE', message })
    await t.throwsAsync(promises.tryPageoutFrom(source as Chunk[]), { code: 'ERR_INVALID_ARG_TYPE', message })
  }
  t.throws(() => pager.pageoutFrom([], { backend: 'disk' as 'file' }), { code: 'ERR_INVALID_ARG_VALUE' })
  t.is(pager.stats().usedBytes, 0)
})

test('an error of the source comes through, and what came before is freed', async t => {
  const pager = new promises.Pager()
  const problem = new Error('no more')
  async function* source() {
    yield new Uint8Array(9 * MIB)
    throw problem
  }
  t.is(await t.throwsAsync(pager.pageoutFrom(source())), problem)
  t.is(pager.stats().usedBytes, 0)
  await pager.close()
})

test('a failure closes the source and frees what came before', async t => {
  const pager = new promises.Pager({ capacityBytes: 2 * PIECE_BYTES })
  let isClosed = false
  function* source() {
    try {
      for (;;) yield new Uint8Array(MIB)
    } finally {
      isClosed = true
    }
  }
  const result = await pager.tryPageoutFrom(source())
  t.is(!result.ok && result.error.code, 'ERR_PAGEOUT_CAPACITY')
  t.true(isClosed)
  t.is(pager.stats().usedBytes, 0)
  await pager.close()
  const own = newPager(t, { capacityBytes: 2 * PIECE_BYTES })
  isClosed = false
  t.throws(() => own.pageoutFrom(source()), { code: 'ERR_PAGEOUT_CAPACITY' })
  t.true(isClosed)
  t.is(own.stats().usedBytes, 0)
})

test('an abort does not wait for the source, and closes it', async t => {
  const pager = new promises.Pager()
  let isClosed = false
  const stuck = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise<never>(() => {}),
      return: async () => {
        isClosed = true
        return { done: true as const, value: undefined }
      },
    }),
  }
  const controller = new AbortController()
  const pending = pager.pageoutFrom(stuck, { signal: controller.signal })
  await setImmediate()
  controller.abort('enough')
  const error = await t.throwsAsync(pending, { name: 'AbortError', code: 'ABORT_ERR' })
  t.is(error?.cause, 'enough')
  t.true(isClosed)
  await t.throwsAsync(pager.pageoutFrom(endless(), { signal: AbortSignal.abort() }), { code: 'ABORT_ERR' })
  t.is(pager.stats().usedBytes, 0)
  await pager.close()
})

test('an abort while pieces go out frees them', async t => {
  const pager = new promises.Pager()
  const controller = new AbortController()
  let given = 0
  async function* source() {
    for (;;) {
      given += 1
      if (given === 5) controller.abort()
      yield new Uint8Array(PIECE_BYTES).fill(given)
    }
  }
  await t.throwsAsync(pager.pageoutFrom(source(), { signal: controller.signal }), { code: 'ABORT_ERR' })
  // A piece that was being written when the abort came is freed once it is.
  t.true(await collectUntil(() => pager.stats().usedBytes === 0))
  await pager.close()
})

test('a pager that is closed by the source refuses what comes then', t => {
  const pager = newPager(t)
  function* source() {
    yield Uint8Array.of(1)
    pager.close()
    yield Uint8Array.of(2)
  }
  t.throws(() => pager.pageoutFrom(source()), { code: 'ERR_PAGEOUT_CLOSED' })
})

test('close waits for what is being collected', async t => {
  const pager = new promises.Pager()
  let more = () => {}
  async function* source() {
    yield Uint8Array.of(1)
    await new Promise<void>(resolve => {
      more = resolve
    })
    yield Uint8Array.of(2)
  }
  const pending = pager.pageoutFrom(source())
  await setImmediate()
  const closing = pager.close()
  more()
  t.is((await pending).length, 2)
  await closing
})

test('collecting many at a time does not mix them', async t => {
  const collect = async (seed: number) => {
    const bytes = pattern(PIECE_BYTES + 1000 * seed, seed)
    const lengths = Array.from({ length: 40 }, () => 100_000 + seed)
    const handle = await promises.pageoutFrom(pieces(bytes, lengths))
    sameBytes(t, await promises.take(handle), bytes, `seed ${seed}`)
  }
  await Promise.all(Array.from({ length: 12 }, (_, seed) => collect(seed + 1)))
})
