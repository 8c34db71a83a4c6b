import assert from 'node:assert/strict'
import { test } from 'node:test'
import Keyv from 'keyv'
import { PagedMap } from 'pageout/map/promises'
import { KeyvPageout } from './keyv-pageout.mjs'

const MIB = 2 ** 20
const open = (values, options) => new Keyv({ store: new KeyvPageout(values), throwOnErrors: true, ...options })

test('many times what may be in memory', async () => {
  const values = new PagedMap({ residentBytes: MIB })
  const keyv = open(values)
  const textOf = index => `é${index}`.repeat(50_000)
  await Promise.all(Array.from({ length: 100 }, (_, index) => keyv.set(`${index}`, textOf(index))))
  for (let index = 0; index < 100; index++) assert.equal(await keyv.get(`${index}`), textOf(index))
  const { residentBytes, evictions, payloadBytes } = values.stats()
  assert.ok(residentBytes <= MIB && evictions > 0 && payloadBytes > 15 * MIB)

  await Promise.all(Array.from({ length: 100 }, (_, index) => keyv.get(`${index}`))) // more than may be borrowed at once
  await keyv.disconnect()
  await assert.rejects(keyv.get('0'), { code: 'ERR_PAGEOUT_CLOSED' })
})

test('with maxBytes old values go, and their space is free', async () => {
  const values = new PagedMap({ residentBytes: MIB, maxBytes: 10_000 })
  const keyv = open(values)
  for (let index = 0; index < 100; index++) await keyv.set(`${index}`, 'x'.repeat(1000))
  assert.equal(await keyv.get('0'), undefined)
  assert.equal(await keyv.get('99'), 'x'.repeat(1000))
  const { handles, payloadBytes } = values.stats()
  assert.ok(handles < 11 && payloadBytes <= 10_000, `${handles} values of ${payloadBytes} bytes`)
  await keyv.disconnect()
})

test('clear, delete and an expired value leave nothing behind', async () => {
  const values = new PagedMap({ residentBytes: MIB })
  const [one, two] = ['one', 'two'].map(namespace => open(values, { namespace }))
  await one.set('a', 1)
  await two.set('a', 2)
  await one.clear()
  assert.deepEqual([await one.get('a'), await two.get('a')], [undefined, 2])
  await two.delete('a')
  await two.set('b', 1, 1)
  await new Promise(resolve => setTimeout(resolve, 5))
  assert.equal(await two.get('b'), undefined)
  assert.equal(values.stats().handles, 0)
  await values.close()
})

test('what is no text is refused', async () => {
  const keyv = open({ residentBytes: MIB }, { serialize: undefined, deserialize: undefined })
  await assert.rejects(keyv.set('key', { a: 1 }), TypeError)
  await keyv.disconnect()
})
