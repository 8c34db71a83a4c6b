import { inspect } from 'node:util'
import * as workers from 'node:worker_threads'
import test from 'ava'
import { Handle, Pager } from 'pageout'
import { backends, pattern, sameBytes } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { countsOf, hasProc, heldBytes, newDirectory, newPager } from './helpers/places.js'

for (const backend of backends) {
  test(`a handle of the ${backend} backend tells length, bytes, backend and whether it was released`, t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, Float64Array.of(1, 2, 3))
    t.true(handle instanceof Handle)
    const fields = () => [handle.length, handle.byteLength, handle.backend, handle.released]
    t.deepEqual(fields(), [3, 24, backend, false])
    pager.readAt(handle, 0, 1)
    t.deepEqual(fields(), [3, 24, backend, false])
    pager.take(handle)
    t.deepEqual(fields(), [3, 24, backend, true])
  })

  test(`disposing of a handle of the ${backend} backend frees its place once`, t => {
    const pager = newPager(t)
    const other = pager.pageoutWith(backend, Uint8Array.of(1))
    const handle = pager.pageoutWith(backend, Uint8Array.of(2))
    t.is(pager.stats().handles, 2)
    for (let round = 0; round < 3; round += 1) {
      handle[Symbol.dispose]()
      t.true(handle.released)
      t.deepEqual([pager.stats().handles, pager.stats().payloadBytes], [1, 1])
    }
    const next = pager.pageoutWith(backend, Uint8Array.of(3))
    handle[Symbol.dispose]()
    t.deepEqual([...pager.take(next)], [3], 'the place may serve the next payload')
    t.deepEqual([...pager.take(other)], [1])
    t.deepEqual([pager.stats().handles, pager.stats().usedBytes], [0, 0])
  })

  test(`'using' frees the place of a handle of the ${backend} backend at the end of its block`, t => {
    const pager = newPager(t)
    const lengths: number[] = []
    const attempt = () => {
      using handle = pager.pageoutWith(backend, pattern(10))
      using taken = pager.pageoutWith(backend, pattern(20))
      lengths.push(pager.take(taken).length, handle.length, pager.stats().handles)
      throw new Error('on the way')
    }
    t.throws(attempt, { message: 'on the way' })
    t.deepEqual(lengths, [20, 10, 1])
    t.deepEqual([pager.stats().handles, pager.stats().usedBytes], [0, 0])
  })

  test(`a used handle of the ${backend} backend is refused by every verb`, t => {
    const pager = newPager(t)
    const taken = pager.pageoutWith(backend, pattern(10))
    pager.take(taken)
    const disposed = pager.pageoutWith(backend, pattern(10))
    disposed[Symbol.dispose]()
    const refusal = { name: 'PageoutError', code: 'ERR_PAGEOUT_RELEASED' }
    const before = countsOf(pager)
    for (const handle of [taken, disposed]) {
      t.throws(() => pager.take(handle), refusal)
      t.throws(() => pager.tryTake(handle), refusal)
      t.throws(() => pager.readAt(handle, 0, 1), refusal)
      t.throws(() => pager.tryReadAt(handle, 0, 0), refusal)
      t.throws(() => pager.readAtMany(handle, []), refusal)
      t.throws(() => pager.tryReadAtMany(handle, [[0, 1]]), refusal)
      t.throws(() => pager.prefetch(handle), refusal)
    }
    t.deepEqual(countsOf(pager), before)
  })

  test(`forged handles are refused beside one of the ${backend} backend`, t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, pattern(10))
    const { length, byteLength, released } = handle
    const forged = [
      { length, byteLength, backend, released, [Symbol.dispose]() {} },
      Object.create(Handle.prototype),
      Object.create(handle),
      Object.setPrototypeOf({ ...handle }, Handle.prototype),
      new Proxy(handle, {}),
      ...clonesOf(handle),
      JSON.parse(JSON.stringify(handle)),
      Handle,
      Handle.prototype,
    ]
    const refusal = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE', message: /"handle".*Received/ }
    for (const fake of forged) {
      t.throws(() => pager.take(fake), refusal)
      t.throws(() => pager.readAt(fake, 0, 1), refusal)
      t.throws(() => pager.readAtMany(fake, [[0, 1]]), refusal)
      t.throws(() => pager.prefetch(fake), refusal)
      t.throws(() => pager.tryTake(fake), refusal)
    }
    sameBytes(t, pager.take(handle), pattern(10))
  })

  test(`a handle of the ${backend} backend shows no payload`, t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, Buffer.from('secret'))
    t.notRegex(
      inspect(handle, { showHidden: true, depth: 9 }) + JSON.stringify(handle) + String(handle),
      /secret|73 65 63/,
    )
  })

  test(`dropped handles of the ${backend} backend free their places`, async t => {
    const pager = newPager(t)
    const kept = pager.pageoutWith(backend, pattern(100))
    dropHandles(pager, backend, 1000)
    t.true(await collectUntil(() => pager.stats().handles === 1))
    t.is(pager.stats().payloadBytes, 100)
    t.is(pager.stats().usedBytes, backend === 'file' ? 4096 : 0)
    sameBytes(t, pager.take(kept), pattern(100))
    t.is(pager.stats().usedBytes, 0)
  })

  test(`a hundred thousand dropped handles of the ${backend} backend leave nothing behind`, async t => {
    const pager = newPager(t)
    for (let round = 0; round < 10; round += 1) {
      dropHandles(pager, backend, 10_000)
      t.true(await collectUntil(() => pager.stats().handles === 0))
    }
    const { pageouts, payloadBytes, usedBytes } = pager.stats()
    t.deepEqual({ pageouts, payloadBytes, usedBytes }, { pageouts: 100_000, payloadBytes: 0, usedBytes: 0 })
  })

  test(`a late collection of a disposed handle of the ${backend} backend frees no other payload`, async t => {
    const pager = newPager(t)
    let collected = false
    const registry = new FinalizationRegistry(() => {
      collected = true
    })
    disposeOne(pager, backend, registry)
    const next = pager.pageoutWith(backend, pattern(50))
    t.true(await collectUntil(() => collected))
    await collectUntil(() => false)
    t.is(pager.stats().handles, 1)
    sameBytes(t, pager.take(next), pattern(50))
  })
}

