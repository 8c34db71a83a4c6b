/** Promised reads of the swap backend: off the JavaScript thread, whole whatever ends the payload meanwhile, right over many chunks. */

import { setImmediate } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { Handle, pageoutFrom, pageoutWith, prefetch, type Range, readAt, readAtMany, take } from 'pageout'
import * as promises from 'pageout/promises'
import { MIB, pattern, rangesOf, sameBytes } from './helpers/chunks.js'
import { isReached } from './helpers/collect.js'
import { newPager } from './helpers/places.js'
import { randomFor } from './helpers/random.js'

type Native = Record<string, (...args: never[]) => unknown>
const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: Native }

/** How often the addon copies on another thread from now on. */
function watchCopies(t: ExecutionContext): () => number {
  const original = native.copyAsync
  if (!original) throw new Error('the addon has no copyAsync')
  let count = 0
  native.copyAsync = (...args) => {
    count += 1
    return original(...args)
  }
  t.teardown(() => {
    native.copyAsync = original
  })
  return () => count
}

/** More calls than there are threads for them. */
const MANY = 24

test.serial('reads and takes of several chunks are copied off the JavaScript thread', async t => {
  const copies = watchCopies(t)
  const bytes = pattern(8 * MIB)
  const handle = pageoutWith('swap', [bytes.slice(0, 3 * MIB), bytes.slice(3 * MIB)])
  const results: Record<string, [() => Promise<Uint8Array>, Uint8Array]> = {
    read: [() => promises.read(handle), bytes],
    readAt: [() => promises.readAt(handle, 2 * MIB, 2 * MIB), bytes.subarray(2 * MIB, 4 * MIB)],
    'readAt of little': [() => promises.readAt(handle, 5, 9), bytes.subarray(5, 14)],
    'readAt into a target': [() => promises.readAt(handle, 5, 9, new Uint8Array(99)), bytes.subarray(5, 14)],
    readAtMany: [
      () =>
        promises.readAtMany(handle, [
          [9, 1],
          [0, 2],
        ]),
      Uint8Array.of(...bytes.subarray(9, 10), ...bytes.subarray(0, 2)),
    ],
    take: [() => promises.take(handle), bytes],
  }
  let expected = 0
  for (const [verb, [call, whole]] of Object.entries(results)) {
    const pending = call()
    sameBytes(t, await pending, whole, verb)
    expected += 1
    t.is(copies(), expected, `${verb} is a job`)
  }
  t.true(handle.released)
})

test.serial('the event loop turns while a payload is read', async t => {
  const handle = pageoutWith('swap', [new Uint8Array(64 * MIB).fill(1), new Uint8Array(64 * MIB).fill(2)])
  let isDone = false
  let turns = 0
  const reading = promises.read(handle).finally(() => {
    isDone = true
  })
  while (!isDone) {
    await setImmediate()
    turns += 1
  }
  const whole = await reading
  t.deepEqual([whole.length, whole[0], whole.at(-1)], [128 * MIB, 1, 2])
  t.true(turns > 20, `${turns} turns`)
  handle.release()
})

for (const chunks of [1, 3]) {
  const parts = () => {
    const bytes = pattern(6 * MIB)
    return Array.from({ length: chunks }, (_, index) =>
      bytes.slice((index * 6 * MIB) / chunks, ((index + 1) * 6 * MIB) / chunks),
    )
  }
  const ends: Record<string, (handle: Handle<Uint8Array>) => unknown> = {
    'is taken at once': handle => take(handle),
    'is taken at once into a target': handle => take(handle, new Uint8Array(6 * MIB)),
    'is taken later': handle => promises.take(handle),
    'is released': handle => handle.release(),
    moves: handle => Handle.adopt(handle.move()),
  }
  for (const [what, end] of Object.entries(ends)) {
    test.serial(`reads have their bytes when the payload of ${chunks} chunks ${what} meanwhile`, async t => {
      for (const turns of [0, 1, 3]) {
        const handle = pageoutWith('swap', parts())
        const reads = Array.from({ length: MANY }, (_, index) => promises.readAt(handle, index * 100_000, 200_000))
        for (let turn = 0; turn < turns; turn += 1) await setImmediate()
        const result = await Promise.race([end(handle)])
        if (result instanceof Uint8Array) {
          sameBytes(t, result, pattern(6 * MIB))
          // It is the caller's own by now.
          result.fill(0)
        }
        // Whatever takes freed memory over writes to it.
        const others = Array.from({ length: 4 }, () => new Uint8Array(6 * MIB).fill(0xff))
        for (const [index, read] of reads.entries()) {
          sameBytes(
            t,
            await read,
            pattern(6 * MIB).subarray(index * 100_000, index * 100_000 + 200_000),
            `read ${index}`,
          )
        }
        if (result instanceof Uint8Array) t.true(result.every(byte => byte === 0))
        if (result instanceof Handle) sameBytes(t, take(result as Handle<Uint8Array>), pattern(6 * MIB))
        t.is(others.length, 4)
      }
    })
  }
}

