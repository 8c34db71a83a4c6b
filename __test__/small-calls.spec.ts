/** Small promised calls that start together share jobs of the thread pool, with signals too, and one of them can be aborted. */

import { getEventListeners } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import type { Handle } from 'pageout'
import { Pager } from 'pageout/promises'
import { KIB, pattern, sameBytes } from './helpers/chunks.js'
import { newDirectory } from './helpers/places.js'

type Native = Record<string, (...args: never[]) => unknown>
const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: Native }

const JOBS = ['pageoutAsync', 'pageoutBatchAsync', 'readAsync', 'peekAsync', 'readBatchAsync'] as const
/** Of jobs that calls share: which argument says something of each, and how many elements of it. */
const COUNTS: Partial<Record<string, readonly [argument: number, elements: number]>> = {
  pageoutBatchAsync: [2, 2],
  readBatchAsync: [2, 1],
}

/** Notes the jobs that are started from now on, each as its name and how many calls it is for. */
function watchJobs(t: ExecutionContext): () => string[] {
  let seen: string[] = []
  for (const name of JOBS) {
    const original = native[name]
    if (!original) throw new Error(`the addon has no ${name}`)
    native[name] = (...args) => {
      const [argument, elements] = COUNTS[name] ?? []
      const list = args[argument ?? -1] as ArrayLike<unknown> | undefined
      seen.push(list && elements ? `${name} ${list.length / elements}` : name)
      return original(...args)
    }
    t.teardown(() => {
      native[name] = original
    })
  }
  return () => {
    const all = seen
    seen = []
    return all
  }
}

function newPromisePager(t: ExecutionContext): Pager {
  const pager = new Pager({ scratchDir: newDirectory(t) })
  t.teardown(() => pager.close())
  return pager
}

const chunkOf = (index: number, byteLength = 4 * KIB) => pattern(byteLength, index + 1)

test.serial('small pageouts with a signal ride together, whoever they belong to', async t => {
  const pager = newPromisePager(t)
  const jobs = watchJobs(t)
  const shared = new AbortController().signal
  const signals: Record<string, (index: number) => AbortSignal | undefined> = {
    'no signal': () => undefined,
    'one signal': () => shared,
    'a signal each': () => new AbortController().signal,
    'some with one, some with none': index =>
      index % 3 === 0 ? undefined : index % 3 === 1 ? shared : new AbortController().signal,
  }
  for (const [what, signalOf] of Object.entries(signals)) {
    const handles = await Promise.all(
      Array.from({ length: 40 }, (_, index) => pager.pageout(chunkOf(index), { signal: signalOf(index) })),
    )
    t.deepEqual(jobs(), ['pageoutBatchAsync 32', 'pageoutBatchAsync 8'], what)
    const reads = await Promise.all(
      handles.map((handle, index) => pager.readAt(handle, 1, 100, { signal: signalOf(index) })),
    )
    t.deepEqual(jobs(), ['readBatchAsync 32', 'readBatchAsync 8'], what)
    reads.forEach((read, index) => {
      sameBytes(t, read, chunkOf(index).subarray(1, 101))
    })
    const taken = await Promise.all(handles.map((handle, index) => pager.take(handle, { signal: signalOf(index) })))
    t.deepEqual(jobs(), ['readBatchAsync 32', 'readBatchAsync 8'], what)
    taken.forEach((chunk, index) => {
      sameBytes(t, chunk, chunkOf(index), what)
    })
  }
  t.is(getEventListeners(shared, 'abort').length, 0)
})

test.serial('calls that are not small, or alone, have jobs of their own', async t => {
  const pager = newPromisePager(t)
  const jobs = watchJobs(t)
  const { signal } = new AbortController()
  const pageouts = (lengths: number[]) =>
    Promise.all(lengths.map((length, index) => pager.pageout(chunkOf(index, length), { signal })))
  await pageouts([100])
  t.deepEqual(jobs(), ['pageoutAsync'])
  await pageouts([64 * KIB, 64 * KIB + 1, 10])
  t.deepEqual(jobs().sort(), ['pageoutAsync', 'pageoutBatchAsync 2'])
  await pageouts(Array(10).fill(60 * KIB))
  t.deepEqual(jobs(), ['pageoutBatchAsync 4', 'pageoutBatchAsync 4', 'pageoutBatchAsync 2'], 'few bytes a job')
})