test('handles cannot be constructed', t => {
  const Forged = Handle as unknown as new (...rest: unknown[]) => object
  class Derived extends Forged {}
  const refusal = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE' }
  t.throws(() => new Forged(), refusal)
  t.throws(() => new Forged({}, Symbol('pageout')), refusal)
  t.throws(() => new Derived(), refusal)
  t.throws(() => Reflect.construct(Forged, [{}, {}], Object), refusal)
})

test('a handle outlives the closing of its pager as an empty shell', t => {
  for (const backend of backends) {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, Uint16Array.of(1, 2))
    pager.close()
    t.deepEqual([handle.length, handle.byteLength, handle.backend, handle.atRisk], [2, 4, backend, false])
    t.true(handle.released)
    handle[Symbol.dispose]()
    handle[Symbol.dispose]()
    t.true(handle.released)
  }
})

const testWithProc = hasProc ? test : test.skip

testWithProc('a dropped pager gives its disk space back', async t => {
  const directory = newDirectory(t)
  dropPager(directory)
  t.true(heldBytes(directory) > 0)
  t.true(await collectUntil(() => heldBytes(directory) === 0))
})

/** What a runtime that cannot refuse to clone makes of a handle. */
function clonesOf(handle: object): never[] {
  return 'markAsUncloneable' in workers ? [] : [structuredClone(handle) as never]
}

function dropHandles(pager: Pager, backend: 'file' | 'swap', count: number): void {
  for (let made = 0; made < count; made += 1) pager.pageoutWith(backend, Uint8Array.of(made))
}

function disposeOne(pager: Pager, backend: 'file' | 'swap', registry: FinalizationRegistry<undefined>): void {
  const handle = pager.pageoutWith(backend, pattern(10))
  registry.register(handle, undefined)
  handle[Symbol.dispose]()
}

function dropPager(scratchDir: string): void {
  new Pager({ scratchDir }).pageout(pattern(100_000))
}
