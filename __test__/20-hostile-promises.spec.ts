/** Callers that fight against the promise forms: with what runs while arguments are read, and while calls are pending. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import type { Handle, PageoutError, Range } from 'pageout'
import * as sync from 'pageout'
import * as promises from 'pageout/promises'
import { Pager } from 'pageout/promises'
import { backends, KIB, MIB, pattern, sameBytes, wasmMemory } from './helpers/chunks.js'

const WRONG_TYPE = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE' }
const WRONG_VALUE = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_VALUE' }
const RELEASED = { code: 'ERR_PAGEOUT_RELEASED' }
const CLOSED = { code: 'ERR_PAGEOUT_CLOSED' }

const detach = (view: ArrayBufferView) => structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] })
const resizable = (byteLength: number) => new ArrayBuffer(byteLength, { maxByteLength: 2 * byteLength })

/** Options that run code when one of them is read. */
function trapped(key: string, act: () => void, options: object = {}): object {
  const value = Reflect.get(options, key)
  const get = () => {
    act()
    return value
  }
  return Object.defineProperty({ ...options }, key, { get })
}

for (const backend of backends) {
  for (const key of ['backend', 'detach', 'signal']) {
    test(`${key} that takes the chunk away while it is read is seen by the ${backend} backend`, async t => {
      const pager = new Pager()
      const gone = pattern(64)
      const goes = trapped(key, () => gone.length > 0 && detach(gone), { backend })
      await t.throwsAsync(pager.pageout(gone, goes), WRONG_VALUE)
      const cut = new Uint8Array(resizable(64), 0, 64)
      const cuts = trapped(key, () => cut.buffer.resize(8), { backend })
      await t.throwsAsync(pager.pageout(cut, cuts), WRONG_VALUE)
      t.is(pager.stats().handles, 0)
      await pager.close()
    })

    test(`${key} that closes the pager while it is read keeps the ${backend} backend from storing`, async t => {
      const pager = new Pager()
      const chunk = pattern(64)
      const closing: Promise<void>[] = []
      const closes = trapped(key, () => closing.push(pager.close()), { backend })
      await t.throwsAsync(pager.pageout(chunk, closes), CLOSED)
      sameBytes(t, chunk, pattern(64))
      await Promise.all(closing)
    })

    test(`${key} that pages the chunk out itself is seen by the ${backend} backend`, async t => {
      const pager = new Pager()
      const chunk = pattern(64)
      const inner: Promise<Handle<Uint8Array>>[] = []
      const enters = trapped(key, () => inner.length === 0 && inner.push(pager.pageoutWith(backend, chunk)), {
        backend,
      })
      await t.throwsAsync(pager.pageout(chunk, enters), WRONG_VALUE)
      const [handle] = await Promise.all(inner)
      sameBytes(t, await pager.take(handle as Handle<Uint8Array>), pattern(64))
      await pager.close()
    })
  }

  test(`a signal that is read and ends the handle or the pager is seen by the ${backend} backend`, async t => {
    const calls = [
      (pager: Pager, handle: Handle, options: object) => pager.readAt(handle, 0, 1, undefined, options),
      (pager: Pager, handle: Handle, options: object) => pager.readAtMany(handle, [[0, 1]], undefined, options),
      (pager: Pager, handle: Handle, options: object) => pager.take(handle, undefined, options),
    ]
    for (const call of calls) {
      const pager = new Pager()
      const [disposed, taken, left] = await Promise.all([64, 64, 64].map(n => pager.pageoutWith(backend, pattern(n))))
      if (!disposed || !taken || !left) return t.fail()
      const taking: Promise<Uint8Array>[] = []
      const disposes = trapped('signal', () => disposed[Symbol.dispose]())
      const takes = trapped('signal', () => taking.push(pager.take(taken)))
      const closes = trapped('signal', () => void pager.close())
      await t.throwsAsync(call(pager, disposed, disposes), RELEASED)
      await t.throwsAsync(call(pager, taken, takes), RELEASED)
      for (const chunk of await Promise.all(taking)) sameBytes(t, chunk, pattern(64))
      await t.throwsAsync(call(pager, left, closes), CLOSED)
    }
  })

  test(`properties in front of those of a signal are not asked by the ${backend} backend`, async t => {
    const controller = new AbortController()
    const { signal } = controller
    for (const key of ['aborted', 'reason', 'addEventListener', 'removeEventListener', 'throwIfAborted']) {
      Object.defineProperty(signal, key, { get: () => t.fail(key) })
    }
    const chunks = Array.from({ length: 8 }, (_, index) => pattern(MIB, index))
    const handles = await Promise.all(chunks.map(chunk => promises.pageoutWith(backend, chunk, { signal })))
    for (const [index, handle] of handles.entries()) {
      sameBytes(t, await promises.readAt(handle, 0, MIB, undefined, { signal }), pattern(MIB, index))
      sameBytes(t, await promises.take(handle, undefined, { signal }), pattern(MIB, index))
    }
    controller.abort('why')
    const error = await t.throwsAsync(promises.pageoutWith(backend, pattern(9), { signal }), { code: 'ABORT_ERR' })
    t.is(error?.cause, 'why')
  })

  test(`what Node asks of a signal when it listens costs no chunk of the ${backend} backend`, async t => {
    const chunk = pattern(MIB)
    const { signal } = new AbortController()
    let thrown: unknown
    Object.defineProperty(signal, 'constructor', {
      get: () => {
        throw thrown
      },
    })
    for (thrown of [new Error('trap'), 'a primitive', undefined]) {
      const [outcome] = await Promise.allSettled([promises.pageoutWith(backend, chunk, { signal })])
      // A runtime that does not ask lets the chunk go out.
      if (outcome.status === 'fulfilled') return sameBytes(t, await promises.take(outcome.value), pattern(MIB))
      t.is(outcome.reason, thrown)
      sameBytes(t, chunk, pattern(MIB))
    }
  })

  test(`what only looks like a signal is refused by the ${backend} backend`, async t => {
    const { signal } = new AbortController()
    const chunk = pattern(64)
    const handle = await promises.pageoutWith(backend, pattern(64))
    const forged = [
      new Proxy(signal, {}),
      Object.create(new Proxy(signal, {})),
      Object.create(AbortSignal.prototype),
      Object.assign(new EventTarget(), { aborted: false }),
    ]
    for (const wrong of forged) {
      await t.throwsAsync(promises.pageoutWith(backend, chunk, { signal: wrong }), WRONG_TYPE)
      await t.throwsAsync(promises.readAt(handle, 0, 1, undefined, { signal: wrong }), WRONG_TYPE)
      await t.throwsAsync(promises.take(handle, undefined, { signal: wrong }), WRONG_TYPE)
    }
    sameBytes(t, chunk, pattern(64))
    sameBytes(t, await promises.take(handle), pattern(64))
  })

  test(`proxies of options and of arrays are what they stand for to the ${backend} backend`, async t => {
    const through = <T extends object>(target: T) => new Proxy(target, {})
    const { signal } = new AbortController()
    const chunks = through([pattern(10), pattern(10, 2)])
    const handle = await promises.pageout(chunks, through({ backend, signal }))
    const ranges = through([through([10, 10] as Range), through([0, 1] as Range)])
    const read = await promises.readAtMany(handle, ranges, undefined, through({ signal }))
    sameBytes(t, read, Buffer.concat([pattern(10, 2), pattern(1)]))
    await t.throwsAsync(promises.readAt(handle, 0, 1, through(new Uint8Array(8))), WRONG_TYPE)
    await t.throwsAsync(promises.take(handle, through(new Uint8Array(64))), WRONG_TYPE)
    await t.throwsAsync(promises.take(through(handle)), WRONG_TYPE)
    await t.throwsAsync(promises.pageout(through(pattern(10)), { backend }), WRONG_TYPE)
    sameBytes(t, await promises.take(handle), Buffer.concat([pattern(10), pattern(10, 2)]))
  })

  test(`options that throw pass their own error on from the ${backend} backend`, async t => {
    const chunk = pattern(64)
    const handle = sync.pageoutWith(backend, pattern(64))
    for (const mine of [new Error('mine'), 5, undefined]) {
      const throws = new Proxy(
        {},
        {
          get() {
            throw mine
          },
        },
      )
      const calls = [
        () => promises.pageout(chunk, throws),
        () => promises.readAt(handle, 0, 1, undefined, throws),
        () => promises.tryTake(handle, undefined, throws),
      ]
      for (const call of calls)
        t.is(
          await call().then(
            () => 'none',
            (error: unknown) => error,
          ),
          mine,
        )
    }
    sameBytes(t, chunk, pattern(64))
    sameBytes(t, sync.take(handle), pattern(64))
  })
}

