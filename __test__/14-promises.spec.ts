/** The promise forms: the same answers off the JavaScript thread, aborts, chunks handed back, and what may be pending. */

import { getEventListeners } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import test from 'ava'
import type { PageoutError } from 'pageout'
import * as sync from 'pageout'
import * as promises from 'pageout/promises'
import { Pager } from 'pageout/promises'
import { backends, bytesOf, chunkOf, classOf, kinds, MIB, pattern } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'

/** More pending calls than there are threads for them. */
const MANY = 32

test('both entry points have the same names, one Handle and one PageoutError', t => {
  t.deepEqual(Object.keys(promises).sort(), Object.keys(sync).sort())
  t.is(promises.Handle, sync.Handle)
  t.is(promises.PageoutError, sync.PageoutError)
})

for (const backend of backends) {
  for (const kind of kinds) {
    test(`${kind.name} goes out and comes back as ${kind.name} (${backend})`, async t => {
      const bytes = pattern(24 * kind.elementBytes)
      const handle = await promises.pageoutWith(backend, [chunkOf(kind, bytes), chunkOf(kind, bytes)])
      const range = await promises.readAt(handle, 20, 8)
      t.is(classOf(range), kind.name)
      t.deepEqual(bytesOf(range).slice(0, 4 * kind.elementBytes), bytes.slice(20 * kind.elementBytes))
      const whole = await promises.take(handle)
      t.is(classOf(whole), kind.name)
      t.deepEqual(bytesOf(whole), new Uint8Array([...bytes, ...bytes]))
      t.true(handle.released)
    })
  }
}

test('a handle made in one entry point works in the other', async t => {
  const made = await promises.pageout(Float64Array.of(1, 2, 3))
  t.deepEqual(sync.readAt(made, 1, 1), Float64Array.of(2))
  const other = sync.pageout(Float64Array.of(4))
  t.deepEqual(await promises.take(other), Float64Array.of(4))
  made[Symbol.dispose]()
})

test('buffers are out of reach before the call returns', async t => {
  const chunk = new Uint8Array(MIB).fill(7)
  const pending = promises.pageout(chunk)
  t.is(chunk.length, 0)
  t.deepEqual((await promises.take(await pending)).subarray(0, 2), Uint8Array.of(7, 7))
})

test('what cannot be detached is copied before the call returns', async t => {
  const whole = new Uint8Array(8).fill(1)
  const pending = promises.pageout(whole.subarray(2, 6))
  whole.fill(9)
  t.deepEqual(await promises.take(await pending), new Uint8Array(4).fill(1))
})

test('readAtMany gives ranges in request order', async t => {
  const handle = await promises.pageout(Int16Array.of(10, 20, 30, 40))
  const ranges = [
    [3, 1],
    [1, 0],
    [0, 2],
  ] as const
  t.deepEqual(await promises.readAtMany(handle, ranges), Int16Array.of(40, 10, 20))
  handle[Symbol.dispose]()
})

test('a target is filled when the read is whole, and a view of it comes back', async t => {
  const handle = await promises.pageout(Int32Array.of(1, 2, 3))
  const target = new Int32Array(5)
  const pending = promises.readAt(handle, 1, 2, target)
  t.deepEqual(target, new Int32Array(5), 'untouched while the read is pending')
  const view = await pending
  t.is(view.buffer, target.buffer)
  t.deepEqual([...view, ...target], [2, 3, 2, 3, 0, 0, 0])
  t.deepEqual([...(await promises.take(handle, target))], [1, 2, 3])
})

