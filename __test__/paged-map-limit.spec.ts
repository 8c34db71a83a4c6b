/** Maps with `maxBytes`: what goes, who is told, and what happens where nothing can go. */

import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import type { Borrow, Chunk, PageoutError } from 'pageout'
import { pattern, sameBytes } from './helpers/chunks.js'
import { BUDGET, chunkOfError, failureOf, forms, newMap, newPromiseMap, untilEmpty } from './helpers/maps.js'

type Take = () => Chunk | Promise<Chunk>

const BYTES = 1000

for (const [form, open] of Object.entries(forms)) {
  test(`past the limit those go that were used longest ago (${form})`, async t => {
    const gone: unknown[] = []
    const map = open(t, { maxBytes: 4 * BYTES, onEvict: (key: unknown) => void gone.push(key) })
    for (const key of ['a', 'b', 'c', 'd']) await map.set(key, pattern(BYTES))
    await map.borrow('a', () => undefined)
    await map.read('b')
    t.true(map.has('c'), 'looking whether it is there is no use of it')
    await map.set('e', pattern(BYTES))
    t.deepEqual(gone, ['c'])
    await map.readAt('d', 0, 1)
    await map.readAtMany('a', [[0, 1]])
    await map.set('f', pattern(2 * BYTES))
    t.deepEqual(gone, ['c', 'b', 'e'])
    await map.borrowAll(['d'], () => undefined)
    await map.update('f', value => value)
    await map.set('g', pattern(BYTES))
    t.deepEqual(gone, ['c', 'b', 'e', 'a'])
    t.deepEqual([[...map.keys()], map.byteLength, map.stats().handles], [['d', 'f', 'g'], 4 * BYTES, 3])
    await map.clear()
    t.is(gone.length, 4, 'what is cleared is not told')
    await untilEmpty(t, map)
  })

  test(`without onEvict it goes silently (${form})`, async t => {
    const map = open(t, { maxBytes: 4 * BYTES })
    for (let key = 0; key < 20; key++) await map.set(key, pattern(BYTES, key))
    t.deepEqual([...map.keys()], [16, 17, 18, 19])
    t.is(map.stats().handles, 4)
  })

  test(`onEvict takes what goes, during the call only (${form})`, async t => {
    const takes: Take[] = []
    const taken: [unknown, Chunk][] = []
    const onEvict = async (key: unknown, take: Take) => {
      takes.push(take)
      if (key !== 'left') taken.push([key, await take()])
    }
    const onEvictNow = (key: unknown, take: Take) => {
      takes.push(take)
      if (key !== 'left') taken.push([key, take() as Chunk])
    }
    const map = open(t, { maxBytes: 2 * BYTES, onEvict: form === 'promise' ? onEvict : onEvictNow })
    await map.set('one', pattern(BYTES, 1))
    await map.set('left', pattern(BYTES, 2))
    await map.set('large', pattern(2 * BYTES, 3))
    t.deepEqual([map.size, map.stats().handles], [1, 1])
    t.is(taken.length, 1)
    t.is(taken[0]?.[0], 'one')
    sameBytes(t, taken[0]?.[1] as Chunk, pattern(BYTES, 1))
    for (const take of takes) t.is((await failureOf(take)).code, 'ERR_PAGEOUT_RELEASED')
  })

  test(`what onEvict throws is thrown by the set, which stands (${form})`, async t => {
    const thrown = new Error('mine')
    const told: unknown[] = []
    const onEvict = (key: unknown) => {
      told.push(key)
      throw thrown
    }
    const map = open(t, { maxBytes: 2 * BYTES, onEvict })
    await map.set(1, pattern(BYTES))
    await map.set(2, pattern(BYTES))
    t.is(await failureOf(() => map.set(3, pattern(BYTES, 3))), thrown as PageoutError)
    t.deepEqual([...map.keys()], [2, 3])
    sameBytes(t, (await map.read(3)) as Chunk, pattern(BYTES, 3))
    const both = await failureOf(() => map.set(4, pattern(2 * BYTES, 4)))
    t.true(both instanceof AggregateError)
    t.deepEqual((both as unknown as AggregateError).errors, [thrown, thrown])
    t.deepEqual([told, [...map.keys()], map.stats().handles], [[1, 2, 3], [4], 1])
    t.is(await failureOf(() => map.update(5, () => pattern(2 * BYTES))), thrown as PageoutError)
    t.deepEqual([...map.keys()], [5])
  })

  test(`onEvict may call the map (${form})`, async t => {
    let rounds = 0
    const map = open(t, {
      maxBytes: 3 * BYTES,
      onEvict: (key: number, take: Take) => {
        rounds++
        t.false(map.has(key), 'it is gone by then')
        t.true(map.byteLength <= 3 * BYTES)
        if (rounds > 3) return map.clear()
        const again = (chunk: Chunk) => map.set(key, chunk)
        const chunk = take()
        return chunk instanceof Promise ? chunk.then(again) : void again(chunk)
      },
    })
    for (let key = 0; key < 4; key++) await map.set(key, pattern(BYTES, key))
    t.true(rounds > 3, 'each that was set again made another go')
    t.is(map.size, 0)
    await untilEmpty(t, map)
  })

  test(`what is borrowed does not go; where nothing else can, set fails with the numbers (${form})`, async t => {
    const gone: unknown[] = []
    const map = open(t, { maxBytes: 3 * BYTES, onEvict: (key: unknown) => void gone.push(key) })
    for (const key of [1, 2, 3]) await map.set(key, pattern(BYTES, key))
    const borrows = [(await map.borrow(1)) as Borrow, (await map.borrow(2)) as Borrow]
    await map.set(4, pattern(BYTES, 4))
    t.deepEqual(gone, [3])
    borrows.push((await map.borrow(4)) as Borrow)
    const chunk = pattern(BYTES, 5)
    const error = await failureOf(() => map.set(5, chunk))
    const { code, requestedBytes, borrowedBytes, residentBytes, limitBytes } = error
    t.deepEqual([code, requestedBytes, borrowedBytes], ['ERR_PAGEOUT_BUDGET', BYTES, 3 * BYTES])
    t.deepEqual([residentBytes, limitBytes], [3 * 1024, 3 * BYTES])
    t.is(chunkOfError(error), chunk)
    sameBytes(t, chunk, pattern(BYTES, 5), 'it was not touched')
    t.deepEqual([[...map.keys()], map.byteLength], [[1, 2, 4], 3 * BYTES])
    t.is((await failureOf(() => map.update(5, () => pattern(BYTES)))).code, 'ERR_PAGEOUT_BUDGET')
    await map.set(4, pattern(BYTES, 6))
    sameBytes(t, (await map.read(4)) as Chunk, pattern(BYTES, 6), 'in the place of its own value it has room')
    for (const borrow of borrows) borrow.release()
    await map.set(5, chunk)
    t.is(gone.length, 2)
    t.deepEqual([map.byteLength, map.stats().handles], [3 * BYTES, 3])
  })

  test(`a chunk that is longer than the limit is refused, also as the result of an update (${form})`, async t => {
    const map = open(t, { maxBytes: 2 * BYTES })
    await map.set(1, pattern(BYTES))
    const chunk = pattern(2 * BYTES + 1)
    const error = await failureOf(() => map.set(2, chunk))
    t.deepEqual([error.code, error.name], ['ERR_OUT_OF_RANGE', 'RangeError'])
    t.is(chunkOfError(error), chunk)
    t.is(chunk.length, 2 * BYTES + 1)
    const result = await failureOf(() => map.update(1, () => chunk))
    t.is(result.code, 'ERR_OUT_OF_RANGE')
    sameBytes(t, (await map.read(1)) as Chunk, pattern(BYTES), 'the value is what it was')
    await map.set(2, pattern(2 * BYTES))
    t.deepEqual([...map.keys()], [2])
  })

  test(`the limit counts values wherever they are (${form})`, async t => {
    const map = open(t, { maxBytes: 4 * BUDGET })
    for (let key = 0; key < 100; key++) await map.set(key, pattern(BUDGET / 8, key))
    t.deepEqual([map.size, map.byteLength], [32, 4 * BUDGET])
    t.true(map.stats().residentBytes <= BUDGET)
    for (let key = 68; key < 100; key++) sameBytes(t, (await map.read(key)) as Chunk, pattern(BUDGET / 8, key))
  })
}

