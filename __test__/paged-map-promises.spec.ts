/** Maps of promises: what calls of one key that overlap do to each other, aborts, and closing. */

import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import type { Borrow, Chunk } from 'pageout'
import { pattern, sameBytes } from './helpers/chunks.js'
import { BUDGET, chunkOfError, failureOf, newPromiseMap, PIECE, untilEmpty } from './helpers/maps.js'
import { until } from './helpers/until.js'

/** A promise that somebody else settles. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open }
}

/** A promise that never settles. */
const NEVER = new Promise<never>(() => {})

test('a chunk is out of reach when set returns, also when it has to wait for its turn', async t => {
  const map = newPromiseMap(t)
  const [first, second] = [pattern(1000, 1), pattern(1000, 2)]
  const both = [map.set('key', first), map.set('key', second)]
  t.deepEqual([first.length, second.length], [0, 0])
  t.deepEqual([map.has('key'), map.size], [false, 0], 'what is pending is not there yet')
  t.deepEqual(await Promise.all(both), [map, map])
  sameBytes(t, (await map.read('key')) as Uint8Array, pattern(1000, 2))
  t.deepEqual([map.size, map.byteLength, map.stats().handles], [1, 1000, 1])
})

test('calls of one key take effect in the order in which they are made', async t => {
  const map = newPromiseMap(t)
  const calls = [
    map.set('key', pattern(PIECE, 1)),
    map.read('key'),
    map.set('key', pattern(10, 2)),
    map.borrow('key', value => value.length),
    map.delete('key'),
    map.borrow('key'),
    map.set('key', pattern(2 * PIECE, 3)),
    map.readAt('key', 0, 4),
    map.take('key'),
    map.take('key'),
    map.update('key', value => {
      t.is(value, undefined)
      return pattern(30, 4)
    }),
    map.readAtMany('key', [[0, 30]]),
    map.borrowAll(['key'], value => value.slice()),
    map.clear(),
    map.borrowAll(['key'], () => t.fail('called')),
    map.read('key'),
  ] as const
  const [, one, , length, wasThere, gone, , start, whole, nothing, , all, copy, , none, last] = await Promise.all(calls)
  sameBytes(t, one as Chunk, pattern(PIECE, 1))
  t.deepEqual([length, wasThere, gone], [10, true, undefined])
  sameBytes(t, start as Chunk, pattern(2 * PIECE, 3).slice(0, 4))
  sameBytes(t, whole as Chunk, pattern(2 * PIECE, 3))
  t.is(nothing, undefined)
  sameBytes(t, all as Chunk, pattern(30, 4))
  sameBytes(t, copy as Chunk, pattern(30, 4))
  t.deepEqual([none, last, map.size], [undefined, undefined, 0])
  await untilEmpty(t, map)
})

test('calls of a key wait for its update, those of others do not', async t => {
  const map = newPromiseMap(t)
  await map.set('key', pattern(1000))
  await map.set('other', pattern(100))
  const { opened, open } = gate()
  const done: string[] = []
  const note = (name: string) => () => void done.push(name)
  const updated = map
    .update('key', async value => {
      await opened
      return (value as Uint8Array).fill(7)
    })
    .then(note('update'))
  const later = [
    map.read('key').then(note('read')),
    map.borrow('key', value => value.length).then(note('borrow')),
    map.set('key', pattern(20)).then(note('set')),
    map.take('key').then(note('take')),
    map.delete('key').then(note('delete')),
    map.borrowAll(['other', 'key'], () => 1).then(note('borrowAll')),
  ]
  t.true(map.has('key'))
  t.is((await map.read('other'))?.length, 100)
  await wait(20)
  t.deepEqual(done, [])
  t.is(map.stats().borrowedBytes, 0, 'who waits for one key of several holds none')
  open()
  await Promise.all([updated, ...later])
  t.is(done[0], 'update')
  t.is(done.length, 7)
  t.deepEqual([...map.keys()], ['other'])
})