for (const backend of backends) {
  test(`options with a target or a signal may stand where the target stands (${backend})`, async t => {
    const handle = await promises.pageoutWith(backend, Int32Array.of(1, 2, 3))
    const { signal } = new AbortController()
    const aborted = AbortSignal.abort('why')
    type Options = { target?: Int32Array; signal?: AbortSignal | undefined } | undefined
    const calls: Record<string, [(one: Options, other?: Options) => Promise<Int32Array>, number[]]> = {
      readAt: [(one, other) => promises.readAt(handle, 1, 2, one, other), [2, 3]],
      readAtMany: [
        (one, other) =>
          promises.readAtMany(
            handle,
            [
              [2, 1],
              [0, 1],
            ],
            one,
            other,
          ),
        [3, 1],
      ],
      read: [(one, other) => promises.read(handle, one, other), [1, 2, 3]],
      take: [(one, other) => promises.take(handle, one, other), [1, 2, 3]],
    }
    for (const [verb, [call, expected]] of Object.entries(calls)) {
      const target = new Int32Array(5).fill(9)
      for (const given of [
        [{ target, signal: aborted }],
        [{ target }, { signal: aborted }],
        [undefined, { signal: aborted }],
        [{ signal: aborted }, { signal }],
      ] as const) {
        const error = await t.throwsAsync(
          call(...(given as readonly [Options, Options?])),
          { name: 'AbortError', code: 'ABORT_ERR' },
          verb,
        )
        t.is(error?.cause, 'why')
      }
      t.deepEqual([...target], Array(5).fill(9))
      const result = await call({ target, signal })
      t.deepEqual([result.buffer, [...result]], [target.buffer, expected], verb)
      if (verb === 'take') continue
      t.deepEqual([...(await call({ target }, { signal: undefined }))], expected)
      const own = await call({ signal })
      t.deepEqual([[...own], own.buffer === target.buffer], [expected, false])
    }
    t.true(handle.released)
    t.is(getEventListeners(signal, 'abort').length, 0)
  })

  test(`a whole payload is read and stays out (${backend})`, async t => {
    for (const length of [0, 10, 3 * MIB]) {
      const handle = await promises.pageoutWith(backend, [pattern(length), Buffer.from('end')])
      const [one, other] = await Promise.all([promises.read(handle), promises.tryRead(handle)])
      const expected = Buffer.concat([pattern(length), Buffer.from('end')])
      t.is(Buffer.compare(one, expected), 0)
      t.is(Buffer.compare(other.ok ? other.value : new Uint8Array(0), expected), 0)
      t.false(handle.released)
      t.is(classOf(one), 'Uint8Array')
      handle.release()
      await t.throwsAsync(promises.read(handle), { code: 'ERR_PAGEOUT_RELEASED' })
    }
  })
}

test('a target that was detached meanwhile is refused, and the handle stays whole', async t => {
  const handle = await promises.pageout(Int32Array.of(1, 2, 3))
  const target = new Int32Array(3)
  const pending = promises.take(handle, target)
  structuredClone(target.buffer, { transfer: [target.buffer] })
  await t.throwsAsync(pending, { code: 'ERR_INVALID_ARG_VALUE' })
  t.deepEqual(await promises.take(handle), Int32Array.of(1, 2, 3))
})

test('a failed pageout hands all chunks back in its error', async t => {
  const pager = new Pager({ capacityBytes: 4096 })
  const buffer = new ArrayBuffer(16)
  const chunks = [new Uint16Array(5000).fill(7), new Uint16Array(buffer, 2, 3), new Uint16Array(0)]
  const error = (await t.throwsAsync(pager.pageout(chunks))) as PageoutError
  t.is(error.code, 'ERR_PAGEOUT_CAPACITY')
  t.false(Object.keys(error).includes('chunks'))
  t.deepEqual(error.chunks, [new Uint16Array(5000).fill(7), new Uint16Array(3), new Uint16Array(0)])
  t.is(error.chunks?.[1], chunks[1], 'what was not detached is the very same chunk')
  const result = await pager.tryPageout(new Uint8Array(5000).fill(3))
  t.false(result.ok)
  t.deepEqual(!result.ok && result.error.chunks, [new Uint8Array(5000).fill(3)])
  await pager.close()
})