test.serial(
  'one that is aborted before its batch has started leaves the others, and its job does not know it',
  async t => {
    const pager = newPromisePager(t)
    const jobs = watchJobs(t)
    const controllers = Array.from({ length: 10 }, () => new AbortController())
    const pending = controllers.map(({ signal }, index) => pager.pageout(chunkOf(index), { signal }))
    // The first of a tick is the one that starts the others.
    const aborted = [0, 3, 7]
    for (const index of aborted) controllers[index]?.abort('why')
    const outcomes = await Promise.allSettled(pending)
    t.deepEqual(jobs(), ['pageoutBatchAsync 7'])
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') {
        t.false(aborted.includes(index))
        sameBytes(t, await pager.take(outcome.value), chunkOf(index))
        continue
      }
      t.true(aborted.includes(index))
      const { name, cause, chunks } = outcome.reason
      t.deepEqual([name, cause, chunks.length], ['AbortError', 'why', 1])
      sameBytes(t, chunks[0], chunkOf(index))
    }
    t.deepEqual([pager.stats().handles, pager.stats().usedBytes, pager.stats().pageouts], [0, 0, 7])
    for (const { signal } of controllers) t.is(getEventListeners(signal, 'abort').length, 0)
  },
)

test.serial('one that is aborted while its batch is written leaves the others, and keeps no slot', async t => {
  const pager = newPromisePager(t)
  const jobs = watchJobs(t)
  const controllers = Array.from({ length: 10 }, () => new AbortController())
  const pending = controllers.map(({ signal }, index) => pager.pageout(chunkOf(index), { signal }))
  // Two microtasks later the batch has started.
  while (jobs().length === 0) await undefined
  controllers[3]?.abort('why')
  const outcomes = await Promise.allSettled(pending)
  for (const [index, outcome] of outcomes.entries()) {
    if (index === 3) {
      t.is(outcome.status === 'rejected' && outcome.reason.cause, 'why')
      sameBytes(t, outcome.status === 'rejected' && outcome.reason.chunks[0], chunkOf(index))
    } else if (outcome.status === 'fulfilled') sameBytes(t, await pager.take(outcome.value), chunkOf(index))
    else t.fail(String(outcome.reason))
  }
  t.deepEqual([pager.stats().handles, pager.stats().usedBytes], [0, 0])
})

test.serial('when all of a batch are aborted no job starts', async t => {
  const pager = newPromisePager(t)
  const controller = new AbortController()
  const { signal } = controller
  const jobs = watchJobs(t)
  const pending = Array.from({ length: 5 }, (_, index) => pager.pageout(chunkOf(index), { signal }))
  controller.abort()
  for (const outcome of await Promise.allSettled(pending)) t.is(outcome.status, 'rejected')
  t.deepEqual(jobs(), [])
  t.is(pager.stats().pageouts, 0)
  sameBytes(t, await pager.take(await pager.pageout(chunkOf(1))), chunkOf(1), 'and all goes on')
})

test.serial('a batch in which one has no room is made good call by call', async t => {
  const pager = new Pager({ scratchDir: newDirectory(t), capacityBytes: 16 * KIB })
  t.teardown(() => pager.close())
  const jobs = watchJobs(t)
  const { signal } = new AbortController()
  const outcomes = await Promise.allSettled([
    pager.pageout(chunkOf(0), { signal }),
    pager.pageout(chunkOf(1, 32 * KIB), { signal }),
    pager.pageout(chunkOf(2), { signal }),
  ])
  t.deepEqual(jobs(), ['pageoutBatchAsync 3', 'pageoutAsync'])
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  const [first, second, third] = outcomes
  if (second?.status === 'rejected') {
    t.is(second.reason.code, 'ERR_PAGEOUT_CAPACITY')
    sameBytes(t, second.reason.chunks[0], chunkOf(1, 32 * KIB))
  }
  for (const [index, outcome] of [[0, first] as const, [2, third] as const]) {
    if (outcome?.status === 'fulfilled')
      sameBytes(t, await pager.take(outcome.value as Handle<Uint8Array>), chunkOf(index))
  }
})

test.serial('reads of a batch of which one is aborted end well', async t => {
  const pager = newPromisePager(t)
  const handles = await Promise.all(Array.from({ length: 10 }, (_, index) => pager.pageout(chunkOf(index))))
  const controller = new AbortController()
  const { signal } = controller
  const reads = handles.map((handle, index) => pager.read(handle, index === 4 ? { signal } : {}))
  controller.abort('why')
  for (const [index, outcome] of (await Promise.allSettled(reads)).entries()) {
    if (index === 4) t.is(outcome.status === 'rejected' && outcome.reason.cause, 'why')
    else if (outcome.status === 'fulfilled') sameBytes(t, outcome.value, chunkOf(index))
    else t.fail(String(outcome.reason))
  }
  sameBytes(t, await pager.take(handles[4] as Handle<Uint8Array>), chunkOf(4))
})