test('a clear takes effect at once, and on a key that is being updated after that', async t => {
  const map = newPromiseMap(t)
  for (const key of ['old', 'new']) {
    await map.set('old', pattern(10))
    const { opened, open } = gate()
    const begun = gate()
    const updated = map.update(key, async value => {
      begun.open()
      await opened
      return value ?? pattern(10)
    })
    await begun.opened
    const cleared = map.clear()
    t.deepEqual([...map.keys()], key === 'old' ? ['old'] : [])
    await map.set('later', pattern(10))
    const after = map.update(key, value => value ?? pattern(20))
    open()
    await Promise.all([updated, cleared, after])
    t.deepEqual([map.size, map.byteLength], [2, 30], 'what came before the clear is gone, what came behind it is not')
    await Promise.all([map.set('set', pattern(20)), map.clear()])
    t.deepEqual([map.size, map.stats().handles], [0, 0])
  }
})

test('a call of the same key within an update waits for it, where the update does not wait for the call', async t => {
  const map = newPromiseMap(t)
  await map.set('key', pattern(10))
  let inside: Promise<Uint8Array | undefined> | undefined
  await map.update('key', value => {
    inside = map.read('key')
    return (value as Uint8Array).fill(7)
  })
  t.deepEqual(await inside, new Uint8Array(10).fill(7))
})

test('a call that waits for its turn can be aborted, and the others come in theirs', async t => {
  const map = newPromiseMap(t)
  await map.set('key', pattern(10))
  const { opened, open } = gate()
  const updated = map.update('key', async value => {
    await opened
    return value
  })
  const stop = new AbortController()
  const { signal } = stop
  const reason = new Error('mine')
  const chunk = pattern(500, 5)
  const set = failureOf(() => map.set('key', chunk, { signal }))
  t.is(chunk.length, 0)
  const refused = [
    map.borrow('key', undefined, { signal }),
    map.borrow('key', () => t.fail('called'), { signal }),
    map.borrowAll(['key'], () => t.fail('called'), { signal }),
    map.read('key', undefined, { signal }),
    map.readAt('key', 0, 1, { signal }),
    map.readAtMany('key', [], undefined, { signal }),
    map.take('key', { signal }),
    map.update('key', () => t.fail('called') as unknown as undefined, { signal }),
    map.delete('key', { signal }),
    map.clear({ signal }),
  ].map(call => failureOf(() => call))
  const last = map.read('key')
  stop.abort(reason)
  for (const error of await Promise.all([...refused, set])) {
    t.deepEqual([error.name, error.code, error.cause], ['AbortError', 'ABORT_ERR', reason])
  }
  sameBytes(t, chunkOfError(await set), pattern(500, 5), 'the chunk comes back')
  open()
  await updated
  sameBytes(t, (await last) as Uint8Array, pattern(10))
  for (const call of [map.delete('key', { signal }), map.update('new', () => t.fail() as never, { signal })]) {
    t.is((await failureOf(() => call)).code, 'ABORT_ERR', 'it was aborted before')
  }
  t.true(map.has('key'))
  t.is((await failureOf(() => map.read('key', undefined, { signal: 1 as never }))).code, 'ERR_INVALID_ARG_TYPE')
})

test('a chunk that could only be copied, and waited for its turn, is the caller own when that is aborted', async t => {
  const map = newPromiseMap(t, { detach: 'never' })
  await map.set('key', pattern(10))
  const { opened, open } = gate()
  const updated = map.update('key', async value => {
    await opened
    return value
  })
  const stop = new AbortController()
  const chunk = pattern(500, 5)
  const set = failureOf(() => map.set('key', chunk, { signal: stop.signal }))
  stop.abort()
  t.is(chunkOfError(await set), chunk)
  open()
  await updated
})

test('an abort in the moment in which the turn comes passes the turn on', async t => {
  const map = newPromiseMap(t)
  await map.set('key', pattern(10))
  const outcomes = new Set<string>()
  for (let round = 0; round < 30; round++) {
    const stop = new AbortController()
    const { opened, open } = gate()
    const updated = map.update('key', async value => {
      await opened
      return value
    })
    const taken = map.take('key', undefined, { signal: stop.signal }).catch((error: Error) => error.name)
    const last = map.read('key')
    open()
    for (let turn = 0; turn < round; turn++) await null
    stop.abort()
    await updated
    outcomes.add(typeof (await taken))
    if ((await last) === undefined) await map.set('key', pattern(10))
    t.is((await map.read('key'))?.length, 10)
  }
  t.deepEqual([...outcomes].sort(), ['object', 'string'], 'both came about')
})

