import { tracingChannel } from 'node:diagnostics_channel'
import test, { type ExecutionContext } from 'ava'
import type { Handle, TraceContext } from 'pageout'
import * as sync from 'pageout'
import * as promises from 'pageout/promises'
import { KIB, pattern, sameBytes } from './helpers/chunks.js'
import { newDirectory, newPager } from './helpers/places.js'

const VERBS = ['pageout', 'read', 'take'] as const
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const
type Context = TraceContext & { result?: unknown; error?: unknown }

/** What happens on all channels, until the test ends. */
function watch(t: ExecutionContext): { events: string[]; contexts: Context[]; stop: () => void } {
  const [events, contexts]: [string[], Context[]] = [[], []]
  const stops = VERBS.map(verb => {
    const channel = tracingChannel<`pageout:${typeof verb}`, Context>(`pageout:${verb}`)
    const listeners = Object.fromEntries(
      EVENTS.map(event => [
        event,
        (context: Context) => {
          events.push(`${verb} ${event}`)
          contexts.push(context)
        },
      ]),
    ) as unknown as Parameters<typeof channel.subscribe>[0]
    channel.subscribe(listeners)
    return () => channel.unsubscribe(listeners)
  })
  const stop = () => {
    for (const stopOne of stops.splice(0)) stopOne()
  }
  t.teardown(stop)
  return { events, contexts, stop }
}

test.serial('synchronous verbs tell that they start and end, with bytes and backend, and never the payload', t => {
  const pager = newPager(t)
  const { events, contexts, stop } = watch(t)
  for (const backend of ['file', 'swap'] as const) {
    const handle = pager.pageout(pattern(10 * KIB), { backend })
    sameBytes(t, pager.readAt(handle, 1, 2), pattern(10 * KIB).subarray(1, 3))
    pager.readAtMany(handle, [
      [5, 5],
      [0, 2],
    ])
    sameBytes(t, pager.take(handle), pattern(10 * KIB))
    const verbs = ['pageout', 'read', 'read', 'take']
    t.deepEqual(
      events.splice(0),
      verbs.flatMap(verb => [`${verb} start`, `${verb} end`]),
    )
    t.deepEqual(
      contexts.splice(0).map(context => [context.byteLength, context.backend, context.result]),
      [10 * KIB, 2, 7, 10 * KIB].flatMap(bytes => Array.from({ length: 2 }, () => [bytes, backend, undefined])),
    )
  }
  stop()
  pager.take(pager.pageout(pattern(10)))
  t.deepEqual(events, [])
})

test.serial('verbs that give promises tell when they are settled', async t => {
  const pager = new promises.Pager({ scratchDir: newDirectory(t) })
  const { events, contexts } = watch(t)
  const handle = await pager.pageout(pattern(100))
  await pager.readAt(handle, 0, 10)
  sameBytes(t, await pager.take(handle), pattern(100))
  t.deepEqual(
    events,
    VERBS.flatMap(verb => ['start', 'end', 'asyncStart', 'asyncEnd'].map(event => `${verb} ${event}`)),
  )
  t.true(contexts.every(context => context.backend === 'file' && context.result === undefined))
  t.deepEqual([contexts[0]?.byteLength, contexts[4]?.byteLength, contexts[8]?.byteLength], [100, 10, 100])
  await pager.close()
})

test.serial('what is collected and streamed is told as pageouts and reads', async t => {
  const pager = new promises.Pager({ scratchDir: newDirectory(t) })
  const own = newPager(t)
  const { events, contexts } = watch(t)
  own.pageoutFrom([pattern(100), pattern(50)])
  t.deepEqual([events.splice(0), contexts.splice(0).at(-1)?.byteLength], [['pageout start', 'pageout end'], 150])
  const handle = await pager.pageoutFrom([pattern(100), pattern(60)], { backend: 'swap' })
  t.deepEqual([events.splice(0).at(-1), contexts[0]?.byteLength], ['pageout asyncEnd', 160])
  t.true(contexts.splice(0).every(context => context.backend === 'swap' && context.result === undefined))
  for await (const chunk of pager.toReadableStream(handle, { chunkBytes: 100 })) t.true(chunk.length > 0)
  t.deepEqual([...new Set(contexts.map(({ byteLength }) => byteLength))], [100, 60])
  t.true(events.every(event => event.startsWith('read ')))
  await pager.close()
})