test('an abort rejects as Node does and hands back what had not started', async t => {
  const controller = new AbortController()
  const { signal } = controller
  const reason = new Error('enough')
  const chunks = Array.from({ length: MANY }, (_, index) => new Uint8Array(MIB).fill(index))
  const pending = chunks.map(chunk => promises.pageout(chunk, { signal }))
  controller.abort(reason)
  const outcomes = await Promise.allSettled(pending)
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === 'fulfilled') {
      t.is((await promises.take(outcome.value))[0], index)
      continue
    }
    const { name, code, cause, chunks: handedBack } = outcome.reason
    t.deepEqual([name, code, cause], ['AbortError', 'ABORT_ERR', reason])
    t.deepEqual([handedBack.length, handedBack[0].length, handedBack[0][0]], [1, MIB, index])
  }
  t.true(outcomes.some(outcome => outcome.status === 'rejected'))
})

test('an aborted pageout is wholly in the hands of the caller again, however far it was', async t => {
  const pager = new Pager()
  for (let turns = 0; turns < 12; turns++) {
    const controller = new AbortController()
    // More than one slot, so that an abort may come between two.
    const pending = pager.pageout(new Uint8Array(80 * MIB).fill(turns + 1), { signal: controller.signal })
    for (let turn = 0; turn < turns ** 3; turn++) await setImmediate()
    controller.abort('enough')
    const [outcome] = await Promise.allSettled([pending])
    if (outcome.status === 'fulfilled') {
      t.is((await pager.take(outcome.value)).indexOf(0), -1)
      continue
    }
    const { code, cause, chunks } = outcome.reason
    t.deepEqual([code, cause, chunks.length, chunks[0].length], ['ABORT_ERR', 'enough', 1, 80 * MIB])
    t.is(Buffer.compare(chunks[0], new Uint8Array(80 * MIB).fill(turns + 1)), 0)
    t.is(pager.stats().usedBytes, 0)
  }
  await pager.close()
})

test.serial('a pageout that is aborted while its only slot is written keeps no place', async t => {
  const pager = new Pager()
  for (const byteLength of [MIB, 10 * MIB]) {
    const controller = new AbortController()
    const pending = pager.pageout(pattern(byteLength), { signal: controller.signal })
    // The job has begun, since no other is running, and nothing stops it within a slot.
    controller.abort()
    const { chunks } = (await t.throwsAsync(pending, { code: 'ABORT_ERR' })) as Error & { chunks: Uint8Array[] }
    t.is(Buffer.compare(chunks[0] as Uint8Array, pattern(byteLength)), 0)
    t.deepEqual([pager.stats().handles, pager.stats().usedBytes], [0, 0])
  }
  await pager.close()
})

test('small reads that start together give what each gives alone, whatever becomes of their handles', async t => {
  const whole = pattern(MIB)
  const handles = Array.from({ length: 200 }, (_, index) => sync.pageout(whole.slice(0, 5000 + index)))
  const reads = handles.map((handle, index) => {
    if (index % 5 === 0)
      return promises.readAtMany(handle, [[4900, 50 + index / 2].map(Math.floor) as [number, number], [7, 3]])
    return promises.readAt(handle, index, index === 77 ? 0 : 4000)
  })
  for (const handle of handles) handle[Symbol.dispose]()
  for (const [index, read] of reads.entries()) {
    const expected =
      index % 5 === 0
        ? Buffer.concat([whole.subarray(4900, 4950 + Math.floor(index / 2)), whole.subarray(7, 10)])
        : whole.subarray(index, index === 77 ? index : index + 4000)
    t.is(Buffer.compare(await read, expected), 0, `read ${index}`)
  }
})

test('of small pageouts that start together, those without room hand their chunks back, and the others go out', async t => {
  const pager = new Pager({ capacityBytes: 8 * 4096 })
  const calls = Array.from({ length: 20 }, (_, index) => pager.pageout([Uint8Array.of(index), new Uint8Array(index)]))
  const outcomes = await Promise.allSettled(calls)
  t.is(outcomes.filter(({ status }) => status === 'fulfilled').length, 8)
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === 'fulfilled') {
      t.deepEqual(await pager.take(outcome.value), Uint8Array.of(index, ...new Uint8Array(index)))
      continue
    }
    const { code, requestedBytes, usedBytes, chunks } = outcome.reason
    t.deepEqual([code, requestedBytes, usedBytes], ['ERR_PAGEOUT_CAPACITY', 4096, 8 * 4096])
    t.deepEqual(chunks, [Uint8Array.of(index), new Uint8Array(index)])
  }
  await pager.close()
})