test('callers that miss one key share a read, and one of them may give up', async t => {
  const map = newPromiseMap(t)
  for (let key = 0; key < 32; key++) await map.set(key, pattern(PIECE, key))
  for (let key = 31; key >= 1; key--) await map.borrow(key, value => value.length)
  await map.borrow(1, value => value.length)
  const { residentMisses } = map.stats()
  const stop = new AbortController()
  const calls = [map.borrow(0), map.borrow(0), map.borrow(0, value => value.slice())] as const
  const given = failureOf(() => map.borrow(0, undefined, { signal: stop.signal }))
  stop.abort()
  t.is((await given).code, 'ABORT_ERR')
  const [one, other, copy] = await Promise.all(calls)
  sameBytes(t, copy as Uint8Array, pattern(PIECE, 0))
  t.is((one as Borrow<Uint8Array>).value.buffer, (other as Borrow<Uint8Array>).value.buffer)
  t.true(map.stats().residentMisses <= residentMisses + 1)
  one?.release()
  other?.release()
  t.is(map.stats().borrowedBytes, 0)
})

test('what is deleted or replaced while a read is pending is given all the same, and is gone afterwards', async t => {
  const map = newPromiseMap(t)
  const ends = [() => map.delete('key'), () => map.clear(), () => map.set('key', pattern(10, 3))]
  for (const end of ends) {
    for (let key = 0; key < 17; key++) await map.set(key, pattern(PIECE, key))
    await map.set('key', pattern(PIECE, 99))
    for (let key = 16; key >= 0; key--) await map.borrow(key, value => value.length)
    const pending = [
      map.read('key'),
      map.readAt('key', 0, PIECE),
      map.borrow('key', value => value.slice()),
      map.borrowAll(['key', 'key'], value => value.slice()),
    ]
    const borrow = map.borrow('key')
    const ended = end()
    for (const value of await Promise.all(pending)) sameBytes(t, value as Uint8Array, pattern(PIECE, 99))
    const borrowed = (await borrow) as Borrow<Uint8Array>
    sameBytes(t, borrowed.value, pattern(PIECE, 99))
    borrowed.release()
    await ended
    await map.clear()
    await untilEmpty(t, map)
  }
})

test('a borrow that is pending counts as one', async t => {
  const map = newPromiseMap(t)
  await map.set('key', pattern(PIECE))
  const pending = map.borrow('key')
  const calls = [map.take('key'), map.update('key', () => t.fail() as never)]
  for (const call of calls) t.is((await failureOf(() => call)).code, 'ERR_PAGEOUT_BORROWED')
  ;(await pending)?.release()
  t.is((await map.take('key'))?.length, PIECE)
})

test('work that never settles keeps its borrow until the map closes, which does not wait for it', async t => {
  const map = newPromiseMap(t)
  await map.set('key', pattern(1000))
  await map.set('other', pattern(1000))
  const seen: Uint8Array[] = []
  const work = (...values: Uint8Array[]) => {
    seen.push(...values)
    return NEVER
  }
  void map.borrow('key', work)
  void map.borrowAll(['key', 'other'], work)
  await until(
    t,
    () => seen.length === 3,
    () => seen.length,
  )
  t.is(map.stats().borrowedBytes, 2048)
  await map.delete('key')
  t.false(map.has('key'))
  t.is(seen[0]?.length, 1000)
  await map.close()
  t.deepEqual(
    seen.map(({ length }) => length),
    [0, 0, 0],
  )
})

