import assert from 'node:assert/strict'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { PagedChunkStore } from './paged-chunk-store.mjs'

/** The functions of a store as promises. */
function open(...args) {
  const store = new PagedChunkStore(...args)
  return Object.fromEntries(['put', 'get', 'close'].map(name => [name, promisify(store[name].bind(store))]))
}

test('ten times as many chunks as may be in memory come back as they were put', async () => {
  const chunkLength = 16 * 1024
  const { put, get, close } = open(chunkLength, { length: 100 * chunkLength - 1, residentBytes: 10 * chunkLength })
  const chunkOf = index => new Uint8Array(index === 99 ? chunkLength - 1 : chunkLength).fill(index)
  await Promise.all(Array.from({ length: 100 }, (_, index) => put(index, chunkOf(index))))
  for (let index = 99; index >= 0; index--) assert.deepEqual(await get(index, {}), chunkOf(index))
  assert.deepEqual(await get(99, { offset: chunkLength - 3 }), Uint8Array.of(99, 99))
  await close()
})

test('a chunk that was put is still whole, and may be changed', async () => {
  const { put, get, close } = open(100_000)
  const chunk = Buffer.alloc(100_000, 1)
  const done = put(0, chunk)
  assert.equal(chunk.fill(2).length, 100_000)
  await done
  assert.deepEqual(await get(0, null), Buffer.alloc(100_000, 1))
  await close()
})

test('a get that is called before the put has ended sees its chunk', async () => {
  const { put, get, close } = open(3)
  const both = [put(0, Buffer.from('abc')), get(0, {}), put(0, Buffer.from('def')), get(0, {})]
  const [, first, , second] = await Promise.all(both)
  assert.deepEqual([`${first}`, `${second}`], ['abc', 'def'])
  await close()
})

test('errors come to the callback', async () => {
  const { put, get, close } = open(10, { length: 25 })
  await assert.rejects(put(2, new Uint8Array(10)), /chunk 2 has 10 bytes instead of 5/)
  await assert.rejects(get(0, {}), { notFound: true })
  await put(0, new Uint8Array(10))
  await assert.rejects(get(0, { offset: 8, length: 3 }), { code: 'ERR_OUT_OF_RANGE' })
  await close()
  await assert.rejects(get(0, {}), { code: 'ERR_PAGEOUT_CLOSED' })
  await assert.rejects(put(0, new Uint8Array(10)), { code: 'ERR_PAGEOUT_CLOSED' })
  assert.throws(() => open(0), RangeError)
})

test('what a callback throws is not swallowed', async () => {
  const store = new PagedChunkStore(3)
  const error = new Error('from the callback')
  const thrown = new Promise(resolve => process.setUncaughtExceptionCaptureCallback(resolve))
  store.put(0, Buffer.from('abc'), () => {
    throw error
  })
  assert.equal(await thrown, error)
  process.setUncaughtExceptionCaptureCallback(null)
  store.destroy()
})