test('small calls that start together are counted as what they are', async t => {
  const pager = new Pager()
  const handles = await Promise.all(Array.from({ length: 40 }, (_, index) => pager.pageout(pattern(100 + index))))
  await Promise.all(handles.map(handle => pager.readAt(handle, 1, 50)))
  const taken = await Promise.all(handles.map(handle => pager.take(handle)))
  for (const [index, chunk] of taken.entries()) t.deepEqual(chunk, pattern(100 + index))
  const { pageouts, reads, readBytes, takes, takeBytes, handles: left } = pager.stats()
  t.deepEqual([pageouts, reads, readBytes, takes, takeBytes, left], [40, 40, 2000, 40, 4780, 0])
  await pager.close()
})

test('small reads that start together take their own memory', async t => {
  const handle = await promises.pageout(new Uint8Array(1000).fill(1))
  const [first, second] = await Promise.all([promises.readAt(handle, 0, 500), promises.readAt(handle, 500, 500)])
  t.not(first.buffer, second.buffer)
  t.deepEqual([first.buffer.byteLength, second.buffer.byteLength], [500, 500])
  handle[Symbol.dispose]()
})

test('an aborted read or take leaves handle, target and listeners as they were', async t => {
  const handle = await promises.pageout(new Float64Array(MIB).fill(1))
  const controller = new AbortController()
  const { signal } = controller
  let onabortCalls = 0
  signal.onabort = () => {
    onabortCalls += 1
  }
  const target = new Float64Array(MIB)
  const pending = [
    promises.readAt(handle, 0, MIB, target, { signal }),
    promises.readAtMany(handle, [[0, 5]], undefined, { signal }),
    promises.take(handle, target, { signal }),
  ]
  controller.abort('why')
  for (const promise of pending) t.is((await t.throwsAsync(promise, { name: 'AbortError' }))?.cause, 'why')
  t.is(onabortCalls, 1)
  t.deepEqual(getEventListeners(signal, 'abort').length, 1, 'only the onabort of the test')
  t.true(target.every(value => value === 0))
  t.is((await promises.take(handle)).length, MIB)
})

test('a signal that is not aborted keeps no listener', async t => {
  const { signal } = new AbortController()
  const handle = await promises.pageout(Uint8Array.of(1), { signal })
  await promises.readAt(handle, 0, 1, undefined, { signal })
  await promises.take(handle, undefined, { signal })
  t.is(getEventListeners(signal, 'abort').length, 0)
})

test('an aborted signal refuses before anything happens', async t => {
  const chunk = Uint8Array.of(1)
  const signal = AbortSignal.abort()
  await t.throwsAsync(promises.pageout(chunk, { signal }), { name: 'AbortError', code: 'ABORT_ERR' })
  t.is(chunk.length, 1)
})

