/** What a map of either form keeps to where it is used against the grain. */

import { tracingChannel } from 'node:diagnostics_channel'
import test from 'ava'
import type { PageoutError } from 'pageout'
import { pattern, sameBytes } from './helpers/chunks.js'
import { type AnyMap, BUDGET, chunkOfError, failureOf, forms, newMap, newPromiseMap } from './helpers/maps.js'

/** A promise, and what resolves it. */
function newGate(): { gate: Promise<void>; open: () => void } {
  let open = (): void => {}
  const gate = new Promise<void>(resolve => {
    open = resolve
  })
  return { gate, open }
}

for (const [form, openMap] of Object.entries(forms)) {
  test(`options are read once (${form})`, async t => {
    const reads: string[] = []
    const names = [
      'residentBytes',
      'backend',
      'maxBytes',
      'onEvict',
      'detach',
      'spareBytes',
      'encryption',
      'compression',
    ]
    const values: Record<string, unknown> = { residentBytes: BUDGET, maxBytes: 100, backend: 'file' }
    const options = {}
    for (const name of names) {
      const get = () => {
        reads.push(name)
        return values[name]
      }
      Object.defineProperty(options, name, { get })
    }
    const { PagedMap } = await (form === 'promise' ? import('pageout/map/promises') : import('pageout/map'))
    const map = new PagedMap(options as { residentBytes: number })
    t.deepEqual(reads.sort(), names.sort())
    t.is(map.stats().residentLimitBytes, BUDGET)
    await map.close()
  })

  test(`an update whose result is too long has that in its error (${form})`, async t => {
    const map = openMap(t, { maxBytes: 100 })
    await map.set('key', pattern(50, 1))
    const error = await failureOf(() => map.update('key', () => pattern(101, 2)))
    t.is(error.code, 'ERR_OUT_OF_RANGE')
    sameBytes(t, chunkOfError(error), pattern(101, 2))
    sameBytes(t, (await map.read('key')) as Uint8Array, pattern(50, 1))
  })

  test(`nothing is done with no keys of a closed map (${form})`, async t => {
    const map = openMap(t)
    await map.close()
    t.is((await failureOf(() => map.borrowAll([], () => t.fail('called')))).code, 'ERR_PAGEOUT_CLOSED')
  })
}

/** Why a set that waited for its turn fails then. */
const REASONS: Record<string, { options: object; code: string; prepare: (map: AnyMap) => unknown }> = {
  'all else is borrowed': {
    options: { maxBytes: 10_000 },
    code: 'ERR_PAGEOUT_BUDGET',
    prepare: map => map.borrow('other'),
  },
  'the capacity is reached': {
    options: { capacityBytes: 16_384 },
    code: 'ERR_PAGEOUT_CAPACITY',
    prepare: map => map.set('more', new Uint8Array(4096)),
  },
}

for (const [why, { options, code, prepare }] of Object.entries(REASONS)) {
  for (const detach of ['auto', 'never']) {
    test(`a set that waited and fails since ${why} gives the chunk back (detach ${detach})`, async t => {
      const map = newPromiseMap(t, { ...options, detach })
      await map.set('key', pattern(1, 1))
      await map.set('other', pattern(5000, 2))
      const { gate, open } = newGate()
      const update = map.update('key', async value => {
        await gate
        return value
      })
      const chunk = pattern(9000, 3)
      const failure = failureOf(() => map.set('key', chunk))
      t.is(chunk.length, detach === 'auto' ? 0 : 9000)
      await prepare(map as unknown as AnyMap)
      open()
      await update
      const error = await failure
      t.is(error.code, code)
      sameBytes(t, chunkOfError(error), pattern(9000, 3))
      if (detach === 'never') t.is(chunkOfError(error), chunk)
      sameBytes(t, (await map.read('key')) as Uint8Array, pattern(1, 1))
    })
  }
}

test('a map that is closed while an update sets back what it took is empty', async t => {
  for (let turns = 0; turns < 6; turns++) {
    const map = newPromiseMap(t)
    await map.set('key', pattern(200_000, 1))
    let closing: Promise<void> | undefined
    const close = async () => {
      for (let turn = 0; turn < turns; turn++) await null
      closing = map.close()
    }
    await failureOf(() =>
      map.update('key', () => {
        void close()
        throw new Error('work failed')
      }),
    )
    await (closing ?? map.close())
    t.deepEqual([map.size, map.byteLength], [0, 0])
  }
})

for (const moment of ['start', 'end'] as const) {
  const whenPagedOut = (react: () => void) => {
    const channel = tracingChannel('pageout:pageout')[moment]
    const once = () => {
      channel.unsubscribe(once)
      react()
    }
    channel.subscribe(once)
  }

  test.serial(`a subscriber that sets values at the ${moment} of a pageout gets nothing past maxBytes`, t => {
    const map = newMap(t, { maxBytes: 100 })
    map.set('old', pattern(60, 1))
    whenPagedOut(() => map.set('other', pattern(90, 2)))
    map.set('key', pattern(60, 3))
    t.deepEqual([...map.keys()], ['key'])
    t.deepEqual([map.stats().handles, map.byteLength], [1, 60])
  })

  test.serial(`a subscriber that borrows all at the ${moment} of a pageout makes the set give its chunk back`, t => {
    const map = newMap(t, { maxBytes: 100 })
    map.set('old', pattern(60, 1))
    whenPagedOut(() => map.borrow('old'))
    const error = t.throws<PageoutError>(() => map.set('key', pattern(60, 3)), { code: 'ERR_PAGEOUT_BUDGET' })
    sameBytes(t, chunkOfError(error as PageoutError), pattern(60, 3))
    t.deepEqual([...map.keys()], ['old'])
    t.is(map.stats().handles, 1)
  })
}

test.serial('a subscriber that closes the map when a pageout is over leaves it empty', t => {
  const map = newMap(t)
  const { end } = tracingChannel('pageout:pageout')
  const close = () => map.close()
  end.subscribe(close)
  map.set('key', pattern(60, 1))
  end.unsubscribe(close)
  t.deepEqual([map.size, map.byteLength], [0, 0])
})

test('a clear that is aborted says so, also of an empty map', async t => {
  const map = newPromiseMap(t)
  t.is((await failureOf(() => map.clear({ signal: AbortSignal.abort() }))).code, 'ABORT_ERR')
})

test('a borrow for too many keys holds nothing afterwards', t => {
  const map = newMap(t)
  map.set('key', pattern(10, 1))
  const keys = Array<string>(2 ** 20).fill('key')
  t.throws(() => map.borrowAll(keys, () => t.fail('called')), { instanceOf: RangeError })
  t.is(map.stats().borrowedBytes, 0)
})
