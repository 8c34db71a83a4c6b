/** An abort of a promised `pageoutFrom`: it rejects at once, and the source is given up at once, also while it is asked. */

import { getEventListeners } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { setImmediate } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { Chunk, ChunkSource } from 'pageout'
import { Pager } from 'pageout/promises'
import { backends, KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { isReached } from './helpers/collect.js'
import { newDirectory } from './helpers/places.js'

const ABORTED = { name: 'AbortError', code: 'ABORT_ERR' }

/** Far more turns than a call needs, and far fewer than a test may take. */
const TURNS = 1000

/** What a promise came to within some turns of the event loop: its value or error, or that it hangs. */
async function soon(promise: Promise<unknown>): Promise<unknown> {
  const hangs = (async () => {
    for (let turn = 0; turn < TURNS; turn += 1) await setImmediate()
    throw new Error('it hangs')
  })()
  hangs.catch(() => {})
  return await Promise.race([promise, hangs])
}

function newPromisePager(t: ExecutionContext): Pager {
  const pager = new Pager({ scratchDir: newDirectory(t) })
  t.teardown(() => pager.close())
  return pager
}

/** Gives one chunk, does `act`, and never gives another. */
async function* stuckAfter(act: () => void): AsyncGenerator<Uint8Array> {
  yield pattern(KIB)
  act()
  await new Promise(() => {})
}

for (const backend of backends) {
  test(`a source that aborts by itself and never answers is given up (${backend})`, async t => {
    const pager = newPromisePager(t)
    const reason = new Error('enough')
    const sources: Record<string, (act: () => void) => ChunkSource<Uint8Array>> = {
      'after its first chunk': stuckAfter,
      'when it is asked first': act => ({
        [Symbol.asyncIterator]: () => ({
          next() {
            act()
            return new Promise(() => {})
          },
        }),
      }),
      'when its iterator is asked for': act => ({
        [Symbol.asyncIterator]() {
          act()
          return { next: () => new Promise(() => {}) }
        },
      }),
      'in a microtask after it was asked': act => ({
        [Symbol.asyncIterator]: () => ({
          next() {
            queueMicrotask(act)
            return new Promise(() => {})
          },
        }),
      }),
      'by a promise among its chunks': act => [
        {
          // biome-ignore lint/suspicious/noThenProperty: it is what is tested
          then: () => act(),
        } as PromiseLike<Uint8Array>,
      ],
      'with a chunk that comes too late': act => ({
        [Symbol.asyncIterator]: () => ({
          async next() {
            act()
            return { done: false, value: pattern(10) }
          },
        }),
      }),
      'at its end': act => ({
        [Symbol.asyncIterator]: () => ({
          async next() {
            act()
            return { done: true, value: undefined }
          },
        }),
      }),
    }
    for (const [when, source] of Object.entries(sources)) {
      const controller = new AbortController()
      const { signal } = controller
      const pending = pager.pageoutFrom(
        source(() => controller.abort(reason)),
        { backend, signal },
      )
      const error = await t.throwsAsync(soon(pending), ABORTED, when)
      t.is(error?.cause, reason, when)
      t.is(getEventListeners(signal, 'abort').length, 0, when)
    }
    t.true(await isReached(() => pager.stats().handles === 0))
    await soon(pager.close())
    t.pass('and the pager closes')
  })

  test(`a signal whose listening aborts it is seen (${backend})`, async t => {
    const pager = newPromisePager(t)
    const controller = new AbortController()
    const { signal } = controller
    // Node asks for the constructor while it adds a listener.
    Object.defineProperty(signal, 'constructor', {
      get() {
        controller.abort('meanwhile')
        return AbortSignal
      },
    })
    const pending = pager.pageoutFrom(
      stuckAfter(() => {}),
      { backend, signal },
    )
    void setImmediate().then(() => controller.abort('later'))
    const error = await t.throwsAsync(soon(pending), ABORTED)
    t.true(['meanwhile', 'later'].includes(error?.cause as string))
  })
}

/** A source that stalls, and how it is seen that it was given up. */
interface Stalled {
  readonly source: ChunkSource<Uint8Array>
  /** How often it was asked. */
  readonly asked?: () => boolean
  readonly isGivenUp: (reason: unknown) => boolean
}

/** Sources that give some chunks and stall, each in its own way. */
const stalled: Record<string, (chunks: Uint8Array[]) => Stalled> = {
  'a Node stream': chunks => {
    const source = new Readable({ read() {} })
    for (const chunk of chunks) source.push(chunk)
    return { source, isGivenUp: () => source.destroyed }
  },
  'a Node stream in object mode': chunks => {
    const source = new PassThrough({ objectMode: true })
    for (const chunk of chunks) source.write(chunk)
    return { source, isGivenUp: () => source.destroyed }
  },
  'a Node stream of an iterator': chunks => {
    const source = Readable.from(
      (async function* () {
        yield* chunks
        await new Promise(() => {})
      })(),
    )
    return { source, isGivenUp: () => source.destroyed }
  },
  'a Web stream': chunks => {
    let reason: unknown = 'none'
    const source = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk)
      },
      cancel(why) {
        reason = why
      },
    })
    return {
      source: source as ChunkSource<Uint8Array>,
      isGivenUp: error => reason === error && !source.locked,
    }
  },
  'a Web stream of bytes': chunks => {
    let reason: unknown = 'none'
    const source = new ReadableStream({
      type: 'bytes',
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk)
      },
      pull: () => new Promise(() => {}),
      cancel(why) {
        reason = why
      },
    })
    return {
      source: source as ChunkSource<Uint8Array>,
      isGivenUp: error => reason === error && !source.locked,
    }
  },
  'a Web stream whose cancelling never ends': chunks => {
    let isCancelled = false
    const source = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk)
      },
      cancel() {
        isCancelled = true
        return new Promise(() => {})
      },
    })
    return { source: source as ChunkSource<Uint8Array>, isGivenUp: () => isCancelled && !source.locked }
  },
  'a Web stream whose cancelling fails': chunks => {
    let isCancelled = false
    const source = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk)
      },
      cancel() {
        isCancelled = true
        throw new Error('of the source')
      },
    })
    return { source: source as ChunkSource<Uint8Array>, isGivenUp: () => isCancelled && !source.locked }
  },
  'an async iterator': chunks => iterating(chunks, async () => ({ done: true, value: undefined })),
  'an async iterator whose return never ends': chunks => iterating(chunks, () => new Promise(() => {})),
  'an async iterator whose return throws': chunks =>
    iterating(chunks, () => {
      throw new Error('of the source')
    }),
  'an iterator of promises': chunks => {
    let isReturned = false
    const rest = [...chunks]
    const source = {
      [Symbol.iterator]: () => ({
        next: () => ({ done: false, value: rest.shift() ?? new Promise<Uint8Array>(() => {}) }),
        return: () => {
          isReturned = true
          return { done: true as const, value: undefined }
        },
      }),
    }
    return { source, isGivenUp: () => isReturned }
  },
}