test('in the synchronous form onEvict must not return a promise', async t => {
  const map = newMap(t, {
    maxBytes: BYTES,
    onEvict: async (_: unknown, take: Take) => {
      await null
      take()
    },
  })
  map.set(1, pattern(BYTES))
  t.throws(() => map.set(2, pattern(BYTES)), { code: 'ERR_INVALID_RETURN_VALUE' })
  t.deepEqual([...map.keys()], [2])
  await new Promise(resolve => setImmediate(resolve))
})

test('set waits for what onEvict returns, and calls of the key that was set do not', async t => {
  let open = () => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  let taken: Uint8Array | undefined
  const map = newPromiseMap(t, {
    maxBytes: BYTES,
    onEvict: async (_: unknown, take: () => Promise<Uint8Array>) => {
      await opened
      taken = await take()
    },
  })
  await map.set(1, pattern(BYTES, 1))
  let isSet = false
  const set = map.set(2, pattern(BYTES, 2)).then(() => {
    isSet = true
  })
  await wait(20)
  t.false(isSet)
  sameBytes(t, (await map.read(2)) as Uint8Array, pattern(BYTES, 2))
  t.is(await map.read(1), undefined)
  open()
  await set
  sameBytes(t, taken as Uint8Array, pattern(BYTES, 1))
  t.is(map.stats().handles, 1)
})