/** What happens to a target of 2 MiB, for 1 MiB of bytes, while a call is pending: what it comes to. */
const changes: {
  readonly what: string
  readonly target: () => Uint8Array
  readonly change: (target: Uint8Array) => unknown
  /** The code of the error; without one the bytes come. */
  readonly code?: string
}[] = [
  {
    what: 'is cut below what it needs',
    target: () => new Uint8Array(resizable(2 * MIB)),
    change: target => (target.buffer as ArrayBuffer).resize(MIB - 1),
    code: 'ERR_OUT_OF_RANGE',
  },
  {
    what: 'is cut to nothing',
    target: () => new Uint8Array(resizable(2 * MIB)),
    change: target => (target.buffer as ArrayBuffer).resize(0),
    code: 'ERR_OUT_OF_RANGE',
  },
  {
    what: 'lies past the end of its buffer',
    target: () => new Uint8Array(resizable(2 * MIB), 8, MIB),
    change: target => (target.buffer as ArrayBuffer).resize(MIB),
    code: 'ERR_INVALID_ARG_VALUE',
  },
  {
    what: 'is cut to just what it needs',
    target: () => new Uint8Array(resizable(2 * MIB)),
    change: target => (target.buffer as ArrayBuffer).resize(MIB),
  },
  {
    what: 'is made longer',
    target: () => new Uint8Array(resizable(2 * MIB)),
    change: target => (target.buffer as ArrayBuffer).resize(3 * MIB),
  },
  { what: 'is transferred', target: () => new Uint8Array(2 * MIB), change: detach, code: 'ERR_INVALID_ARG_VALUE' },
  {
    what: 'goes out itself',
    target: () => new Uint8Array(2 * MIB),
    change: target => sync.pageout(target)[Symbol.dispose](),
    code: 'ERR_INVALID_ARG_VALUE',
  },
  {
    what: 'grows as shared memory does',
    target: () => new Uint8Array(new SharedArrayBuffer(2 * MIB, { maxByteLength: 3 * MIB })),
    change: target => (target.buffer as unknown as SharedArrayBuffer).grow(3 * MIB),
  },
]