function iterating(chunks: Uint8Array[], end: () => Promise<IteratorResult<Uint8Array>>): Stalled {
  let isReturned = false
  const rest = [...chunks]
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const value = rest.shift()
        return value ? { done: false as const, value } : await new Promise<never>(() => {})
      },
      return: () => {
        isReturned = true
        return end()
      },
    }),
  }
  return { source, isGivenUp: () => isReturned }
}

for (const [what, make] of Object.entries(stalled)) {
  for (const [when, turns] of [
    ['at once', 0],
    ['while it is asked', 20],
  ] as const) {
    for (const count of [0, 1, 5]) {
      test(`${what} that stalls after ${count} chunks is given up when the signal is aborted ${when}`, async t => {
        const pager = newPromisePager(t)
        const { source, isGivenUp } = make(Array.from({ length: count }, () => pattern(2 * MIB)))
        const controller = new AbortController()
        const pending = pager.pageoutFrom(source, { signal: controller.signal })
        for (let turn = 0; turn < turns; turn += 1) await setImmediate()
        const reason = new Error('enough')
        controller.abort(reason)
        const error = await t.throwsAsync(soon(pending), ABORTED)
        t.is(error?.cause, reason)
        // Nobody waits for the source; to be told takes it no turn of the event loop.
        t.true(isGivenUp(error), 'when the promise has settled, it knows')
        t.true(await isReached(() => pager.stats().usedBytes === 0))
        t.is(getEventListeners(controller.signal, 'abort').length, 0)
      })
    }
  }

  test(`${what} is not touched when the signal was aborted before, and may be used`, async t => {
    const pager = newPromisePager(t)
    const { source, isGivenUp } = make([pattern(10)])
    await t.throwsAsync(soon(pager.pageoutFrom(source, { signal: AbortSignal.abort() })), ABORTED)
    t.false(isGivenUp(undefined))
  })
}