test('an onEvict that never settles holds up its own set alone', async t => {
  const map = newPromiseMap(t, {
    maxBytes: BYTES,
    onEvict: (key: unknown) => (key === 1 ? new Promise(() => {}) : undefined),
  })
  await map.set(1, pattern(BYTES))
  void map.set(2, pattern(BYTES))
  for (let key = 3; key < 10; key++) await map.set(key, pattern(BYTES))
  t.deepEqual([...map.keys()], [9])
  await map.close()
})

test('sets that are pending together stay within the limit', async t => {
  const map = newPromiseMap(t, { maxBytes: 4 * BYTES })
  await Promise.all(Array.from({ length: 50 }, (_, key) => map.set(key, pattern(BYTES, key))))
  t.deepEqual([map.size, map.byteLength, map.stats().handles], [4, 4 * BYTES, 4])
})

test('a promised set that finds no room when its turn comes gives the chunk back', async t => {
  const map = newPromiseMap(t, { maxBytes: 2 * BYTES })
  await map.set(1, pattern(BYTES, 1))
  await map.set(2, pattern(BYTES, 2))
  const chunk = pattern(BYTES, 3)
  const pending = failureOf(() => map.set(3, chunk))
  t.is(chunk.length, 0, 'there was room when it was called')
  const borrows = [map.borrow(1), map.borrow(2)]
  const error = await pending
  t.is(error.code, 'ERR_PAGEOUT_BUDGET')
  sameBytes(t, chunkOfError(error), pattern(BYTES, 3))
  for (const borrow of await Promise.all(borrows)) borrow?.release()
  t.deepEqual([[...map.keys()], map.stats().handles], [[1, 2], 2])
})

test('what is being updated does not go', async t => {
  const map = newPromiseMap(t, { maxBytes: 2 * BYTES })
  await map.set(1, pattern(BYTES, 1))
  await map.set(2, pattern(BYTES, 2))
  const updated = map.update(1, async value => {
    await map.read(2)
    await map.set(3, pattern(BYTES, 3))
    return value
  })
  await updated
  t.deepEqual([...map.keys()], [1, 3])
  const sync = newMap(t, { maxBytes: 2 * BYTES })
  sync.set(1, pattern(BYTES, 1)).set(2, pattern(BYTES, 2))
  sync.update(1, value => {
    sync.read(2)
    sync.set(3, pattern(BYTES, 3))
    return value
  })
  t.deepEqual([...sync.keys()], [1, 3])
})