for (const { what, target: make, change, code } of changes) {
  const end = code ? 'fails, and the handle stays whole' : 'ends well'
  test(`a call whose target ${what} meanwhile ${end}`, async t => {
    const calls = [
      (handle: Handle<Uint8Array>, target: Uint8Array) => promises.readAt(handle, 0, MIB, target),
      (handle: Handle<Uint8Array>, target: Uint8Array) => promises.readAtMany(handle, [[0, MIB]], target),
      (handle: Handle<Uint8Array>, target: Uint8Array) => promises.take(handle, target),
    ]
    for (const call of calls) {
      const handle = await promises.pageoutWith('file', pattern(MIB))
      const target = make()
      const pending = call(handle, target)
      change(target)
      if (code) await t.throwsAsync(pending, { code })
      else sameBytes(t, await pending, pattern(MIB))
      if (!handle.released) sameBytes(t, await promises.take(handle), pattern(MIB))
    }
  })
}

test('a target of WebAssembly memory that grows meanwhile is refused, and the handle stays whole', async t => {
  const memory = wasmMemory()
  const handle = await promises.pageoutWith('file', pattern(1000))
  const target = new Uint8Array(memory.buffer)
  const pending = [promises.readAt(handle, 0, 1000, target), promises.take(handle, target)]
  memory.grow(1)
  for (const promise of pending) await t.throwsAsync(promise, { code: 'ERR_INVALID_ARG_VALUE' })
  t.true(new Uint8Array(memory.buffer).every(byte => byte === 0))
  sameBytes(t, await promises.take(handle), pattern(1000))
})

