import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pager } from 'pageout'
import { SpillingCache } from './spilling-cache.mjs'

const KIB = 1024
const filled = (value, length = KIB) => new Uint8Array(length).fill(value)

/** A cache for two arrays of 1 KiB in memory and three on the disk, its pager, and a clock that stands. */
function small(options = {}) {
  const pager = options.pager ?? new Pager({ detach: 'never' })
  const clock = { time: 1, now: () => clock.time }
  const cache = new SpillingCache({
    ...{ maxSize: 2 * KIB, coldBytes: 3 * KIB, ttlResolution: 0, perf: clock },
    ...options,
    pager,
  })
  return { cache, clock, handles: () => pager.stats().handles, pager }
}

test('what is evicted is paged out, and get takes it back', () => {
  const { cache, handles, pager } = small()
  for (let key = 0; key < 5; key++) cache.set(key, filled(key))
  assert.equal(handles(), 3)
  for (let key = 0; key < 5; key++) {
    assert.deepEqual(cache.get(key), filled(key))
    assert.equal(handles(), 3, 'another one has gone out for it')
  }
  assert.equal(pager.stats().takes, 5)
})

test('an array that somebody holds stays whole when it is evicted', () => {
  const { cache } = small()
  cache.set('held', filled(7))
  const held = cache.get('held')
  for (let key = 0; key < 3; key++) cache.set(key, filled(key))
  assert.deepEqual(held, filled(7))
  assert.deepEqual(cache.get('held'), held)
})

test('the second tier frees what it drops, and is as large as it may be', () => {
  const { cache, handles, pager } = small()
  for (let key = 0; key < 100; key++) cache.set(key, filled(key))
  assert.equal(handles(), 3)
  assert.equal(pager.stats().payloadBytes, 3 * KIB)
  assert.equal(pager.stats().pageouts, 98)
  assert.equal(cache.get(0), undefined)
  assert.deepEqual(cache.get(95), filled(95))
})

test('set: the old value of a key is in neither tier', () => {
  const { cache, handles, pager } = small()
  cache.set('key', filled(1)).set('key', filled(2))
  assert.equal(pager.stats().pageouts, 0, 'what was replaced is not paged out')
  cache.set('a', filled(3)).set('b', filled(4))
  assert.equal(handles(), 1)
  cache.set('key', filled(5))
  assert.equal(handles(), 1, 'its old value was freed, and another evicted')
  assert.deepEqual(cache.get('key'), filled(5))
  cache.set('key', filled(6, 9 * KIB))
  assert.equal(cache.get('key'), undefined, 'too long for the cache, but the old value does not come back')
  assert.equal(cache.set('a', undefined).has('a'), false)
})

test('delete and clear: nothing is paged out, and what is out is freed', () => {
  const { cache, handles, pager } = small()
  for (let key = 0; key < 4; key++) cache.set(key, filled(key))
  assert.equal(cache.delete(0), true)
  assert.equal(cache.delete(3), true)
  assert.equal(cache.delete(3), false)
  assert.equal(handles(), 1)
  cache.clear()
  assert.equal(handles(), 0)
  assert.equal(pager.stats().pageouts, 2)
  for (let key = 0; key < 4; key++) assert.equal(cache.has(key), false)
})

test('expire: a value has the same time to live in both tiers', () => {
  const { cache, clock, handles, pager } = small({ ttl: 100 })
  cache.set('paged out', filled(1))
  clock.time += 60
  cache.set('in memory', filled(2)).set('other', filled(3))
  assert.equal(handles(), 1)
  assert.deepEqual(cache.get('paged out'), filled(1))
  clock.time += 50
  assert.equal(cache.get('paged out'), undefined, 'taking it back has not renewed it')
  assert.deepEqual(cache.get('in memory'), filled(2))
  clock.time += 60
  assert.equal(cache.get('in memory'), undefined)
  assert.equal(handles(), 0)

  const { pageouts } = pager.stats()
  cache.set('a', filled(1)).set('b', filled(2))
  clock.time += 101
  cache.set('c', filled(3)).set('d', filled(4))
  assert.equal(pager.stats().pageouts, pageouts, 'evicted after it had expired')
  cache.set('e', filled(5))
  clock.time += 101
  assert.equal(cache.get('c'), undefined)
  assert.equal(handles(), 0, 'expired while it was out')
})

