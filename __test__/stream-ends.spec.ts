/** When a stream releases its handle, and what holds a stream. */

import { getEventListeners } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { WritableStream } from 'node:stream/web'
import { setImmediate } from 'node:timers/promises'
import test from 'ava'
import { type Handle, pageout, pageoutWith, type StreamOptions, take, toReadableStream } from 'pageout'
import { backends, KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { collectUntil, isReached } from './helpers/collect.js'
import { newPager } from './helpers/places.js'

type WebStream = Parameters<typeof Readable.fromWeb>[0]

/** Whether the handle of a stream that ends in each way is released, for each choice. */
const ENDS: Record<
  string,
  { end: (stream: ReadableStream<Uint8Array>) => Promise<unknown>; released: [unknown, boolean][] }
> = {
  'read to its end': {
    end: stream => buffer(stream as never),
    released: [
      [undefined, false],
      [false, false],
      [true, true],
      ['end', true],
    ],
  },
  'cancelled before it is read': {
    end: stream => stream.cancel(),
    released: [
      [undefined, false],
      [false, false],
      [true, true],
      ['end', false],
    ],
  },
  'left in the middle': {
    end: async stream => {
      for await (const chunk of stream) if (chunk.length > 0) return
    },
    released: [
      [undefined, false],
      [false, false],
      [true, true],
      ['end', false],
    ],
  },
  'given to a Node stream that fails half way': {
    end: async stream => {
      let written = 0
      const full = new Writable({
        write(chunk: Uint8Array, _, done) {
          written += chunk.length
          done(written > 100 * KIB ? new Error('the disk is full') : null)
        },
      })
      await pipeline(Readable.fromWeb(stream as WebStream), full).then(
        () => Promise.reject(new Error('it did not fail')),
        (error: Error) => error.message === 'the disk is full' || Promise.reject(error),
      )
    },
    released: [
      [undefined, false],
      [true, true],
      ['end', false],
    ],
  },
  'given to a Web stream that fails half way': {
    end: async stream => {
      let written = 0
      const full = new WritableStream<Uint8Array>({
        write(chunk) {
          written += chunk.length
          if (written > 100 * KIB) throw new Error('the disk is full')
        },
      })
      await stream.pipeTo(full as never).catch(() => {})
    },
    released: [
      [undefined, false],
      [true, true],
      ['end', false],
    ],
  },
  'given to a Node stream that ends well': {
    end: stream => pipeline(Readable.fromWeb(stream as WebStream), new Writable({ write: (_, __, done) => done() })),
    released: [
      [undefined, false],
      [true, true],
      ['end', true],
    ],
  },
}

for (const backend of backends) {
  for (const [what, { end, released }] of Object.entries(ENDS)) {
    for (const [release, expected] of released) {
      const whether = expected ? 'releases' : 'leaves'
      test(`a stream that is ${what} ${whether} its handle with release: ${String(release)} (${backend})`, async t => {
        const pager = newPager(t)
        const bytes = pattern(500 * KIB)
        const handle = pager.pageoutWith(backend, bytes.slice())
        const options = { chunkBytes: 32 * KIB, release } as StreamOptions
        await end(pager.toReadableStream(handle, options))
        t.is(handle.released, expected)
        // What a retry needs is there.
        if (!expected) sameBytes(t, await buffer(pager.toReadableStream(handle, { release: 'end' }) as never), bytes)
        t.true(handle.released)
        // A read ahead that is pending ends by itself.
        t.true(await isReached(() => pager.stats().handles === 0))
      })
    }
  }

  test(`an abort leaves the handle whatever release says (${backend})`, async t => {
    for (const release of [true, 'end', false] as const) {
      const handle = pageoutWith(backend, pattern(MIB))
      const controller = new AbortController()
      const stream = toReadableStream(handle, { release, signal: controller.signal, chunkBytes: KIB })
      const reader = stream.getReader()
      await reader.read()
      controller.abort('why')
      t.is((await t.throwsAsync(reader.read(), { name: 'AbortError' }))?.cause, 'why')
      t.false(handle.released)
      sameBytes(t, take(handle), pattern(MIB))
    }
  })
}

test('an empty payload is released at its end', async t => {
  for (const release of [true, 'end'] as const) {
    const handle = pageout(new Uint8Array(0))
    t.is((await buffer(toReadableStream(handle, { release }) as never)).length, 0)
    t.true(handle.released)
  }
})

test('a wrong release is refused at the call', t => {
  const handle = pageout(pattern(8))
  for (const [release, code] of [
    ['always', 'ERR_INVALID_ARG_VALUE'],
    ['', 'ERR_INVALID_ARG_VALUE'],
    [1, 'ERR_INVALID_ARG_TYPE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
    [{}, 'ERR_INVALID_ARG_TYPE'],
  ] as const) {
    const call = () => toReadableStream(handle, { release: release as never })
    t.throws(call, { instanceOf: TypeError, code, message: /"options\.release".*'?end'?.*Received/ }, String(release))
  }
  handle.release()
})

/** Makes a stream of a payload, reads some of it, and drops everything but what is given back. */
async function dropStream(signal: AbortSignal, backend: 'file' | 'swap', reads: number): Promise<WeakRef<Handle>> {
  const handle = pageoutWith(backend, pattern(500 * KIB))
  const stream = toReadableStream(handle, { signal, chunkBytes: 16 * KIB })
  if (reads > 0) {
    const reader = stream.getReader()
    for (let read = 0; read < reads; read += 1) await reader.read()
  }
  // What was read ahead is there.
  for (let turn = 0; turn < 100; turn += 1) await setImmediate()
  return new WeakRef(handle)
}

for (const backend of backends) {
  for (const reads of [0, 3]) {
    test(`a signal that lives on holds no stream that was dropped after ${reads} reads (${backend})`, async t => {
      const controller = new AbortController()
      const weak = await dropStream(controller.signal, backend, reads)
      t.true(await collectUntil(() => weak.deref() === undefined), 'the handle is collected')
      t.true(
        await collectUntil(() => getEventListeners(controller.signal, 'abort').length === 0),
        'and its listener goes',
      )
      t.notThrows(() => controller.abort())
    })
  }
}

test('streams that are dropped again and again leave no listeners at a signal, and no payloads', async t => {
  const pager = newPager(t)
  const controller = new AbortController()
  const { signal } = controller
  for (let round = 0; round < 5; round += 1) {
    for (let made = 0; made < 100; made += 1) pager.toReadableStream(pager.pageout(pattern(KIB)), { signal })
    t.true(getEventListeners(signal, 'abort').length <= 1, 'one listener for however many')
    await setImmediate()
    t.true(await collectUntil(() => pager.stats().handles === 0))
  }
  t.true(await collectUntil(() => getEventListeners(signal, 'abort').length === 0))
  const handle = pager.pageout(pattern(MIB))
  const live = pager.toReadableStream(handle, { signal, chunkBytes: KIB }).getReader()
  await live.read()
  await collectUntil(() => false)
  controller.abort('why')
  t.is((await t.throwsAsync(live.read(), { name: 'AbortError' }))?.cause, 'why', 'a stream that is held is aborted')
  sameBytes(t, pager.take(handle), pattern(MIB))
})

test('the end of one stream, and its collection, leave what else waits for the signal', async t => {
  const controller = new AbortController()
  const { signal } = controller
  const first = await (async () => {
    const handle = pageout(pattern(KIB))
    await buffer(toReadableStream(handle, { signal }) as never)
    return new WeakRef(handle)
  })()
  const handle = pageout(pattern(MIB))
  const live = toReadableStream(handle, { signal, chunkBytes: KIB }).getReader()
  await live.read()
  t.true(await collectUntil(() => first.deref() === undefined))
  await collectUntil(() => false)
  t.is(getEventListeners(signal, 'abort').length, 1)
  controller.abort('why')
  t.is((await t.throwsAsync(live.read(), { name: 'AbortError' }))?.cause, 'why')
  sameBytes(t, take(handle), pattern(MIB))
})
