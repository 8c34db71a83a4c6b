/** `error.chunks`: whatever way a pageout fails, its error has all chunks, whole. */

import { existsSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Backend, Detach, Pager, Result } from 'pageout'
import * as promises from 'pageout/promises'
import { runChild } from './helpers/child.js'
import { backends, KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { isReached } from './helpers/collect.js'
import { newDirectory, newPager } from './helpers/places.js'

type Options = { backend?: Backend; detach?: Detach; signal?: AbortSignal }
type Failure = Error & { readonly code?: string; readonly chunks?: readonly Uint8Array[] }

/** Three chunks: one that can be detached, a part of a buffer, and one without bytes. */
const chunksOf = (byteLength: number) => [pattern(byteLength), pattern(100, 2).subarray(10, 60), new Uint8Array(0)]

/** Asserts that the chunks are all there, and that showing the error does not show them. */
function hasChunks(t: ExecutionContext, error: Failure, byteLength: number, where = ''): void {
  const { chunks = [] } = error
  t.true(Array.isArray(error.chunks), where)
  t.is(chunks.length, 3, where)
  for (const [index, expected] of chunksOf(byteLength).entries()) {
    sameBytes(t, chunks[index] as Uint8Array, expected, `${where}, chunk ${index}`)
    t.is(Object.getPrototypeOf(chunks[index]), Uint8Array.prototype)
  }
  t.false(Object.keys(error).includes('chunks'), where)
  t.false(JSON.stringify(error).includes('chunks'), where)
  t.false(inspect(error).includes('Uint8Array'), where)
}

/** The chunks are the caller's own objects, and as they were. */
function areOwn(t: ExecutionContext, error: Failure, own: readonly Uint8Array[], where = ''): void {
  own.forEach((chunk, index) => {
    t.is(error.chunks?.[index], chunk, `${where}, chunk ${index}`)
  })
}

async function failureOf(call: () => unknown): Promise<Failure> {
  try {
    const value = await call()
    const result = value as Result<unknown> | undefined
    if (result && 'ok' in result && !result.ok) return result.error as Failure
  } catch (error) {
    return error as Failure
  }
  throw new Error('it did not fail')
}

const SYNC = ['pageout', 'pageoutWith', 'tryPageout', 'tryPageoutWith'] as const

/** Calls of a pager of either kind, as functions of chunks and options. */
function callsOf(pager: Pager | promises.Pager, backend: Backend) {
  return SYNC.map(verb => {
    const call = (chunks: Uint8Array[] | Uint8Array, { backend: _ = backend, ...options }: Options = {}) =>
      verb === 'pageout' || verb === 'tryPageout'
        ? pager[verb](chunks, { backend, ...options })
        : pager[verb](backend, chunks, options)
    return [verb, call] as const
  })
}

for (const byteLength of [1000, 200 * KIB]) {
  test(`a pageout of ${byteLength} bytes without room has its chunks in its error`, async t => {
    const options = { scratchDir: newDirectory(t), capacityBytes: 4096 }
    const [pager, later] = [newPager(t, options), new promises.Pager(options)]
    const first = pager.pageout(new Uint8Array(4096))
    for (const [verb, call] of callsOf(pager, 'file')) {
      const own = chunksOf(byteLength)
      const error = await failureOf(() => call(own))
      t.is(error.code, 'ERR_PAGEOUT_CAPACITY')
      hasChunks(t, error, byteLength, verb)
      areOwn(t, error, own, verb)
    }
    first.release()
    const full = await later.pageout(new Uint8Array(4096))
    for (const [verb, call] of callsOf(later, 'file')) {
      const own = chunksOf(byteLength)
      const error = await failureOf(() => call(own))
      t.is(error.code, 'ERR_PAGEOUT_CAPACITY')
      hasChunks(t, error, byteLength, verb)
      t.is(own[0]?.length, 0, 'it was taken')
      t.is(error.chunks?.[1], own[1])
      t.is(error.chunks?.[2], own[2])
      const kept = chunksOf(byteLength)
      areOwn(t, await failureOf(() => call(kept, { detach: 'never' })), kept, verb)
    }
    full.release()
    await later.close()
  })
}

for (const backend of backends) {
  test(`a pageout of a closed pager has its chunks in its error (${backend})`, async t => {
    const [pager, later] = [newPager(t), new promises.Pager()]
    pager.close()
    const closing = later.close()
    for (const [verb, call] of [...callsOf(pager, backend), ...callsOf(later, backend)]) {
      const own = chunksOf(500)
      const error = await failureOf(() => call(own))
      t.is(error.code, 'ERR_PAGEOUT_CLOSED')
      hasChunks(t, error, 500, verb)
      areOwn(t, error, own, verb)
      const [alone] = chunksOf(500) as [Uint8Array]
      const { chunks } = await failureOf(() => call(alone))
      t.is(chunks?.length, 1, 'one chunk makes an array of one')
      t.is(chunks?.[0], alone)
    }
    await closing
  })

  test(`a pageout with a wrong argument has its chunks in its error (${backend})`, async t => {
    const [pager, later] = [newPager(t), new promises.Pager()]
    for (const [verb, call] of [...callsOf(pager, backend), ...callsOf(later, backend)]) {
      const wrong: [Uint8Array[], Options, string][] = [
        [chunksOf(500), { detach: 'required' }, 'ERR_PAGEOUT_NOT_DETACHABLE'],
        [chunksOf(500), { detach: 'often' as 'never' }, 'ERR_INVALID_ARG_VALUE'],
      ]
      for (const [own, options, code] of wrong) {
        const error = await failureOf(() => call(own, options))
        t.is(error.code, code, verb)
        hasChunks(t, error, 500, verb)
        areOwn(t, error, own, verb)
      }
      const mixed = [new Uint8Array(3), new Int8Array(3)] as Uint8Array[]
      areOwn(t, await failureOf(() => call(mixed)), mixed, verb)
    }
    t.is(pager.stats().pageouts + later.stats().pageouts, 0)
    await later.close()
  })

  test(`a pageout that was aborted before has its chunks in its error (${backend})`, async t => {
    const pager = new promises.Pager()
    const signal = AbortSignal.abort('why')
    for (const [verb, call] of callsOf(pager, backend)) {
      for (const byteLength of [500, MIB]) {
        const own = chunksOf(byteLength)
        const error = await failureOf(() => call(own, { signal }))
        t.deepEqual([error.name, error.code, error.cause], ['AbortError', 'ABORT_ERR', 'why'])
        hasChunks(t, error, byteLength, verb)
        areOwn(t, error, own, verb)
      }
    }
    t.is(pager.stats().handles, 0)
    await pager.close()
  })

  for (const [when, byteLength, count] of [
    ['waits in a batch', 1000, 40],
    ['waits for a thread', MIB, 16],
  ] as const) {
    test(`a pageout that is aborted while it ${when} has its chunks in its error, or went out (${backend})`, async t => {
      const pager = new promises.Pager()
      for (const detach of ['auto', 'never'] as const) {
        const controller = new AbortController()
        const { signal } = controller
        const owns = Array.from({ length: count }, () => chunksOf(byteLength))
        const calls = owns.map(own => pager.pageoutWith(backend, own, { signal, detach }))
        controller.abort('why')
        const outcomes = await Promise.allSettled(calls)
        let stored = 0
        for (const [index, outcome] of outcomes.entries()) {
          if (outcome.status === 'fulfilled') {
            stored += 1
            sameBytes(t, await pager.take(outcome.value), Buffer.concat(chunksOf(byteLength)))
            continue
          }
          const error = outcome.reason as Failure
          t.deepEqual([error.name, error.code, error.cause], ['AbortError', 'ABORT_ERR', 'why'])
          hasChunks(t, error, byteLength, `${detach}, call ${index}`)
          if (detach === 'never') areOwn(t, error, owns[index] as Uint8Array[])
        }
        t.true(stored < count, 'some were aborted')
        if (when === 'waits in a batch' && backend === 'file') t.is(stored, 0, 'none had started')
        t.true(await isReached(() => pager.stats().handles === 0))
        t.is(pager.stats().usedBytes, 0)
      }
      await pager.close()
    })
  }
}

test('a pageout that is aborted while it is written has its chunks in its error', async t => {
  const pager = new promises.Pager()
  let aborted = 0
  for (let turns = 0; turns < 20; turns++) {
    for (const byteLength of [1000, 20 * MIB]) {
      const controller = new AbortController()
      const pending = pager.pageout(chunksOf(byteLength), { signal: controller.signal })
      for (let turn = 0; turn < turns; turn++) await (turns % 2 === 0 ? undefined : setImmediate())
      controller.abort('why')
      const [outcome] = await Promise.allSettled([pending])
      if (outcome.status === 'fulfilled') {
        sameBytes(t, await pager.take(outcome.value), Buffer.concat(chunksOf(byteLength)))
        continue
      }
      aborted += 1
      t.is(outcome.reason.cause, 'why')
      hasChunks(t, outcome.reason, byteLength)
      t.deepEqual([pager.stats().handles, pager.stats().usedBytes], [0, 0])
    }
  }
  t.true(aborted > 5, String(aborted))
  await pager.close()
})

test("what the caller's own code throws is left as it is", async t => {
  const [pager, later] = [newPager(t), new promises.Pager()]
  const frozen = Object.freeze(new Error('frozen'))
  for (const thrown of [
    new Error('mine'),
    new TypeError('mine'),
    frozen,
    { code: 'ERR_PAGEOUT_CAPACITY' },
    'text',
    null,
  ]) {
    const options = Object.defineProperty({}, 'detach', {
      get() {
        throw thrown
      },
    })
    const chunk = pattern(10)
    const before = typeof thrown === 'object' && thrown ? Reflect.ownKeys(thrown) : []
    for (const call of [() => pager.pageout(chunk, options), () => later.tryPageout(chunk, options)]) {
      let caught: unknown = 'nothing'
      try {
        await call()
      } catch (error) {
        caught = error
      }
      t.is(caught, thrown)
    }
    if (typeof thrown === 'object' && thrown) t.deepEqual(Reflect.ownKeys(thrown), before)
    sameBytes(t, chunk, pattern(10))
  }
  await later.close()
})

const withLimits = existsSync('/usr/bin/prlimit') ? test.serial : test.serial.skip

withLimits('a pageout whose copies cannot be allocated has its chunks in its error', async t => {
  const seen = await runChild<Record<string, unknown>[]>('no-memory.ts')
  t.true(seen.length >= 10)
  for (const { form, ...outcome } of seen) {
    t.deepEqual(outcome, { code: 'ENOMEM', isOwn: true, isWhole: true, handles: 0, later: true }, String(form))
  }
})