test('the body of a response that stalls is given up, and its socket closed', async t => {
  let closed = 0
  const server = createServer((_, response) => {
    response.on('close', () => {
      closed += 1
    })
    response.writeHead(200)
    response.write(pattern(64 * KIB))
  }).listen(0)
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const pager = newPromisePager(t)
  for (const turns of [0, 50]) {
    const response = await fetch(`http://127.0.0.1:${port}`)
    const body = response.body as ReadableStream<Uint8Array> | null
    if (!body) return t.fail()
    const controller = new AbortController()
    const pending = pager.pageoutFrom(body as ChunkSource<Uint8Array>, { signal: controller.signal })
    for (let turn = 0; turn < turns; turn += 1) await setImmediate()
    controller.abort('enough')
    t.is((await t.throwsAsync(soon(pending), ABORTED))?.cause, 'enough')
    t.false(body.locked)
  }
  t.true(await isReached(() => closed === 2), 'the sockets are closed')
  const whole = await fetch('data:application/octet-stream;base64,AQID')
  const handle = await pager.pageoutFrom(whole.body as ChunkSource<Uint8Array>)
  sameBytes(t, await pager.take(handle), Uint8Array.of(1, 2, 3))
})

test('a source that fails, or gives what is no chunk, is given up without waiting for it', async t => {
  const pager = newPromisePager(t)
  let isReturned = false
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: false as const, value: 'text' as unknown as Chunk }),
      return: () => {
        isReturned = true
        return new Promise<never>(() => {})
      },
    }),
  }
  await t.throwsAsync(soon(pager.pageoutFrom(source)), { code: 'ERR_INVALID_ARG_TYPE' })
  t.true(isReturned)
  const stream = new Readable({ objectMode: true, read() {} })
  stream.push('text')
  await t.throwsAsync(soon(pager.pageoutFrom(stream as ChunkSource<Chunk>)), { code: 'ERR_INVALID_ARG_TYPE' })
  t.true(stream.destroyed)
  const failing = new Readable({ read() {} })
  const problem = new Error('of the source')
  const pending = pager.pageoutFrom(failing)
  await setImmediate()
  failing.destroy(problem)
  t.is(await t.throwsAsync(soon(pending)), problem)
  const promises = [Promise.resolve(pattern(1)), Promise.reject(problem)]
  let isClosed = false
  function* rejecting() {
    try {
      yield* promises
    } finally {
      isClosed = true
    }
  }
  t.is(await t.throwsAsync(soon(pager.pageoutFrom(rejecting()))), problem)
  t.true(isClosed, 'an iterator whose promise rejects is not over')
})

test("aborts leave the caller's onabort and listeners as they are, in every verb", async t => {
  const pager = newPromisePager(t)
  for (const backend of backends) {
    const controller = new AbortController()
    const { signal } = controller
    const events: string[] = []
    signal.onabort = () => events.push('onabort')
    signal.addEventListener('abort', () => events.push('listener'))
    const { onabort } = signal
    const handle = await pager.pageoutWith(backend, pattern(3 * MIB))
    const small = await pager.pageoutWith(backend, pattern(100))
    const calls = () => [
      pager.pageoutWith(backend, pattern(100), { signal }),
      pager.pageoutWith(backend, pattern(3 * MIB), { signal }),
      pager.readAt(handle, 0, MIB, undefined, { signal }),
      pager.readAtMany(small, [[0, 1]], { signal }),
      pager.read(handle, { signal }),
      pager.take(small, { signal }),
      pager.pageoutFrom(
        stuckAfter(() => {}),
        { backend, signal },
      ),
    ]
    const pending = Promise.allSettled(calls())
    await setImmediate()
    controller.abort('enough')
    for (const outcome of await pending) {
      if (outcome.status === 'fulfilled') continue
      const { name, code, cause } = outcome.reason
      t.deepEqual([name, code, cause], ['AbortError', 'ABORT_ERR', 'enough'])
    }
    t.deepEqual(events, ['onabort', 'listener'])
    t.is(signal.onabort, onabort)
    t.is(getEventListeners(signal, 'abort').length, 2, 'those of the caller')
    for (const outcome of await Promise.allSettled(calls())) {
      t.is(outcome.status === 'rejected' && outcome.reason.cause, 'enough')
    }
    t.is(getEventListeners(signal, 'abort').length, 2)
    sameBytes(t, await pager.take(handle), pattern(3 * MIB))
  }
})