test('a signal that is none is refused', async t => {
  const handle = await promises.pageout(Uint8Array.of(1))
  for (const signal of [5, {}, { aborted: false }, null] as unknown as AbortSignal[]) {
    await t.throwsAsync(promises.readAt(handle, 0, 1, undefined, { signal }), { code: 'ERR_INVALID_ARG_TYPE' })
    await t.throwsAsync(promises.pageout(Uint8Array.of(1), { signal }), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  handle[Symbol.dispose]()
})

test('wrong arguments reject in every form', async t => {
  const pager = new Pager()
  const handle = await promises.pageout(Uint8Array.of(1, 2))
  const wrong: [() => Promise<unknown>, string][] = [
    [() => promises.readAt(handle, 1, 2), 'ERR_OUT_OF_RANGE'],
    [() => promises.tryReadAt(handle, -1, 1), 'ERR_OUT_OF_RANGE'],
    [() => promises.tryPageout(['text'] as never), 'ERR_INVALID_ARG_TYPE'],
    [() => promises.tryRead(handle, new Int8Array(2) as never), 'ERR_INVALID_ARG_TYPE'],
    [() => promises.tryPageoutWith('disk' as 'file', Uint8Array.of(1)), 'ERR_INVALID_ARG_VALUE'],
    [() => pager.tryTake(handle), 'ERR_INVALID_ARG_VALUE'],
    [() => pager.tryReadAtMany(handle, []), 'ERR_INVALID_ARG_VALUE'],
  ]
  for (const [call, code] of wrong) await t.throwsAsync(call(), { code })
  handle[Symbol.dispose]()
  await t.throwsAsync(promises.tryTake(handle), { code: 'ERR_PAGEOUT_RELEASED' })
  await pager.close()
})

test('while a take is pending other calls are refused, and reads that were pending end well', async t => {
  const handle = await promises.pageout(new Uint8Array(MIB).fill(5))
  const reads = Array.from({ length: MANY }, (_, index) => promises.readAt(handle, index, 1))
  const taking = promises.take(handle)
  await t.throwsAsync(promises.readAt(handle, 0, 1), { code: 'ERR_PAGEOUT_RELEASED' })
  await t.throwsAsync(promises.take(handle), { code: 'ERR_PAGEOUT_RELEASED' })
  t.throws(() => sync.readAt(handle, 0, 1), { code: 'ERR_PAGEOUT_RELEASED' })
  for (const read of reads) t.deepEqual(await read, Uint8Array.of(5))
  t.is((await taking).length, MIB)
})

test('a read of the swap backend has its bytes, whatever becomes of the memory that a take gives back meanwhile', async t => {
  const others = Array.from({ length: MANY }, () => promises.pageoutWith('file', new Uint8Array(MIB)))
  const handle = sync.pageoutWith('swap', new Uint8Array(1000).fill(5))
  const target = new Uint8Array(3)
  const reads = [promises.readAt(handle, 0, 3), promises.readAt(handle, 997, 3, target)]
  sync.take(handle).fill(9)
  for (const read of reads) t.deepEqual(await read, new Uint8Array(3).fill(5))
  for (const other of await Promise.all(others)) other[Symbol.dispose]()
})

test('a handle may be disposed of while reads are pending', async t => {
  const handle = await promises.pageout(new Uint8Array(MIB).fill(6))
  const reads = Array.from({ length: MANY }, () => promises.readAt(handle, 9, 3))
  handle[Symbol.dispose]()
  for (const read of reads) t.deepEqual(await read, new Uint8Array(3).fill(6))
})

test('a handle that is dropped while a read is pending is freed, and the read ends well', async t => {
  const pager = new Pager()
  const reads = await (async () => {
    const handle = await pager.pageout(new Uint8Array(MIB).fill(8))
    return Array.from({ length: MANY }, () => pager.readAt(handle, 0, 2))
  })()
  for (const read of reads) t.deepEqual(await read, Uint8Array.of(8, 8))
  t.true(await collectUntil(() => pager.stats().usedBytes === 0))
  await pager.close()
})

test('close waits for what is pending and refuses what comes later', async t => {
  const pager = new Pager()
  const pending = Array.from({ length: MANY }, (_, index) => pager.pageout(new Uint8Array(MIB).fill(index)))
  const closing = pager.close()
  await t.throwsAsync(pager.pageout(Uint8Array.of(1)), { code: 'ERR_PAGEOUT_CLOSED' })
  await closing
  t.is((await Promise.all(pending)).length, MANY)
  await pager.close()
})

test('an error carries the stack of who waits', async t => {
  const pager = new Pager({ capacityBytes: 4096 })
  async function whoeverWaits() {
    await pager.pageout(new Uint8Array(5000))
  }
  const error = await t.throwsAsync(whoeverWaits())
  t.regex(error?.stack ?? '', /whoeverWaits/)
  await pager.close()
})
