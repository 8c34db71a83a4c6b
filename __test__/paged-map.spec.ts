/** Maps of arrays within a memory budget, in both forms. */

import { inspect } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import test from 'ava'
import type { Borrow, Chunk, PageoutError } from 'pageout'
import { MemoryBudget } from 'pageout'
import { PagedMap } from 'pageout/map'
import { PagedMap as PromisePagedMap } from 'pageout/map/promises'
import { watchWarnings } from './helpers/borrows.js'
import { chunkOf, classOf, KIB, kinds, lengthOf, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { BUDGET, chunkOfError, failureOf, forms, newMap, PIECE, setOnDisk, untilEmpty } from './helpers/maps.js'
import { newDirectory } from './helpers/places.js'
import { until } from './helpers/until.js'

for (const [form, open] of Object.entries(forms)) {
  test(`values of every class are set, looked at, read and taken (${form})`, async t => {
    const map = open(t)
    for (const kind of kinds) {
      const bytes = pattern(800)
      const chunk = chunkOf(kind, bytes)
      t.is(await map.set(kind.name, chunk), map)
      t.is(lengthOf(chunk), 0, 'it is the map that has it now')
      const length = 800 / kind.elementBytes
      const look = await map.borrow(kind.name, value => {
        sameBytes(t, value, bytes, kind.name)
        return classOf(value)
      })
      t.is(look, kind.name)
      const some = await map.readAt(kind.name, 2, length - 2)
      if (some === undefined) throw new Error('it is there')
      t.is(classOf(some), kind.name)
      sameBytes(t, some, bytes.slice(2 * kind.elementBytes))
      const ends = await map.readAtMany(kind.name, [
        [length - 1, 1],
        [0, 1],
      ])
      sameBytes(
        t,
        ends as Uint8Array,
        Uint8Array.from([...bytes.slice(-kind.elementBytes), ...bytes.slice(0, kind.elementBytes)]),
      )
      sameBytes(t, (await map.read(kind.name)) as Uint8Array, bytes)
      const target = chunkOf(kind, new Uint8Array(800))
      sameBytes(t, (await map.read(kind.name, target)) as Uint8Array, bytes)
      sameBytes(t, target, bytes)
    }
    t.deepEqual([map.size, map.byteLength], [kinds.length, 800 * kinds.length])
    for (const kind of kinds) {
      const taken = await map.take(kind.name)
      t.is(classOf(taken as Uint8Array), kind.name)
      sameBytes(t, taken as Uint8Array, pattern(800))
    }
    t.deepEqual([map.size, map.byteLength, map.stats().handles, map.stats().residentBytes], [0, 0, 0, 0])
  })

  test(`keys are compared as a Map does, and come in the order in which they were first set (${form})`, async t => {
    const map = open(t)
    const [object, symbol] = [{}, Symbol('key')]
    const keys = ['text', 1, Number.NaN, object, undefined, null, symbol, 2n, true]
    for (const [seed, key] of keys.entries()) await map.set(key, Uint8Array.of(seed))
    await map.set(1, Uint8Array.of(100))
    t.deepEqual([...map.keys()], keys)
    t.is(((await map.read(Number.NaN)) as Uint8Array)[0], 2)
    t.is(((await map.read(1)) as Uint8Array)[0], 100)
    t.is(await map.read('1'), undefined)
    t.is(await map.read({}), undefined)
    await map.set(-0, Uint8Array.of(7))
    t.is(((await map.read(0)) as Uint8Array)[0], 7)
    t.is(map.size, keys.length + 1)
    for (const key of keys) t.true(map.has(key))
    t.false(map.has('other'))
  })

  test(`the map may be changed while its keys are walked over (${form})`, async t => {
    const map = open(t)
    for (const key of [1, 2, 3]) await map.set(key, Uint8Array.of(key))
    const seen: unknown[] = []
    for (const key of map.keys()) {
      seen.push(key)
      if (key === 1) await map.delete(2)
      if (key === 3) await map.set(4, Uint8Array.of(4))
      await map.set(key, Uint8Array.of(9))
    }
    t.deepEqual(seen, [1, 3, 4])
  })

  test(`a key that is not there is undefined, and work is not called (${form})`, async t => {
    const map = open(t)
    const never = () => t.fail('called')
    t.is(await map.borrow('key'), undefined)
    t.is(await map.borrow('key', never), undefined)
    t.is(await map.borrow('key', undefined, {}), undefined)
    t.is(await map.read('key'), undefined)
    t.is(await map.readAt('key', 0, 1), undefined)
    t.is(await map.readAtMany('key', [[0, 1]]), undefined)
    t.is(await map.take('key'), undefined)
    t.is(await map.delete('key'), false)
    map.prefetch('key')
    await map.set('other', Uint8Array.of(1))
    t.is(await map.borrowAll(['other', 'key'], never), undefined)
    t.is(map.stats().borrowedBytes, 0)
  })

  test(`what is used stays in memory, the rest leaves it, and nothing is lost (${form})`, async t => {
    const map = open(t)
    for (let key = 0; key < 64; key++) await map.set(key, pattern(PIECE, key))
    t.is(map.byteLength, 64 * PIECE)
    for (let round = 0; round < 3; round++) {
      for (let key = 0; key < 64; key++) {
        await map.borrow(key, value => sameBytes(t, value, pattern(PIECE, key)))
        t.true(map.stats().residentBytes <= BUDGET)
      }
    }
    t.true(map.stats().evictions > 0)
    for (let key = 0; key < 64; key++) sameBytes(t, (await map.take(key)) as Uint8Array, pattern(PIECE, key))
    await untilEmpty(t, map)
  })

  test(`a take of what is in memory gives the very same memory (${form})`, async t => {
    const map = open(t)
    const chunk = new Float64Array(8 * KIB).fill(1.5)
    await map.set('key', chunk)
    const taken = (await map.take('key')) as Float64Array
    t.deepEqual([taken.length, taken[8000]], [8 * KIB, 1.5])
    t.deepEqual([map.stats().writesElided, map.stats().usedBytes], [1, 0], 'it was never written')
  })

  test(`a kept reference is empty after the last release, and a view that escapes is refused (${form})`, async t => {
    const map = open(t)
    await map.set('key', pattern(1000))
    const kept: Chunk[] = []
    await map.borrow('key', value => void kept.push(value))
    t.deepEqual(kept.map(lengthOf), [0])
    const borrowed = (await map.borrow('key')) as Borrow<Uint8Array>
    const { value } = borrowed
    t.is(value.length, 1000)
    borrowed.release()
    t.is(value.length, 0)
    t.throws(() => borrowed.value, { code: 'ERR_PAGEOUT_RELEASED' })
    for (const work of [
      (array: Uint8Array) => array,
      (array: Uint8Array) => array.subarray(1),
      (array: Uint8Array) => array.buffer,
    ]) {
      const error = await failureOf(() => map.borrow('key', value => work(value as Uint8Array)))
      t.deepEqual([error.code, error.name], ['ERR_INVALID_RETURN_VALUE', 'TypeError'])
      const ofAll = await failureOf(() => map.borrowAll(['key'], value => work(value as Uint8Array)))
      t.is(ofAll.code, 'ERR_INVALID_RETURN_VALUE')
    }
    t.is(map.stats().borrowedBytes, 0)
  })

  test(`several borrows of one value share one memory and one read (${form})`, async t => {
    const map = open(t)
    for (let key = 0; key < 32; key++) await map.set(key, pattern(PIECE, key))
    for (let key = 31; key >= 1; key--) await map.borrow(key, value => lengthOf(value))
    const before = map.stats().residentMisses
    const borrows = (await Promise.all([map.borrow(0), map.borrow(0), map.borrow(0)])) as Borrow<Uint8Array>[]
    t.true(map.stats().residentMisses <= before + 1)
    t.is(map.stats().borrowedBytes, PIECE)
    t.is(new Set(borrows.map(({ value }) => value.buffer)).size, 1)
    for (const borrow of borrows) borrow.release()
    t.is(map.stats().borrowedBytes, 0)
  })

  test(`a value that is set, deleted or cleared while it is borrowed stays with its borrowers until the last release (${form})`, async t => {
    const map = open(t)
    const ends: Record<string, () => unknown> = {
      set: () => map.set('key', pattern(500, 9)),
      delete: () => map.delete('key'),
      clear: () => map.clear(),
    }
    for (const [name, end] of Object.entries(ends)) {
      await map.set('key', pattern(2000, 1))
      const [one, other] = [(await map.borrow('key')) as Borrow, (await map.borrow('key')) as Borrow]
      const [first, second] = [one.value, other.value]
      const { writesElided } = map.stats()
      await end()
      const left = name === 'set' ? 1 : 0
      t.deepEqual([map.size, map.byteLength], [left, left * 500], name)
      sameBytes(t, first, pattern(2000, 1))
      t.deepEqual([map.stats().handles, map.stats().borrowedBytes], [1 + left, 2000])
      if (left) await map.borrow('key', value => sameBytes(t, value, pattern(500, 9)))
      one.release()
      sameBytes(t, second, pattern(2000, 1))
      other.release()
      t.deepEqual([lengthOf(first), lengthOf(second)], [0, 0])
      t.deepEqual([map.stats().handles, map.stats().borrowedBytes], [left, 0])
      t.is(map.stats().writesElided, writesElided + 1, 'it is freed unwritten')
      await map.clear()
      await untilEmpty(t, map)
    }
  })

  test(`what is borrowed is neither taken nor updated (${form})`, async t => {
    const map = open(t)
    await map.set('key', pattern(1000))
    const borrowed = (await map.borrow('key')) as Borrow
    for (const call of [() => map.take('key'), () => map.update('key', () => t.fail('called'))]) {
      t.is((await failureOf(call)).code, 'ERR_PAGEOUT_BORROWED')
    }
    sameBytes(t, (await map.read('key')) as Uint8Array, pattern(1000))
    borrowed.release()
    sameBytes(t, (await map.take('key')) as Uint8Array, pattern(1000))
  })

  test.serial(
    `a borrow that was dropped is released by the collector, also of a value that was deleted (${form})`,
    async t => {
      const map = open(t)
      const { arrived } = watchWarnings(t)
      await map.set('key', pattern(1000))
      await (async () => void (await map.borrow('key')))()
      await map.delete('key')
      t.true(await collectUntil(() => map.stats().borrowedBytes === 0))
      t.true(await arrived(1))
      await untilEmpty(t, map)
    },
  )

  test.serial(`memory that a borrower transfers away is his, and the value what the disk says (${form})`, async t => {
    const map = open(t)
    const { arrived } = watchWarnings(t)
    const steal = ({ value }: Borrow) =>
      structuredClone(value, { transfer: [(value as Uint8Array).buffer] as ArrayBuffer[] })
    await map.set('unwritten', pattern(1000))
    await map.set('other', pattern(100))
    const borrowed = (await map.borrow('unwritten')) as Borrow
    steal(borrowed)
    borrowed.release()
    t.deepEqual(
      [map.has('unwritten'), map.size, map.byteLength],
      [false, 1, 100],
      'there was no copy, and the key is gone',
    )
    t.is(await map.borrow('unwritten'), undefined)
    t.true(await arrived(1))
    await setOnDisk(map, 'written', pattern(PIECE, 31))
    const written = (await map.borrow('written')) as Borrow
    steal(written)
    written.release()
    t.true(await arrived(2))
    sameBytes(t, (await map.take('written')) as Uint8Array, pattern(PIECE, 31))
    await map.clear()
    await untilEmpty(t, map)
  })

  test(`all of the budget borrowed: another borrow fails with the numbers, a set writes through (${form})`, async t => {
    const map = open(t)
    for (let key = 0; key < 17; key++) await map.set(key, pattern(PIECE, key))
    const borrows: Borrow[] = []
    for (let key = 0; key < 16; key++) borrows.push((await map.borrow(key)) as Borrow)
    for (const call of [() => map.borrow(16), () => map.borrow(16, () => t.fail('called'))]) {
      const { code, requestedBytes, borrowedBytes, residentBytes } = await failureOf(call)
      t.deepEqual([code, requestedBytes, borrowedBytes, residentBytes], ['ERR_PAGEOUT_BUDGET', PIECE, BUDGET, BUDGET])
    }
    sameBytes(t, (await map.read(16)) as Uint8Array, pattern(PIECE, 16))
    await map.set('more', pattern(PIECE, 99))
    sameBytes(t, (await map.read('more')) as Uint8Array, pattern(PIECE, 99))
    for (const borrow of borrows) borrow.release()
    await map.borrow(16, value => sameBytes(t, value, pattern(PIECE, 16)))
  })

  test(`borrowAll gives all in the order of the keys, or none (${form})`, async t => {
    const map = open(t)
    for (let key = 0; key < 32; key++) await map.set(key, pattern(PIECE, key))
    const sum = await map.borrowAll([3, 1, 3], (...values) => {
      const [three, one, again] = values as Uint8Array[]
      sameBytes(t, three as Uint8Array, pattern(PIECE, 3))
      sameBytes(t, one as Uint8Array, pattern(PIECE, 1))
      t.is(three?.buffer, again?.buffer)
      t.is(map.stats().borrowedBytes, 2 * PIECE)
      return values.length
    })
    t.is(sum, 3)
    t.is(await map.borrowAll(new Set([5]).values(), value => lengthOf(value as Uint8Array)), PIECE)
    t.is(await map.borrowAll([], (...values) => values.length), 0)
    await map.borrowAll(
      Array.from({ length: 16 }, (_, key) => key),
      (...values) => t.is(values.length, 16),
    )
    const error = await failureOf(() =>
      map.borrowAll(
        Array.from({ length: 17 }, (_, key) => key),
        () => t.fail('called'),
      ),
    )
    t.deepEqual([error.code, error.requestedBytes, error.limitBytes], ['ERR_PAGEOUT_BUDGET', 17 * PIECE, BUDGET])
    t.is(map.stats().borrowedBytes, 0)
    const held = (await map.borrow(20)) as Borrow
    const { residentMisses } = map.stats()
    const all = Array.from({ length: 16 }, (_, key) => key)
    t.is((await failureOf(() => map.borrowAll(all, () => t.fail('called')))).code, 'ERR_PAGEOUT_BUDGET')
    t.is(map.stats().borrowedBytes, PIECE, 'what was held meanwhile is not')
    t.is(map.stats().residentMisses, residentMisses, 'and nothing was read: room for all is found before')
    held.release()
    const thrown = new Error('mine')
    const throws = () => {
      throw thrown
    }
    t.is(await failureOf(() => map.borrowAll([1, 2], throws)), thrown as PageoutError)
    t.is(map.stats().borrowedBytes, 0)
  })

  test(`update takes, changes and sets; undefined begins and deletes (${form})`, async t => {
    const map = open(t)
    await map.update('key', value => {
      t.is(value, undefined)
      return Uint32Array.of(1, 2)
    })
    await map.update('key', value => (value as Uint32Array).fill(7, 1))
    t.deepEqual(await map.read('key'), Uint32Array.of(1, 7))
    await map.update('key', value => Float64Array.from(value as Uint32Array))
    t.deepEqual(await map.read('key'), Float64Array.of(1, 7))
    t.is(map.byteLength, 16)
    await map.update('other', () => undefined)
    t.is(map.size, 1)
    await map.update('key', () => undefined)
    t.deepEqual([map.size, map.byteLength, map.stats().handles], [0, 0, 0])
    await untilEmpty(t, map)
  })

  test(`where work fails the value is set back, unless work detached it (${form})`, async t => {
    const map = open(t)
    const mine = new Error('mine')
    await map.set('key', pattern(1000))
    const failed = await failureOf(() =>
      map.update('key', value => {
        ;(value as Uint8Array)[0] = 99
        throw mine
      }),
    )
    t.is(failed, mine as PageoutError)
    const expected = pattern(1000)
    expected[0] = 99
    sameBytes(t, (await map.read('key')) as Uint8Array, expected, 'as it is then')
    const detach = (value: unknown) => {
      structuredClone(value, { transfer: [(value as Uint8Array).buffer] as ArrayBuffer[] })
      throw mine
    }
    t.is(await failureOf(() => map.update('key', detach)), mine as PageoutError)
    t.deepEqual([map.has('key'), map.size, map.byteLength, map.stats().handles], [false, 0, 0, 0])
    t.is(await failureOf(() => map.update('key', detach.bind(undefined, Uint8Array.of(1)))), mine as PageoutError)
    await map.set('empty', new Uint8Array(0))
    const throws = () => {
      throw mine
    }
    t.is(await failureOf(() => map.update('empty', throws)), mine as PageoutError)
    t.true(map.has('empty'))
  })

  test(`a result that cannot be set leaves the value as it is (${form})`, async t => {
    const map = open(t)
    await map.set('key', pattern(1000))
    for (const result of [1, null, 'text', {}, [Uint8Array.of(1)]]) {
      const error = await failureOf(() => map.update('key', () => result))
      t.is(error.code, 'ERR_INVALID_RETURN_VALUE')
    }
    const shared = await failureOf(() => map.update('key', () => new SharedArrayBuffer(8)))
    t.is(shared.code, 'ERR_INVALID_ARG_TYPE')
    sameBytes(t, (await map.read('key')) as Uint8Array, pattern(1000))
    t.is(map.stats().handles, 1)
  })

  test(`a result that the disk has no room for leaves the value as it was, and comes with the error (${form})`, async t => {
    const map = open(t, { capacityBytes: 64 * KIB, residentBytes: 8 * KIB })
    await map.set('key', pattern(1000))
    const large = new Uint8Array(100 * KIB).fill(3)
    const error = await failureOf(() => map.update('key', () => large))
    t.is(error.code, 'ERR_PAGEOUT_CAPACITY')
    t.is(error.chunks?.length, 1)
    t.is(chunkOfError(error)[99 * KIB], 3)
    sameBytes(t, (await map.read('key')) as Uint8Array, pattern(1000))
    const refused = await failureOf(() => map.set('key', new Uint8Array(100 * KIB).fill(4)))
    t.is(refused.code, 'ERR_PAGEOUT_CAPACITY')
    t.is(chunkOfError(refused)[99 * KIB], 4)
    sameBytes(t, (await map.read('key')) as Uint8Array, pattern(1000), 'a set that fails changes nothing')
    t.deepEqual([map.size, map.byteLength, map.stats().handles], [1, 1000, 1])
  })

  test(`a value that cannot be set back comes with the error (${form})`, async t => {
    const map = open(t)
    await map.set('key', pattern(1000))
    const mine = new Error('mine')
    const error = await failureOf(() =>
      map.update('key', () => {
        void map.close()
        throw mine
      }),
    )
    t.deepEqual([error.code, error.cause], ['ERR_PAGEOUT_CLOSED', mine])
    t.is(error.chunks?.length, 1)
    sameBytes(t, chunkOfError(error), pattern(1000))
    const other = open(t)
    await other.set('key', pattern(1000, 2))
    const both = await failureOf(() =>
      other.update('key', () => {
        void other.close()
        return Uint8Array.of(8)
      }),
    )
    t.is(both.code, 'ERR_PAGEOUT_CLOSED')
    t.deepEqual(both.chunks?.map(lengthOf), [1, 1000])
  })

  test(`wrong arguments are refused before anything happens, and carry the chunk (${form})`, async t => {
    const map = open(t)
    await map.set('key', pattern(1000))
    for (const chunk of [undefined, null, 1, 'text', [Uint8Array.of(1)], {}, new SharedArrayBuffer(8)]) {
      const error = await failureOf(() => map.set('key', chunk as unknown as Uint8Array))
      t.is(error.code, 'ERR_INVALID_ARG_TYPE')
      t.regex(error.message, /"chunk" argument/)
      t.deepEqual(error.chunks, [chunk as unknown as Uint8Array])
    }
    const detached = new Uint8Array(8)
    structuredClone(detached, { transfer: [detached.buffer] })
    t.is((await failureOf(() => map.set('key', detached))).code, 'ERR_INVALID_ARG_VALUE')
    for (const [call, code] of [
      [() => map.borrow('key', 'work' as never), 'ERR_INVALID_ARG_TYPE'],
      [() => map.borrow('none', 'work' as never), 'ERR_INVALID_ARG_TYPE'],
      [() => map.borrowAll(['key'], undefined as never), 'ERR_INVALID_ARG_TYPE'],
      [() => map.borrowAll('key', () => 1), 'ERR_INVALID_ARG_TYPE'],
      [() => map.borrowAll(7 as never, () => 1), 'ERR_INVALID_ARG_TYPE'],
      [() => map.update('key', undefined as never), 'ERR_INVALID_ARG_TYPE'],
      [() => map.update('none', 'work' as never), 'ERR_INVALID_ARG_TYPE'],
      [() => map.readAt('key', 0, 1001), 'ERR_OUT_OF_RANGE'],
      [() => map.readAt('key', -1, 1), 'ERR_OUT_OF_RANGE'],
      [
        () =>
          map.readAtMany('key', [
            [0, 2],
            [1, 1],
          ]),
        'ERR_PAGEOUT_OVERLAP',
      ],
      [() => map.read('key', new Uint16Array(1000)), 'ERR_INVALID_ARG_TYPE'],
      [() => map.take('key', new Uint8Array(999)), 'ERR_OUT_OF_RANGE'],
    ] as [() => unknown, string][]) {
      t.is((await failureOf(call)).code, code, String(call))
    }
    sameBytes(t, (await map.take('key')) as Uint8Array, pattern(1000))
  })

  test(`a borrowed array is copied as a chunk and refused as a target (${form})`, async t => {
    const map = open(t)
    await map.set('one', pattern(1000))
    const borrowed = (await map.borrow('one')) as Borrow
    await map.set('copy', borrowed.value)
    t.is(lengthOf(borrowed.value), 1000)
    t.is((await failureOf(() => map.read('copy', borrowed.value))).code, 'ERR_INVALID_ARG_VALUE')
    borrowed.release()
    sameBytes(t, (await map.read('copy')) as Uint8Array, pattern(1000))
  })

  test(`a closed map has nothing, refuses everything, and ends its borrows (${form})`, async t => {
    const map = open(t)
    await map.set('key', pattern(1000))
    await map.set('deleted', pattern(1000))
    const borrows = [(await map.borrow('key')) as Borrow, (await map.borrow('deleted')) as Borrow]
    await map.delete('deleted')
    const values = borrows.map(({ value }) => value)
    await map.close()
    await map.close()
    t.deepEqual(values.map(lengthOf), [0, 0])
    t.true(borrows.every(({ released }) => released))
    for (const borrow of borrows) borrow.release()
    t.deepEqual([map.size, map.byteLength, map.has('key'), [...map.keys()]], [0, 0, false, []])
    const calls = {
      set: () => map.set('key', Uint8Array.of(1)),
      borrow: () => map.borrow('key'),
      borrowAll: () => map.borrowAll(['key'], () => 1),
      read: () => map.read('key'),
      readAt: () => map.readAt('key', 0, 1),
      readAtMany: () => map.readAtMany('key', []),
      take: () => map.take('key'),
      update: () => map.update('key', () => Uint8Array.of(1)),
      delete: () => map.delete('key'),
      clear: () => map.clear(),
      prefetch: () => map.prefetch('key'),
      stats: () => map.stats(),
    }
    for (const [name, call] of Object.entries(calls)) {
      t.is((await failureOf(call)).code, 'ERR_PAGEOUT_CLOSED', name)
    }
  })

  test(`prefetch brings values into memory where there is room (${form})`, async t => {
    const map = open(t)
    for (let key = 0; key < 32; key++) await map.set(key, pattern(PIECE, key))
    for (let key = 31; key >= 16; key--) await map.borrow(key, value => lengthOf(value))
    for (let key = 16; key < 32; key++) await map.delete(key)
    map.prefetch(0, 1, 'none', 2)
    await until(
      t,
      () => map.stats().residentBytes >= 3 * PIECE,
      () => map.stats(),
    )
    const { residentMisses } = map.stats()
    for (const key of [0, 1, 2]) await map.borrow(key, value => sameBytes(t, value, pattern(PIECE, key)))
    t.is(map.stats().residentMisses, residentMisses)
  })

  test(`a map shows its numbers, and neither keys nor values; it cannot be posted (${form})`, async t => {
    const map = open(t)
    await map.set('secret', new TextEncoder().encode('hidden'))
    t.is(
      inspect(map),
      'PagedMap {\n  size: 1,\n  byteLength: 6,\n  residentBytes: 1024,\n  residentLimitBytes: 1048576\n}',
    )
    if ('markAsUncloneable' in (await import('node:worker_threads'))) {
      const { port1 } = new MessageChannel()
      t.throws(() => port1.postMessage(map), { name: 'DataCloneError' })
      port1.close()
    }
    await map.close()
    t.is(inspect(map), 'PagedMap { closed }')
  })

  test(`integrity, detach and capacity are options of the map (${form})`, async t => {
    const map = open(t, { detach: 'never', capacityBytes: MIB, integrity: 'none', spareBytes: 0 })
    const chunk = pattern(1000)
    await map.set('key', chunk)
    t.is(chunk.length, 1000)
    t.is(map.stats().capacityBytes, MIB)
    const strict = open(t, { detach: 'required' })
    const part = new Uint8Array(100).subarray(1)
    t.is((await failureOf(() => strict.set('key', part))).code, 'ERR_PAGEOUT_NOT_DETACHABLE')
    t.is(strict.size, 0)
  })
}

test('options of a map are checked', t => {
  const directory = newDirectory(t)
  for (const Form of [PagedMap, PromisePagedMap]) {
    for (const [options, code] of [
      [undefined, 'ERR_INVALID_ARG_TYPE'],
      [{}, 'ERR_INVALID_ARG_TYPE'],
      [{ residentBytes: undefined }, 'ERR_INVALID_ARG_TYPE'],
      [{ residentBytes: 0 }, 'ERR_OUT_OF_RANGE'],
      [{ residentBytes: -1 }, 'ERR_OUT_OF_RANGE'],
      [{ residentBytes: 1.5 }, 'ERR_OUT_OF_RANGE'],
      [{ residentBytes: 'all' }, 'ERR_INVALID_ARG_VALUE'],
      [{ residentBytes: {} }, 'ERR_INVALID_ARG_TYPE'],
      [{ residentBytes: MIB, backend: 'swap' }, 'ERR_INVALID_ARG_VALUE'],
      [{ residentBytes: MIB, maxBytes: 0 }, 'ERR_OUT_OF_RANGE'],
      [{ residentBytes: MIB, maxBytes: '1' }, 'ERR_INVALID_ARG_TYPE'],
      [{ residentBytes: MIB, maxBytes: 1, onEvict: {} }, 'ERR_INVALID_ARG_TYPE'],
      [{ residentBytes: MIB, onEvict: () => {} }, 'ERR_INVALID_ARG_VALUE'],
      [{ residentBytes: MIB, scratchDir: '' }, 'ERR_INVALID_ARG_VALUE'],
      [{ residentBytes: MIB, encryption: 'yes' }, 'ERR_INVALID_ARG_TYPE'],
      [{ residentBytes: MIB, compression: 'gzip' }, 'ERR_INVALID_ARG_VALUE'],
    ] as [object, string][]) {
      t.throws(() => new Form(options as { residentBytes: number }), { code }, inspect(options))
    }
    const all = {
      residentBytes: 'auto',
      backend: 'file',
      maxBytes: undefined,
      onEvict: undefined,
      scratchDir: directory,
    } as const
    t.is(new Form(all).size, 0)
  }
})

test('in the synchronous form work must not return a promise', async t => {
  const map = newMap(t)
  map.set('key', pattern(1000))
  const rejects = async (value?: Uint8Array) => {
    await null
    throw new Error(`the array has ${value?.length} elements`)
  }
  for (const call of [
    () => map.borrow('key', rejects),
    () => map.borrowAll(['key'], rejects),
    () => map.update('key', rejects as unknown as () => undefined),
    () => map.update('none', rejects as unknown as () => undefined),
  ]) {
    t.throws(call, { code: 'ERR_INVALID_RETURN_VALUE', message: /must not be a promise/ })
  }
  sameBytes(t, map.read('key') as Uint8Array, pattern(1000))
  t.deepEqual([map.size, map.stats().borrowedBytes], [1, 0])
  // Had one of the rejections been left to the process, it would fail the test.
  await new Promise(resolve => setImmediate(resolve))
})

test('in the synchronous form nothing waits', t => {
  const map = newMap(t)
  map.set('key', pattern(1000))
  t.throws(() => map.borrow('key', { wait: true }), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('in an update the same key is out of reach, and others are not', t => {
  const map = newMap(t)
  map.set('key', pattern(1000))
  map.set('other', pattern(100))
  for (const key of ['key', 'new']) {
    map.update(key, value => {
      for (const call of [
        () => map.set(key, Uint8Array.of(1)),
        () => map.borrow(key),
        () => map.borrowAll(['other', key], () => 1),
        () => map.read(key),
        () => map.readAt(key, 0, 1),
        () => map.readAtMany(key, []),
        () => map.take(key),
        () => map.update(key, () => undefined),
        () => map.delete(key),
        () => map.clear(),
      ]) {
        t.throws(call, { code: 'ERR_PAGEOUT_RELEASED' }, String(call))
      }
      t.is(map.has(key), key === 'key')
      map.prefetch(key)
      t.is(
        map.borrow('other', other => other.length),
        100,
      )
      map.update('other', other => other)
      return value ?? Uint8Array.of(1)
    })
  }
  t.deepEqual([map.size, map.byteLength, map.stats().borrowedBytes], [3, 1101, 0])
})

test('what work does to the map while it looks takes effect at once', t => {
  const map = newMap(t)
  map.set('key', pattern(1000))
  map.borrow('key', value => {
    t.throws(() => map.take('key'), { code: 'ERR_PAGEOUT_BORROWED' })
    map.set('key', pattern(10, 2))
    sameBytes(t, value, pattern(1000))
    map.borrow('key', other => sameBytes(t, other, pattern(10, 2)))
    map.clear()
    t.is(map.size, 0)
    sameBytes(t, value, pattern(1000))
  })
  t.is(map.stats().handles, 0)
})

test('a map is disposed of at the end of its block', t => {
  let kept: PagedMap<string, Uint8Array>
  {
    using map = new PagedMap<string, Uint8Array>({ residentBytes: MIB, scratchDir: newDirectory(t) })
    map.set('key', pattern(10))
    kept = map
  }
  t.throws(() => kept.read('key'), { code: 'ERR_PAGEOUT_CLOSED' })
})

test('several maps share one budget', t => {
  const budget = new MemoryBudget(BUDGET)
  const [one, other] = [newMap(t, { residentBytes: budget }), newMap(t, { residentBytes: budget })]
  for (let key = 0; key < 32; key++) {
    one.set(key, pattern(PIECE, key))
    other.set(key, pattern(PIECE, key + 100))
    t.true(budget.residentBytes <= BUDGET)
  }
  for (let key = 0; key < 32; key++) {
    one.borrow(key, value => sameBytes(t, value, pattern(PIECE, key)))
    other.borrow(key, value => sameBytes(t, value, pattern(PIECE, key + 100)))
  }
  one.close()
  other.close()
  t.is(budget.residentBytes, 0)
})