test('an update that never settles holds up its own key alone, and a close rejects those who wait for it', async t => {
  const map = newPromiseMap(t)
  await map.set('key', pattern(1000))
  const { opened, open } = gate()
  const update = failureOf(() =>
    map.update('key', async value => {
      await opened
      return value
    }),
  )
  const chunk = pattern(300, 3)
  const waiting = [map.read('key'), map.set('key', chunk), map.borrow('key'), map.delete('key'), map.clear()]
  const outcomes = Promise.all(waiting.map(call => failureOf(() => call)))
  await map.set('other', pattern(10))
  await map.close()
  const errors = await outcomes
  t.deepEqual(
    errors.map(({ code }) => code),
    waiting.map(() => 'ERR_PAGEOUT_CLOSED'),
  )
  sameBytes(t, chunkOfError(errors[1] as never), pattern(300, 3), 'the chunk that waited comes back')
  open()
  const error = await update
  t.is(error.code, 'ERR_PAGEOUT_CLOSED')
  sameBytes(t, chunkOfError(error), pattern(1000), 'and so does what was taken')
})

test('a borrow waits for room in its turn; borrowAll holds nothing while it waits', async t => {
  const map = newPromiseMap(t)
  for (let key = 0; key < 20; key++) await map.set(key, pattern(PIECE, key))
  const held: Borrow[] = []
  for (let key = 0; key < 16; key++) held.push((await map.borrow(key)) as Borrow)
  const came: string[] = []
  const all = map.borrowAll(
    [16, 17],
    (one, other) => {
      came.push('all')
      sameBytes(t, one, pattern(PIECE, 16))
      sameBytes(t, other, pattern(PIECE, 17))
    },
    { wait: true },
  )
  const single = map.borrow(18, () => void came.push('single'), { wait: true })
  const stop = new AbortController()
  const givesUp = failureOf(() => map.borrowAll([16, 19], () => t.fail('called'), { wait: true, signal: stop.signal }))
  await wait(30)
  held.pop()?.release()
  await wait(30)
  t.deepEqual(came, [], 'there is room for one of two, and the other came later')
  t.is(map.stats().borrowedBytes, 15 * PIECE)
  stop.abort()
  t.is((await givesUp).code, 'ABORT_ERR')
  held.pop()?.release()
  await Promise.all([all, single])
  t.deepEqual(came, ['all', 'single'])
  const large = failureOf(() => map.borrowAll([...Array(17).keys()], () => t.fail('called'), { wait: true }))
  const { code, requestedBytes } = await large
  t.deepEqual([code, requestedBytes], ['ERR_PAGEOUT_BUDGET', 17 * PIECE], 'what can never fit fails at once')
  for (const one of held) one.release()
  t.is(map.stats().borrowedBytes, 0)
})

test('those who borrow several that overlap never wait for each other for ever', async t => {
  const map = newPromiseMap(t, { residentBytes: 3 * PIECE })
  for (let key = 0; key < 6; key++) await map.set(key, pattern(PIECE, key))
  const pairs = Array.from({ length: 60 }, (_, round) => [round % 6, (round * 5 + 1) % 6])
  const sums = await Promise.all(
    pairs.map(([one, other]) =>
      map.borrowAll(
        [one, other],
        async (a, b) => {
          await null
          sameBytes(t, a, pattern(PIECE, one))
          sameBytes(t, b, pattern(PIECE, other))
          return 1
        },
        { wait: true },
      ),
    ),
  )
  t.is(sums.length, 60)
  t.is(map.stats().borrowedBytes, 0)
})

test('a set of which the pager closes meanwhile leaves nothing', async t => {
  const map = newPromiseMap(t)
  const sets = [map.set(1, pattern(BUDGET)), map.set(2, pattern(4 * BUDGET))]
  const closed = map.close()
  await Promise.allSettled(sets)
  await closed
  t.deepEqual([map.size, map.byteLength], [0, 0])
})

test('a map of promises is disposed of at the end of its block', async t => {
  let kept: typeof map
  const map = newPromiseMap(t)
  {
    await using inner = map
    await inner.set('key', pattern(10))
    kept = inner
  }
  t.is((await failureOf(() => kept.read('key'))).code, 'ERR_PAGEOUT_CLOSED')
})