test.serial('a pager that is closed while reads are pending gives whole bytes or says that it is closed', async t => {
  const pager = newPager(t)
  const handle = pager.pageoutWith('swap', [pattern(3 * MIB), pattern(3 * MIB, 2)])
  const expected = Buffer.concat([pattern(3 * MIB), pattern(3 * MIB, 2)])
  const reads = Array.from({ length: MANY }, () => promises.read(handle))
  const taking = promises.take(handle)
  await setImmediate()
  pager.close()
  const outcomes = await Promise.allSettled([...reads, taking])
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') sameBytes(t, outcome.value, expected)
    else t.is(outcome.reason.code, 'ERR_PAGEOUT_CLOSED')
  }
})

test.serial('an aborted read leaves the payload, and its memory is freed once nobody uses it', async t => {
  const pager = newPager(t)
  const handle = pager.pageoutWith('swap', [pattern(3 * MIB), pattern(3 * MIB, 2)])
  const controller = new AbortController()
  const reads = Array.from({ length: MANY }, () => promises.read(handle, { signal: controller.signal }))
  await setImmediate()
  controller.abort('why')
  for (const outcome of await Promise.allSettled(reads)) {
    if (outcome.status === 'rejected') t.is(outcome.reason.cause, 'why')
  }
  sameBytes(t, pager.readAt(handle, 0, 100), pattern(100))
  handle.release()
  t.true(await isReached(() => pager.stats().handles === 0))
})

test.serial('ranges over 100,000 chunks are right, at once and later', async t => {
  const random = randomFor(t)
  const lengths = Array.from({ length: 100_000 }, (_, index) => (index % 7 === 0 ? 0 : 1 + random.below(16)))
  const total = lengths.reduce((sum, length) => sum + length, 0)
  const bytes = pattern(8 * total)
  function* source() {
    let start = 0
    for (const length of lengths) {
      yield new Float64Array(bytes.buffer as ArrayBuffer, 8 * start, length)
      start += length
    }
  }
  const handle = pageoutFrom(source(), { backend: 'swap' })
  t.is(handle.length, total)
  for (let round = 0; round < 300; round += 1) {
    const offset = random.below(total)
    const length = random.below(Math.min(total - offset, 2000) + 1)
    const expected = bytes.subarray(8 * offset, 8 * (offset + length))
    sameBytes(t, readAt(handle, offset, length), expected, `${offset}, ${length}`)
    if (round % 10 === 0) sameBytes(t, await promises.readAt(handle, offset, length), expected, `${offset}, ${length}`)
  }
  const edges: Range[] = [
    [total, 0],
    [total - 1, 1],
    [0, 1],
  ]
  sameBytes(t, readAtMany(handle, edges), rangesOf(bytes, 8, edges))
  const many = random.shuffled(Array.from({ length: 5000 }, (_, index): Range => [index * 100, 1 + random.below(99)]))
  sameBytes(t, readAtMany(handle, many), rangesOf(bytes, 8, many))
  sameBytes(t, await promises.readAtMany(handle, many), rangesOf(bytes, 8, many))
  t.notThrows(() => prefetch(handle, [[5, 100_000]]))
  sameBytes(t, await promises.take(handle), bytes)
})

// A walk would look at 10^10 chunks, for which no test has the time.
test.serial('reads of few bytes among very many chunks do not walk over them', t => {
  const handle = pageoutWith(
    'swap',
    Array.from({ length: 100_000 }, (_, position) => Float64Array.of(position)),
  )
  for (let read = 0; read < 100_000; read += 1) {
    const offset = (read * 7919) % 100_000
    if (readAt(handle, offset, 1)[0] !== offset) return t.fail(`another element than ${offset}`)
  }
  handle.release()
  t.pass()
})
