/** What handles and pagers say of themselves, and what ends a handle. */

import { inspect } from 'node:util'
import * as workers from 'node:worker_threads'
import test from 'ava'
import { Handle, pageout, pageoutWith, take } from 'pageout'
import * as promises from 'pageout/promises'
import { backends, chunkOf, KIB, kinds, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { isReached } from './helpers/collect.js'
import { newDirectory, newPager } from './helpers/places.js'

const RELEASED = { code: 'ERR_PAGEOUT_RELEASED' }

for (const backend of backends) {
  test(`a handle names the class that comes back (${backend})`, t => {
    for (const kind of kinds) {
      const handle = pageoutWith(backend, chunkOf(kind, pattern(2 * kind.elementBytes)))
      t.is(handle.type, kind.name)
      const adopted = Handle.adopt(handle.move())
      t.deepEqual([handle.type, adopted.type], [kind.name, kind.name])
      adopted.release()
      t.is(adopted.type, kind.name, 'after its release too')
    }
    class Derived extends Float32Array {}
    const derived = pageoutWith(backend, new Derived(4))
    t.is(derived.type, 'Float32Array')
    t.is(Object.getPrototypeOf(take(derived)), Float32Array.prototype)
  })

  test(`release frees a payload once, as dispose does (${backend})`, t => {
    const pager = newPager(t)
    const [handle, other] = [pager.pageoutWith(backend, pattern(5000)), pager.pageoutWith(backend, pattern(10))]
    for (const end of [() => handle.release(), () => handle[Symbol.dispose](), () => handle.release()]) {
      t.is(end(), undefined)
      t.true(handle.released)
      t.deepEqual([pager.stats().handles, pager.stats().payloadBytes], [1, 10])
    }
    t.throws(() => pager.read(handle), RELEASED)
    const next = pager.pageoutWith(backend, pattern(5000, 2))
    handle.release()
    sameBytes(t, pager.take(next), pattern(5000, 2), 'the slot may serve the next payload')
    sameBytes(t, pager.take(other), pattern(10))
  })

  test(`release of a handle that was taken, moved or whose pager is closed does nothing (${backend})`, t => {
    const [pager, closed] = [newPager(t), newPager(t)]
    const [taken, moved] = [pager.pageoutWith(backend, pattern(10)), pager.pageoutWith(backend, pattern(20))]
    const left = closed.pageoutWith(backend, pattern(30))
    pager.take(taken)
    const token = moved.move()
    closed.close()
    for (const handle of [taken, moved, left]) {
      t.true(handle.released)
      handle.release()
      handle[Symbol.dispose]()
      t.true(handle.released)
    }
    sameBytes(t, take(Handle.adopt(token)), pattern(20))
  })

  test(`handles are released from the call of close on (${backend})`, async t => {
    const pager = new promises.Pager({ scratchDir: newDirectory(t) })
    const handle = await pager.pageoutWith(backend, pattern(MIB))
    const reading = pager.readAt(handle, 0, 5)
    const closing = pager.close()
    t.true(handle.released)
    sameBytes(t, await reading, pattern(5), 'what was pending ends well')
    await closing
    t.true(handle.released)
  })

  test(`console.log shows class, length, backend and state of a handle, and no payload (${backend})`, async t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, new Float64Array(1000).fill(1.2345))
    const shown = (state: string) =>
      `Handle<Float64Array> { length: 1000, byteLength: 8000, backend: '${backend}', state: '${state}' }`
    const line = (value: unknown) => inspect(value).replace(/\s+/g, ' ')
    t.is(line(handle), shown('out'))
    t.is(line({ handle }), `{ handle: ${shown('out')} }`)
    const taking = promises.take(handle)
    t.is(line(handle), shown('being taken'))
    await taking
    t.is(line(handle), shown('released'))
    const left = pager.pageoutWith(backend, Buffer.from('secret'))
    pager.close()
    t.is(line(left), `Handle<Buffer> { length: 6, byteLength: 6, backend: '${backend}', state: 'released' }`)
    t.notThrows(() => inspect(Handle))
  })

  for (const [what, options] of Object.entries({
    'whose target goes away': (target: Uint8Array, _: AbortSignal) => ({ target }),
    'that is aborted': (_: Uint8Array, signal: AbortSignal) => ({ signal }),
  })) {
    test(`a handle that is released during a take ${what} is freed all the same (${backend})`, async t => {
      const pager = newPager(t)
      for (const length of [100, 2 * MIB]) {
        const handle = pager.pageoutWith(backend, [pattern(length), pattern(10)])
        const [target, controller] = [new Uint8Array(length + 10), new AbortController()]
        const taking = promises.take(handle, options(target, controller.signal))
        handle.release()
        t.true(handle.released)
        t.is(pager.stats().handles, 1, 'the take needs it')
        structuredClone(target.buffer, { transfer: [target.buffer] })
        controller.abort()
        const error = await t.throwsAsync(taking)
        t.true(['ABORT_ERR', 'ERR_INVALID_ARG_VALUE'].includes((error as Error & { code: string }).code))
        t.true(handle.released)
        t.throws(() => pager.take(handle), RELEASED)
        // What fills private memory after an abort ends by itself.
        t.true(await isReached(() => pager.stats().handles === 0))
        t.deepEqual([pager.stats().payloadBytes, pager.stats().usedBytes], [0, 0])
      }
    })
  }

  test(`a handle that is released during a take which ends well is taken (${backend})`, async t => {
    const pager = newPager(t)
    for (const length of [100, 2 * MIB]) {
      const handle = pager.pageoutWith(backend, pattern(length))
      const taking = promises.take(handle)
      handle.release()
      handle[Symbol.dispose]()
      sameBytes(t, await taking, pattern(length))
      t.deepEqual([pager.stats().handles, pager.stats().takes > 0, handle.released], [0, true, true])
    }
  })

  test(`a take that fails leaves a handle that was not released whole (${backend})`, async t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, pattern(MIB))
    const controller = new AbortController()
    const taking = promises.take(handle, { signal: controller.signal })
    controller.abort()
    await t.throwsAsync(taking, { code: 'ABORT_ERR' })
    t.false(handle.released)
    sameBytes(t, pager.take(handle), pattern(MIB))
  })
}