test('fetch: what is paged out is not fetched, and what is fetched anew has replaced it', async () => {
  const fetched = []
  const fetchMethod = async key => {
    fetched.push(key)
    if (key === 'fails') throw new Error('no such key')
    return key === 'nothing' ? undefined : filled(fetched.length)
  }
  const { cache, handles, pager } = small({ fetchMethod })
  assert.deepEqual(await cache.fetch('a'), filled(1))
  for (const key of ['b', 'c']) await cache.fetch(key)
  assert.equal(handles(), 1)
  assert.deepEqual(await cache.fetch('a'), filled(1))
  assert.deepEqual(fetched, ['a', 'b', 'c'])

  assert.deepEqual(await cache.fetch('a', { forceRefresh: true }), filled(4))
  assert.deepEqual(cache.get('a'), filled(4))
  const { pageouts } = pager.stats()
  assert.equal(await cache.fetch('nothing'), undefined)
  await assert.rejects(cache.fetch('fails'), /no such key/)
  const pending = cache.fetch('d')
  cache.delete('d')
  await assert.rejects(pending, /deleted/)
  assert.equal(cache.has('d'), false)
  cache.clear()
  assert.equal(handles(), 0)
  assert.ok(pager.stats().pageouts - pageouts <= 2, 'only what was evicted to make room')
})

test('fetch: a valid value that is evicted while it is refreshed is paged out', async () => {
  const { cache, handles } = small({ fetchMethod: () => new Promise(() => {}) })
  cache.set('key', filled(1))
  const refreshed = cache.fetch('key', { forceRefresh: true })
  cache.set('a', filled(2)).set('b', filled(3))
  await assert.rejects(refreshed, /evicted/)
  assert.equal(handles(), 1)
  assert.deepEqual(cache.get('key'), filled(1))
})

test('fetch: what arrives after that replaces it', async () => {
  let arrive
  const fetchMethod = () => new Promise(resolve => (arrive = resolve))
  const { cache, handles } = small({ fetchMethod, ignoreFetchAbort: true, allowStaleOnFetchAbort: true })
  cache.set('key', filled(1))
  const refreshed = cache.fetch('key', { forceRefresh: true })
  cache.set('a', filled(2)).set('b', filled(3)).delete('a')
  assert.equal(handles(), 1)
  arrive(filled(4))
  await refreshed
  assert.deepEqual(cache.get('key'), filled(4))
  assert.equal(handles(), 0)
})

test('a full disk costs the cache what is evicted, and is reported', () => {
  const errors = []
  const pager = new Pager({ detach: 'never', capacityBytes: 8 * KIB })
  const { cache, handles } = small({
    coldBytes: 100 * KIB,
    pager,
    onSpillError: (error, key) => errors.push([error, key]),
  })
  for (let key = 0; key < 6; key++) cache.set(key, filled(key))
  assert.equal(handles(), 2)
  assert.deepEqual(
    errors.map(([{ code }, key]) => [code, key]),
    [
      ['ERR_PAGEOUT_CAPACITY', 2],
      ['ERR_PAGEOUT_CAPACITY', 3],
    ],
  )
  assert.deepEqual(cache.get(0), filled(0))
})

test('random operations: a key has the value that was set last, or none', () => {
  const { cache, clock, handles } = small({ maxSize: 20 * KIB, coldBytes: 60 * KIB, ttl: 500 })
  const last = new Map()
  let [state, hits] = [1, 0]
  const random = limit => {
    state = (state * 48_271) % 2_147_483_647
    return state % limit
  }
  for (let step = 1; step <= 20_000; step++) {
    const key = random(60)
    clock.time += random(3)
    if (random(3) === 0) {
      const value = filled(step % 256, 1 + random(4 * KIB))
      cache.set(key, value)
      last.set(key, { value, expires: clock.time + 500 })
    } else if (random(50) === 0) {
      cache.delete(key)
      last.delete(key)
    } else {
      const found = cache.get(key)
      if (found === undefined) continue
      hits++
      const { value, expires } = last.get(key) ?? assert.fail(`${key} was deleted`)
      assert.deepEqual(found, value)
      assert.ok(clock.time <= expires)
    }
  }
  assert.ok(hits > 5000, `${hits} hits`)
  cache.clear()
  assert.equal(handles(), 0)
})
