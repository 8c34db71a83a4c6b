/** `detach` as an option of a pager: what becomes of chunks where a call says nothing, and caches whose values others hold. */

import test, { type ExecutionContext } from 'ava'
import { type Detach, type Handle, Pager, type PagerOptions } from 'pageout'
import * as promises from 'pageout/promises'
import { backends, KIB, pattern, sameBytes } from './helpers/chunks.js'
import { newDirectory, newPager } from './helpers/places.js'

const NOT_DETACHABLE = { instanceOf: TypeError, code: 'ERR_PAGEOUT_NOT_DETACHABLE' }

/** Each way to page chunks out, in a pager with some options. */
function forms(
  t: ExecutionContext,
  options: PagerOptions,
): Record<
  string,
  (chunks: Uint8Array | Uint8Array[], call?: { detach?: Detach | undefined }) => Promise<Handle<Uint8Array>>
> {
  const sync = newPager(t, options)
  const later = new promises.Pager({ scratchDir: newDirectory(t), ...options })
  t.teardown(() => later.close())
  return {
    pageout: async (chunks, call) => sync.pageout(chunks, call),
    pageoutWith: async (chunks, call) => sync.pageoutWith(options.backend ?? 'file', chunks, call),
    tryPageout: async (chunks, call) => {
      const result = sync.tryPageout(chunks, call)
      if (!result.ok) throw result.error
      return result.value
    },
    'promised pageout': (chunks, call) => later.pageout(chunks, call),
    'promised pageoutWith': (chunks, call) => later.pageoutWith(options.backend ?? 'file', chunks, call),
  }
}

for (const backend of backends) {
  test(`a pager with 'never' leaves every chunk as it was, unless the call says otherwise (${backend})`, async t => {
    for (const [name, pageout] of Object.entries(forms(t, { backend, detach: 'never' }))) {
      for (const options of [undefined, {}, { detach: undefined }, { detach: 'never' as const }]) {
        const chunks = [pattern(100), pattern(70 * KIB, 2)]
        const handle = await pageout(chunks, options)
        t.deepEqual([chunks[0]?.length, chunks[1]?.length], [100, 70 * KIB], name)
        chunks[0]?.fill(9)
        sameBytes(t, await promises.take(handle), Buffer.concat([pattern(100), pattern(70 * KIB, 2)]), name)
      }
      for (const detach of ['auto', 'required'] as const) {
        const chunk = pattern(100)
        const handle = await pageout(chunk, { detach })
        t.is(chunk.length, 0, `${name}, ${detach}`)
        sameBytes(t, await promises.take(handle), pattern(100), name)
      }
    }
  })

  test(`a pager with 'required' refuses what cannot be detached, unless the call says otherwise (${backend})`, async t => {
    for (const [name, pageout] of Object.entries(forms(t, { backend, detach: 'required' }))) {
      const part = pattern(100).subarray(1)
      const whole = pattern(50)
      for (const options of [undefined, {}, { detach: undefined }]) {
        await t.throwsAsync(pageout([whole, part], options), NOT_DETACHABLE, name)
        t.deepEqual([whole.length, part.length], [50, 99])
      }
      for (const detach of ['auto', 'never'] as const) {
        const handle = await pageout(part, { detach })
        sameBytes(t, await promises.take(handle), pattern(100).subarray(1), name)
        t.is(part.length, 99)
      }
      const handle = await pageout(whole)
      t.is(whole.length, 0, name)
      sameBytes(t, await promises.take(handle), pattern(50), name)
    }
  })

  test(`a pager with 'auto', or that says nothing, detaches what it can (${backend})`, async t => {
    for (const options of [{}, { detach: undefined }, { detach: 'auto' as const }]) {
      for (const [name, pageout] of Object.entries(forms(t, { backend, ...options }))) {
        const [whole, part] = [pattern(50), pattern(100).subarray(1)]
        const handle = await pageout([whole, part])
        t.deepEqual([whole.length, part.length], [0, 99], name)
        sameBytes(t, await promises.take(handle), Buffer.concat([pattern(50), pattern(100).subarray(1)]), name)
        const kept = pattern(50)
        ;(await pageout(kept, { detach: 'never' })).release()
        t.is(kept.length, 50, name)
        await t.throwsAsync(pageout(part, { detach: 'required' }), NOT_DETACHABLE, name)
      }
    }
  })
}

test('a wrong detach of a pager is refused before anything is opened', t => {
  for (const detach of ['Auto', '', null, true, 1, {}, ['auto']]) {
    for (const Class of [Pager, promises.Pager]) {
      t.throws(() => new Class({ detach: detach as never }), {
        instanceOf: TypeError,
        code: 'ERR_INVALID_ARG_VALUE',
        message: /"options\.detach".*'auto', 'never', 'required'.*Received/,
      })
    }
  }
})

test('a cache that pages out what it evicts leaves values that somebody still holds as they are', t => {
  const pager = newPager(t, { detach: 'never' })
  const out = new Map<string, Handle<Buffer>>()
  const cache = new LeastRecentlyUsed<Buffer>(2, (key, value) => out.set(key, pager.pageout(value)))
  // One has memory of its own, one is a part of the pool: neither may become empty in the hands of who holds it.
  const values = {
    alone: Buffer.alloc(5000, 1),
    pooled: Buffer.from('two'),
    one: Buffer.alloc(9, 3),
    other: Buffer.alloc(9, 4),
  }
  for (const [key, value] of Object.entries(values)) cache.set(key, value)
  t.deepEqual([...out.keys()], ['alone', 'pooled'])
  t.deepEqual(
    Object.values(values).map(({ length }) => length),
    [5000, 3, 9, 9],
  )
  values.alone.fill(7)
  t.deepEqual(pager.take(out.get('alone') as Handle<Buffer>), Buffer.alloc(5000, 1))
  t.is(pager.take(out.get('pooled') as Handle<Buffer>).toString(), 'two')
})

/** As small as a cache can be. */
class LeastRecentlyUsed<V> extends Map<string, V> {
  readonly #max: number
  readonly #dispose: (key: string, value: V) => void

  constructor(max: number, dispose: (key: string, value: V) => void) {
    super()
    this.#max = max
    this.#dispose = dispose
  }

  override set(key: string, value: V): this {
    this.delete(key)
    super.set(key, value)
    const [oldest] = this
    if (this.size > this.#max && oldest) {
      this.delete(oldest[0])
      this.#dispose(...oldest)
    }
    return this
  }
}