test('console.log shows what a pager is and holds', async t => {
  const scratchDir = newDirectory(t)
  const pager = newPager(t, { scratchDir, capacityBytes: MIB })
  const held = [pager.pageout(new Uint8Array(5000)), pager.pageoutWith('swap', new Uint8Array(100))]
  const shown = inspect(pager)
  t.regex(shown, /^Pager \{/)
  const facts = [
    "backend: 'file'",
    `scratchDir: '${scratchDir}'`,
    `fileSystem: '${pager.stats().fileSystem}'`,
    'handles: 2',
    'payloadBytes: 5100',
    `usedBytes: ${pager.stats().usedBytes}`,
    `capacityBytes: ${MIB}`,
  ]
  for (const fact of facts) t.true(shown.includes(fact), `${fact} in ${shown}`)
  t.is(held.length, 2)
  pager.close()
  t.is(inspect(pager), 'Pager { closed }')
  const later = new promises.Pager({ scratchDir })
  t.regex(inspect(later), /^Pager \{ backend: 'file'|^Pager \{\n {2}backend: 'file'/)
  const closing = later.close()
  t.is(inspect(later), 'Pager { closed }')
  await closing
})

const refusing = 'markAsUncloneable' in workers ? test : test.skip

refusing('handles and pagers cannot be cloned or sent, with a word why', async t => {
  const handle = pageout(pattern(KIB))
  const { port1, port2 } = new workers.MessageChannel()
  t.teardown(() => port1.close())
  const later = new promises.Pager()
  for (const value of [handle, newPager(t), later]) {
    for (const send of [
      () => structuredClone(value),
      () => structuredClone({ deep: [value] }),
      () => port1.postMessage(value),
      () => port1.postMessage(new Map([[1, value]])),
    ]) {
      t.is(t.throws(send, { any: true, instanceOf: DOMException } as object)?.name, 'DataCloneError')
    }
  }
  port2.close()
  await later.close()
  t.notThrows(() => structuredClone({ length: handle.length, type: handle.type }))
  sameBytes(t, take(handle), pattern(KIB), 'and are as they were')
})

refusing('workers cannot be given a handle as their data', t => {
  const handle = pageout(pattern(10))
  const start = () => new workers.Worker('', { eval: true, workerData: handle })
  t.is(t.throws(start, { any: true } as object)?.name, 'DataCloneError')
  handle.release()
})
