import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get } from 'node:http'
import { test } from 'node:test'
import { makeDataset, summary } from './dataset.mjs'
import { openServer as openLruServer } from './lru-server.mjs'
import { openServer } from './server.mjs'

const COUNT = 20
const LENGTH = 16 * 1024
/** A quarter of all. */
const SMALL = { count: COUNT, length: LENGTH, residentBytes: 5 * LENGTH * 8 }

const json = async response => {
  assert.equal(response.status, 200)
  return await response.json()
}

for (const [name, open] of Object.entries({ pageout: openServer, 'lru-cache': openLruServer })) {
  test(`${name}: every answer is right, with four clients and more datasets than memory`, async () => {
    const app = await open(SMALL)
    try {
      const base = await app.listen({ port: 0 })
      const client = async first => {
        for (let step = 0; step < 50; step++) {
          const id = (first * 7 + step * 3) % COUNT
          const [from, to] = [step * 100, step * 100 + 5000]
          const answer = await json(await fetch(`${base}/datasets/${id}/summary?from=${from}&to=${to}`))
          assert.deepEqual(answer, summary(makeDataset(id, LENGTH), from, to))
        }
      }
      await Promise.all([0, 1, 2, 3].map(client))
      const { reads } = await json(await fetch(`${base}/reads`))
      assert.ok(reads > COUNT / 2, `${reads} reads`)
      assert.equal((await fetch(`${base}/datasets/${COUNT}/summary?from=0&to=1`)).status, 404)
    } finally {
      await app.close()
    }
  })
}

test('numbers are read without bringing their dataset into memory', async () => {
  const app = await openServer(SMALL)
  const before = app.datasets.stats().residentBytes
  for (let id = 0; id < COUNT; id++) {
    const { statusCode, body } = await app.inject(`/datasets/${id}/values?from=100&to=103`)
    assert.equal(statusCode, 200)
    assert.deepEqual(JSON.parse(body), Array.from(makeDataset(id, LENGTH).subarray(100, 103)))
  }
  assert.equal(app.datasets.stats().residentBytes, before)
  for (const range of ['from=5&to=1', `from=0&to=${LENGTH + 1}`, 'from=-1&to=2', 'from=1']) {
    assert.equal((await app.inject(`/datasets/1/values?${range}`)).statusCode, 400, range)
  }
  await app.close()
})

test('where all of the budget is in use, the answer is 503 and when to try again', async () => {
  const app = await openServer(SMALL)
  const borrows = []
  for (let id = 0; id < 5; id++) borrows.push(await app.datasets.borrow(String(id)))
  const path = '/datasets/9/summary?from=0&to=9'
  const { statusCode, headers } = await app.inject(path)
  assert.deepEqual([statusCode, headers['retry-after']], [503, '1'])
  assert.equal((await app.inject('/health')).statusCode, 200)
  for (const borrowed of borrows) borrowed.release()
  assert.equal((await app.inject(path)).statusCode, 200)
  await app.close()
})

/** Has the requests of a dataset wait until the result is called. */
function hold(app, id) {
  let letGo
  const held = new Promise(resolve => {
    letGo = resolve
  })
  const update = app.datasets.update(id, async values => {
    await held
    return values
  })
  return async () => {
    letGo()
    await update
  }
}

test('a client that leaves ends what is done for it', async () => {
  const app = await openServer(SMALL)
  const failed = new Promise(resolve => app.addHook('onError', async (_request, _reply, error) => resolve(error)))
  const base = await app.listen({ port: 0 })
  const letGo = hold(app, '3')
  const began = once(app.server, 'request')
  const asked = get(`${base}/datasets/3/summary?from=0&to=9`, { agent: false })
  const left = once(asked, 'error')
  await began
  asked.destroy(new Error('the client leaves'))
  await left
  assert.equal((await failed).code, 'ABORT_ERR')
  await letGo()
  await app.close()
})

test('a server that closes answers the requests that it has, and then frees everything', async () => {
  const app = await openServer(SMALL)
  const base = await app.listen({ port: 0 })
  const letGo = hold(app, '3')
  const began = once(app.server, 'request')
  const answer = fetch(`${base}/datasets/3/summary?from=0&to=9`)
  await began
  const closed = app.close()
  await letGo()
  assert.equal((await json(await answer)).count, 9)
  await closed
  assert.throws(() => app.datasets.stats(), { code: 'ERR_PAGEOUT_CLOSED' })
})
