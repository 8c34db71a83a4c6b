/** Payloads that are kept out of core dumps. */

import test from 'ava'
import { Handle, Pager, take } from 'pageout'
import { Pager as PromisePager } from 'pageout/promises'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { excludedBytes } from './helpers/excluded.js'
import { newPager } from './helpers/places.js'

const onLinux = process.platform === 'linux' ? test.serial : test.skip

/** Pages at the edges of memory that was excluded before, which may go meanwhile. */
const EDGES = 256 * KIB

const options = { backend: 'swap', excludeFromCoreDumps: true } as const

onLinux('the memory of a payload is excluded until it is taken', t => {
  const pager = newPager(t, options)
  const before = excludedBytes()
  const handle = pager.pageout(pattern(8 * MIB))
  t.true(excludedBytes() - before >= 8 * MIB - EDGES)
  const back = pager.take(handle)
  // The first and the last page are shared with other memory, which somebody else may have excluded.
  t.true(excludedBytes() - before <= 8 * KIB, `${excludedBytes() - before}`)
  sameBytes(t, back, pattern(8 * MIB))
})

onLinux('the memory of a payload is excluded until it is released', t => {
  const pager = newPager(t, options)
  const before = excludedBytes()
  const handle = pager.pageout([pattern(4 * MIB), pattern(4 * MIB, 2)])
  t.true(excludedBytes() - before >= 8 * MIB - EDGES)
  handle[Symbol.dispose]()
  t.true(excludedBytes() - before <= 16 * KIB, `${excludedBytes() - before}`)
})

onLinux('copies are excluded as well as what is moved', async t => {
  const pager = newPager(t, options)
  await using promises = new PromisePager(options)
  const whole = pattern(8 * MIB)
  const before = excludedBytes()
  const held = [pager.pageout(whole, { detach: 'never' }), pager.pageout(whole.subarray(MIB))]
  t.true(excludedBytes() - before >= 15 * MIB - EDGES)
  const others = [await promises.pageout(pattern(2 * MIB)), await promises.pageoutFrom([pattern(2 * MIB)])]
  t.true(excludedBytes() - before >= 19 * MIB - EDGES)
  sameBytes(t, pager.take(held[0] as Handle<Uint8Array>), whole)
  sameBytes(t, await promises.take(others[1] as Handle<Uint8Array>), pattern(2 * MIB))
  // What the collector would free later would be missing in what other tests count.
  for (const handle of [...held, ...others]) handle[Symbol.dispose]()
})

onLinux('a payload on its way to another thread stays excluded, and where it arrives', t => {
  const pager = newPager(t, options)
  const before = excludedBytes()
  const token = pager.pageout(pattern(8 * MIB)).move()
  t.true(excludedBytes() - before >= 8 * MIB - EDGES)
  const handle = Handle.adopt(token)
  t.true(excludedBytes() - before >= 8 * MIB - EDGES)
  sameBytes(t, take(handle) as Uint8Array, pattern(8 * MIB))
})

onLinux('without the option nothing is excluded', t => {
  const pager = newPager(t, { backend: 'swap' })
  const before = excludedBytes()
  const handle = pager.pageout(pattern(8 * MIB))
  t.true(excludedBytes() - before < MIB)
  sameBytes(t, pager.take(handle), pattern(8 * MIB))
})

onLinux('no memory of a payload of the file backend is kept as a spare buffer', t => {
  const pager = newPager(t, { excludeFromCoreDumps: true })
  const handle = pager.pageout(pattern(MIB))
  t.is(pager.stats().spareBytes, 0)
  sameBytes(t, pager.take(handle), pattern(MIB))
})

test('the option must be a boolean', t => {
  const wrong = { excludeFromCoreDumps: 1 } as object
  t.throws(() => new Pager(wrong), { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE' })
})