test('a chunk of WebAssembly memory that grows meanwhile goes out as it was', async t => {
  const memory = wasmMemory()
  const chunk = new Uint8Array(memory.buffer)
  chunk.set(pattern(chunk.length))
  const pending = promises.pageoutWith('file', chunk)
  memory.grow(1)
  new Uint8Array(memory.buffer).fill(9)
  sameBytes(t, await promises.take(await pending), pattern(64 * KIB))
})

test('a chunk of WebAssembly memory that grows before its pageout fails is handed back as it was', async t => {
  const pager = new Pager({ capacityBytes: 4096 })
  const memory = wasmMemory()
  const chunk = new Uint8Array(memory.buffer)
  chunk.set(pattern(chunk.length))
  const pending = pager.pageoutWith('file', chunk)
  memory.grow(1)
  const error = (await t.throwsAsync(pending, { code: 'ERR_PAGEOUT_CAPACITY' })) as PageoutError
  const [handedBack] = error.chunks ?? []
  sameBytes(t, handedBack as Uint8Array, pattern(64 * KIB))
  await pager.close()
})

test('a chunk that is the target of a pending read goes out as it was, and the read is refused', async t => {
  const handle = await promises.pageoutWith('file', new Uint8Array(MIB).fill(1))
  const target = pattern(MIB)
  const reading = promises.readAt(handle, 0, MIB, target)
  const goingOut = promises.pageoutWith('file', target)
  await t.throwsAsync(reading, { code: 'ERR_INVALID_ARG_VALUE' })
  sameBytes(t, await promises.take(await goingOut), pattern(MIB))
  handle[Symbol.dispose]()
})

test('a part of memory goes out as it was when the rest of a target is filled meanwhile', async t => {
  const memory = pattern(MIB)
  const handle = await promises.pageoutWith('file', new Uint8Array(MIB))
  const reading = promises.readAt(handle, 0, MIB, memory)
  const goingOut = promises.pageoutWith('file', memory.subarray(1, 5000))
  await reading
  sameBytes(t, await promises.take(await goingOut), pattern(MIB).subarray(1, 5000))
  t.true(memory.every(byte => byte === 0))
  handle[Symbol.dispose]()
})

for (const backend of backends) {
  test(`shared memory that a thread writes to goes out once and for all, and is filled, by the ${backend} backend`, async t => {
    const bytes = 256 * KIB
    const shared = new SharedArrayBuffer(4 + bytes)
    const program = new URL('helpers/workers/scribble.mjs', import.meta.url)
    const worker = new Worker(program, { workerData: { shared }, execArgv: [] })
    t.teardown(() => worker.terminate())
    await once(worker, 'message')
    for (let round = 0; round < 30; round += 1) {
      const view = new Uint8Array(shared, 4)
      const handle = await promises.pageoutWith(backend, view)
      const first = await promises.readAt(handle, 0, bytes)
      sameBytes(t, sync.readAt(handle, 0, bytes), first, 'the payload does not follow the writes')
      t.is((await promises.readAt(handle, 0, bytes, view)).length, bytes)
      sameBytes(t, await promises.take(handle), first)
    }
    Atomics.store(new Int32Array(shared, 0, 1), 0, 1)
    await once(worker, 'message')
  })
}