test.serial('failures are told, wrong arguments are not', async t => {
  const options = { scratchDir: newDirectory(t), capacityBytes: 4 * KIB }
  const { events, contexts } = watch(t)
  const chunk = pattern(5 * KIB)
  const pager = newPager(t, options)
  const error = t.throws(() => pager.pageout(chunk), { code: 'ERR_PAGEOUT_CAPACITY' })
  t.deepEqual(events.splice(0), ['pageout start', 'pageout error', 'pageout end'])
  t.is(contexts.splice(0)[1]?.error, error)
  sameBytes(t, chunk, pattern(5 * KIB))

  const promised = new promises.Pager(options)
  const rejection = await t.throwsAsync(promised.pageout(chunk), { code: 'ERR_PAGEOUT_CAPACITY' })
  t.deepEqual(
    events.splice(0),
    ['start', 'end', 'error', 'asyncStart', 'asyncEnd'].map(event => `pageout ${event}`),
  )
  t.is(contexts.splice(0)[2]?.error, rejection)
  const aborted = promised.pageout(pattern(10), { signal: AbortSignal.abort() })
  await t.throwsAsync(aborted, { name: 'AbortError' })
  t.true(events.splice(0).includes('pageout error'))
  await promised.close()

  t.throws(() => pager.pageout('text' as never))
  const handle = pager.pageout(pattern(10))
  events.splice(0)
  t.throws(() => pager.readAt(handle, 0, 11), { code: 'ERR_OUT_OF_RANGE' })
  t.deepEqual(events, [])
})

test.serial('a watcher that pulls the rug out gets an error, and nothing is lost', t => {
  const pager = newPager(t)
  const handle = pager.pageout(pattern(100))
  const chunk = pattern(1000)
  const meddle = {
    start: () => {
      structuredClone(chunk, { transfer: [chunk.buffer as ArrayBuffer] })
    },
  }
  const channel = tracingChannel<'pageout:pageout', Context>('pageout:pageout')
  channel.subscribe(meddle as unknown as Parameters<typeof channel.subscribe>[0])
  t.teardown(() => channel.unsubscribe(meddle as unknown as Parameters<typeof channel.unsubscribe>[0]))
  t.throws(() => pager.pageout(chunk), { instanceOf: TypeError })
  t.is(pager.stats().handles, 1)
  sameBytes(t, pager.take(handle), pattern(100))
})

/** Calls `act` when a verb starts, once. */
function onceAtStart(t: ExecutionContext, verb: (typeof VERBS)[number], act: () => void): void {
  const channel = tracingChannel<`pageout:${typeof verb}`, Context>(`pageout:${verb}`)
  const start = () => {
    channel.start.unsubscribe(start)
    act()
  }
  channel.start.subscribe(start)
  t.teardown(() => channel.start.unsubscribe(start))
}

for (const backend of ['file', 'swap'] as const) {
  for (const [form, verbs] of [
    ['sync', sync],
    ['promise', promises],
  ] as const) {
    test.serial(`a subscriber that ends the handle is seen by the ${form} form (${backend})`, async t => {
      const ends = [(handle: Handle) => handle[Symbol.dispose](), (handle: Handle) => sync.take(handle)]
      for (const end of ends) {
        for (const [verb, call] of [
          ['read', async (handle: Handle) => await verbs.readAt(handle, 0, 8)],
          ['take', async (handle: Handle) => await verbs.take(handle)],
        ] as const) {
          const handle = sync.pageoutWith(backend, pattern(64))
          onceAtStart(t, verb, () => end(handle))
          await t.throwsAsync(call(handle), { code: 'ERR_PAGEOUT_RELEASED' }, verb)
        }
      }
    })

    test.serial(
      `a subscriber that takes the chunk away or cuts it is seen by the ${form} form (${backend})`,
      async t => {
        const before = sync.stats()
        for (const change of [
          (buffer: ArrayBuffer) => buffer.resize(8),
          (buffer: ArrayBuffer) => buffer.resize(80),
          (buffer: ArrayBuffer) => structuredClone(buffer, { transfer: [buffer] }),
        ]) {
          const chunk = new Uint8Array(new ArrayBuffer(64, { maxByteLength: 80 }))
          onceAtStart(t, 'pageout', () => change(chunk.buffer))
          const call = async () => await verbs.pageoutWith(backend, [pattern(10), chunk])
          await t.throwsAsync(call(), { code: 'ERR_INVALID_ARG_VALUE' })
        }
        t.is(sync.stats().handles, before.handles)
      },
    )
  }

  test.serial(`a subscriber that closes the pager is seen by the ${backend} backend`, t => {
    for (const verb of VERBS) {
      const pager = newPager(t)
      const handle = pager.pageoutWith(backend, pattern(64))
      const calls = {
        pageout: () => pager.pageoutWith(backend, pattern(64)),
        read: () => pager.readAt(handle, 0, 8),
        take: () => pager.take(handle),
      }
      onceAtStart(t, verb, () => pager.close())
      t.throws(calls[verb], { code: 'ERR_PAGEOUT_CLOSED' }, verb)
    }
  })
}
