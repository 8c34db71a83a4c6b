/** Borrowing: a whole payload to look at in memory, which stays out. Both forms, both backends, all classes. */

import { setImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import test from 'ava'
import * as pageout from 'pageout'
import { type Backend, Borrow, type Chunk, Handle, Pager, type PagerStats } from 'pageout'
import * as promises from 'pageout/promises'
import { type AnyPager, forms, watchWarnings } from './helpers/borrows.js'
import {
  backends,
  bytesOf,
  chunkOf,
  classOf,
  kinds,
  lengthOf,
  MIB,
  pattern,
  pieces,
  sameBytes,
} from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { newPager } from './helpers/places.js'

const BORROWED = { name: 'PageoutError', code: 'ERR_PAGEOUT_BORROWED' }
const RELEASED = { name: 'PageoutError', code: 'ERR_PAGEOUT_RELEASED' }

async function codeOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
    return undefined
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}

/** A borrow whose handle nobody else has. */
async function borrowOfNew(pager: AnyPager, backend: Backend): Promise<Borrow> {
  return await pager.borrow(await pager.pageoutWith(backend, pattern(10_000)))
}

for (const [form, open] of Object.entries(forms)) {
  for (const backend of backends) {
    const where = `${form} form, ${backend} backend`

    for (const kind of kinds) {
      test(`a borrow gives the whole payload in its class, and leaves an empty array: ${kind.name}, ${where}`, async t => {
        const pager = open(t)
        const bytes = pattern(4096 * kind.elementBytes)
        const handle = await pager.pageoutWith(backend, chunkOf(kind, bytes))
        const borrowed = await pager.borrow(handle)
        const { value } = borrowed
        t.true(borrowed instanceof Borrow)
        t.is(classOf(value), kind.name)
        t.is(value, borrowed.value, 'the same array each time')
        sameBytes(t, value, bytes)
        t.deepEqual([borrowed.released, handle.released], [false, false])
        borrowed.release()
        t.is(borrowed.released, true)
        t.is(lengthOf(value), 0)
        t.throws(() => borrowed.value, RELEASED)
        borrowed.release()
        borrowed[Symbol.dispose]()
        sameBytes(t, await pager.take(handle), bytes)
      })
    }

    for (const lengths of [[], [100], [0, 5000, 0, 4096, 1]]) {
      test(`chunks of lengths ${lengths} and a rest are one array: ${where}`, async t => {
        const pager = open(t)
        const bytes = pattern(20_000)
        const handle = await pager.pageoutWith(backend, pieces(bytes, lengths))
        for (let round = 0; round < 3; round += 1) {
          const borrowed = await pager.borrow(handle)
          sameBytes(t, borrowed.value, bytes)
          sameBytes(t, await pager.readAt(handle, 4000, 3000), bytes.subarray(4000, 7000))
          borrowed.release()
          sameBytes(t, await pager.readAt(handle, 4000, 3000), bytes.subarray(4000, 7000))
        }
        sameBytes(t, await pager.take(handle), bytes)
      })
    }

    test(`borrows of one payload share its memory until the last is released: ${where}`, async t => {
      const pager = open(t)
      const handle = await pager.pageoutWith(backend, pattern(10_000))
      const [first, second, third] = [
        await pager.borrow(handle),
        await pager.borrow(handle),
        await pager.borrow(handle),
      ]
      const arrays = [first, second, third].map(borrowed => borrowed.value as Uint8Array)
      t.is(new Set(arrays.map(array => array.buffer)).size, 1)
      first.release()
      third.release()
      t.throws(() => first.value, RELEASED)
      t.deepEqual([first.released, second.released, third.released], [true, false, true])
      sameBytes(t, second.value, pattern(10_000))
      t.deepEqual(
        arrays.map(array => array.length),
        [10_000, 10_000, 10_000],
      )
      first.release()
      sameBytes(t, second.value, pattern(10_000), 'a second release counts for nothing')
      second.release()
      t.deepEqual(
        arrays.map(array => array.length),
        [0, 0, 0],
      )
      const again = await pager.borrow(handle)
      sameBytes(t, again.value, pattern(10_000))
      again.release()
    })

    test(`while a payload is borrowed its handle is kept from take, release and move: ${where}`, async t => {
      const pager = open(t)
      const handle = await pager.pageoutWith(backend, pattern(10_000))
      const borrowed = await pager.borrow(handle)
      for (const call of [
        () => pager.take(handle),
        () => pager.tryTake(handle),
        () => pageout.take(handle),
        () => promises.tryTake(handle),
        () => handle.release(),
        () => handle[Symbol.dispose](),
        () => handle.move(),
      ]) {
        t.is(await codeOf(call), 'ERR_PAGEOUT_BORROWED', String(call))
      }
      t.throws(() => handle.release(), BORROWED)
      t.false(handle.released)
      t.regex(inspect(handle), /state: 'borrowed'/)
      sameBytes(t, borrowed.value, pattern(10_000))
      sameBytes(t, await pager.read(handle), pattern(10_000))
      sameBytes(t, pageout.readAt(handle, 5, 9), pattern(10_000).subarray(5, 14))
      sameBytes(t, await promises.read(handle), pattern(10_000))
      t.notThrows(() => pageout.prefetch(handle))
      borrowed.release()
      t.regex(inspect(handle), /state: 'out'/)
      sameBytes(t, pageout.take(Handle.adopt(handle.move())), pattern(10_000))
    })

    test(`a handle that is released, closed or forged is not borrowed: ${where}`, async t => {
      const pager = open(t)
      const taken = await pager.pageoutWith(backend, pattern(10))
      await pager.take(taken)
      const other = newPager(t).pageoutWith(backend, pattern(10))
      const expected = new Map<unknown, string>([
        [taken, 'ERR_PAGEOUT_RELEASED'],
        [other, 'ERR_INVALID_ARG_VALUE'],
        [{}, 'ERR_INVALID_ARG_TYPE'],
        [undefined, 'ERR_INVALID_ARG_TYPE'],
      ])
      const live = await pager.pageoutWith(backend, pattern(10))
      for (const [handle, code] of expected) {
        t.is(await codeOf(() => pager.borrow(handle as never)), code)
        t.is(await codeOf(() => pager.tryBorrow(handle as never)), code)
      }
      await pager.close()
      t.is(await codeOf(() => pager.borrow(live)), 'ERR_PAGEOUT_CLOSED')
      t.is(await codeOf(() => pager.tryBorrow(live)), 'ERR_PAGEOUT_CLOSED')
    })

    test(`an empty payload can be borrowed: ${where}`, async t => {
      const pager = open(t)
      for (const chunks of [[], [new Float64Array(0)], [new Float64Array(0), new Float64Array(0)]]) {
        const handle = await pager.pageoutWith(backend, chunks)
        const borrowed = await pager.borrow(handle)
        t.is(lengthOf(borrowed.value), 0)
        t.is(await codeOf(() => handle.release()), 'ERR_PAGEOUT_BORROWED')
        borrowed.release()
        t.throws(() => borrowed.value, RELEASED)
        t.is(await pager.borrow(handle, value => lengthOf(value)), 0)
        t.is(lengthOf(await pager.take(handle)), 0)
      }
    })

    test(`work gets the array, and its result is returned once the borrow is over: ${where}`, async t => {
      const pager = open(t)
      const handle = await pager.pageoutWith(backend, pattern(10_000))
      let seen: Chunk | undefined
      const result = await pager.borrow(handle, value => {
        seen = value
        sameBytes(t, value, pattern(10_000))
        t.throws(() => handle.release(), BORROWED)
        return bytesOf(value)[7]
      })
      t.is(result, pattern(10_000)[7])
      t.is(lengthOf(seen as Chunk), 0)
      const failure = new Error('on the way')
      for (const call of ['borrow', 'tryBorrow'] as const) {
        const thrown = await Promise.resolve()
          .then(() =>
            pager[call](handle, value => {
              seen = value
              throw failure
            }),
          )
          .catch(error => error)
        t.is(thrown, failure)
        t.is(lengthOf(seen as Chunk), 0)
      }
      // Whatever class of error it is: it is not the borrow that failed.
      const full = new pageout.PageoutError('ENOSPC', 'of another call')
      const passedOn = await Promise.resolve()
        .then(() =>
          pager.tryBorrow(handle, () => {
            throw full
          }),
        )
        .catch(error => error)
      t.is(passedOn, full)
      t.deepEqual(await pager.tryBorrow(handle, value => lengthOf(value)), { ok: true, value: 10_000 })
      handle.release()
    })

    test(`a result that is a view of the borrowed memory is refused after the release: ${where}`, async t => {
      const pager = open(t)
      const handle = await pager.pageoutWith(backend, Float64Array.of(1, 2, 3))
      const views: Record<string, (value: Chunk) => unknown> = {
        'the array': value => value,
        'a part of it': value => (value as Float64Array).subarray(1),
        'another class': value => new DataView((value as Float64Array).buffer),
        'the buffer': value => (value as Float64Array).buffer,
      }
      for (const [what, work] of Object.entries(views)) {
        const error = await Promise.resolve()
          .then(() => pager.borrow(handle, work))
          .catch((error: NodeJS.ErrnoException) => error)
        if (!(error instanceof Error)) return t.fail(what)
        t.true(error instanceof TypeError, what)
        t.is((error as NodeJS.ErrnoException).code, 'ERR_INVALID_RETURN_VALUE', what)
        t.is(await codeOf(() => pager.tryBorrow(handle, work)), 'ERR_INVALID_RETURN_VALUE', what)
        t.regex(inspect(handle), /state: 'out'/)
      }
      for (const other of [new Float64Array(2), new ArrayBuffer(8), {}, null, undefined, 'text', () => 1]) {
        t.is(await pager.borrow(handle, () => other), other)
      }
      handle.release()
    })

    test(`a pager that is closed ends all borrows at once: ${where}`, async t => {
      const pager = open(t)
      const borrows = []
      for (let index = 0; index < 5; index += 1) {
        borrows.push(await pager.borrow(await pager.pageoutWith(backend, [pattern(5000), pattern(5000)])))
      }
      const arrays = borrows.map(borrowed => borrowed.value)
      borrows[0]?.release()
      const closing = pager.close()
      t.deepEqual(arrays.map(lengthOf), [0, 0, 0, 0, 0])
      for (const borrowed of borrows) {
        t.true(borrowed.released)
        t.throws(() => borrowed.value, RELEASED)
        t.notThrows(() => borrowed.release())
      }
      await closing
    })

    test.serial(`a borrow keeps the payload of a handle that nobody else has: ${where}`, async t => {
      const pager = open(t)
      const borrowed = await borrowOfNew(pager, backend)
      const stats = () => (pager as unknown as { stats(): PagerStats }).stats()
      t.false(await collectUntil(() => stats().handles === 0))
      sameBytes(t, borrowed.value, pattern(10_000))
      borrowed.release()
      t.true(await collectUntil(() => stats().handles === 0), 'then it is freed')
    })

    test(`borrowed memory is no target, and as a chunk it is copied and left: ${where}`, async t => {
      const pager = open(t)
      const handle = await pager.pageoutWith(backend, pattern(10_000))
      const borrowed = await pager.borrow(handle)
      const value = borrowed.value as Uint8Array
      const other = newPager(t).pageout(pattern(100))
      for (const target of [value, value.subarray(5)]) {
        t.is(await codeOf(() => pager.readAt(handle, 0, 5, target)), 'ERR_INVALID_ARG_VALUE')
        t.is(await codeOf(() => pageout.read(other, target)), 'ERR_INVALID_ARG_VALUE')
        t.is(await codeOf(() => promises.take(other, { target })), 'ERR_INVALID_ARG_VALUE')
      }
      t.false(other.released)
      for (const chunkBackend of backends) {
        for (const verb of [pageout.pageoutWith, promises.pageoutWith]) {
          const copy = await verb(chunkBackend, value)
          t.is(value.length, 10_000)
          sameBytes(t, pageout.take(copy as Handle<Uint8Array>), pattern(10_000))
          const refused = await codeOf(() => verb(chunkBackend, value, { detach: 'required' }))
          t.is(refused, 'ERR_PAGEOUT_NOT_DETACHABLE')
        }
      }
      sameBytes(t, pageout.take(pageout.pageoutFrom([value])), pattern(10_000))
      sameBytes(t, value, pattern(10_000))
      borrowed.release()
      t.is(value.length, 0)
      const target = new Uint8Array(10_000)
      sameBytes(t, await pager.readAt(handle, 0, 5, target), pattern(10_000).subarray(0, 5))
    })

    test(`memory that was not transferable when it was released is copied, and the payload is whole: ${where}`, async t => {
      const { markAsUntransferable } = await import('node:worker_threads')
      const pager = open(t)
      const handle = await pager.pageoutWith(backend, pattern(10_000))
      const borrowed = await pager.borrow(handle)
      markAsUntransferable((borrowed.value as Uint8Array).buffer as never)
      borrowed.release()
      t.throws(() => borrowed.value, RELEASED)
      sameBytes(t, (await pager.borrow(handle, value => bytesOf(value).slice())) as Uint8Array, pattern(10_000))
      sameBytes(t, await pager.take(handle), pattern(10_000))
    })
  }

  const functions = (form === 'promise' ? promises : pageout) as unknown as AnyPager
  test(`borrows of all pagers work with the functions of the package (${form})`, async t => {
    const { borrow, tryBorrow } = functions
    const handle = newPager(t).pageout(Float64Array.of(1, 2, 3))
    t.is(await borrow(handle, value => (value as Float64Array)[1]), 2)
    t.deepEqual(await tryBorrow(handle, value => (value as Float64Array)[2]), { ok: true, value: 3 })
    const borrowed = await borrow(handle)
    t.deepEqual([...(borrowed.value as Float64Array)], [1, 2, 3])
    borrowed.release()
    const result = await tryBorrow(handle)
    if (result.ok) (result.value as Borrow).release()
    else t.fail()
    for (const none of [
      [],
      [undefined],
      [undefined, { signal: undefined, wait: undefined }],
      [undefined, undefined],
      [{}],
      [{ wait: false }],
      [undefined, {}],
    ]) {
      const made = await (borrow as (handle: unknown, ...rest: unknown[]) => Borrow | Promise<Borrow>)(handle, ...none)
      t.false(made.released)
      made.release()
    }
    handle.release()
  })

  test(`wrong arguments are refused (${form})`, async t => {
    const { borrow, tryBorrow } = functions
    const handle = pageout.pageout(Float64Array.of(1, 2, 3))
    const work = () => 1
    const wrong: [unknown[], string][] = [
      [[5], 'ERR_INVALID_ARG_TYPE'],
      [[null], 'ERR_INVALID_ARG_TYPE'],
      [['work'], 'ERR_INVALID_ARG_TYPE'],
      [[new Float64Array(3)], 'ERR_INVALID_ARG_TYPE'],
      [[{}, {}], 'ERR_INVALID_ARG_TYPE'],
      [[work, 5], 'ERR_INVALID_ARG_TYPE'],
      [[undefined, null], 'ERR_INVALID_ARG_TYPE'],
      [[{ wait: 1 }], 'ERR_INVALID_ARG_TYPE'],
      [[work, { wait: 'yes' }], 'ERR_INVALID_ARG_TYPE'],
      [[{ signal: {} }], 'ERR_INVALID_ARG_TYPE'],
    ]
    if (form === 'synchronous')
      wrong.push([[{ wait: true }], 'ERR_INVALID_ARG_VALUE'], [[work, { wait: true }], 'ERR_INVALID_ARG_VALUE'])
    for (const [rest, code] of wrong) {
      for (const verb of [borrow, tryBorrow] as ((handle: unknown, ...rest: unknown[]) => unknown)[]) {
        t.is(await codeOf(() => verb(handle, ...rest)), code, inspect(rest))
      }
    }
    t.regex(inspect(handle), /state: 'out'/)
    handle.release()
  })
}

test('a promise as the result of work is refused after the release, and is nobody else’s trouble', async t => {
  const pager = newPager(t)
  const handle = pager.pageout(Float64Array.of(1, 2, 3))
  const refusal = { instanceOf: TypeError, code: 'ERR_INVALID_RETURN_VALUE', message: /"work".*promise/ }
  let seen: Float64Array | undefined
  const later = async (value: Float64Array) => {
    seen = value
    await setImmediate()
    throw new Error('of the work that nobody waits for')
  }
  // biome-ignore lint/suspicious/noThenProperty: that is what is tested
  for (const work of [later, () => ({ then() {} }), () => Object.assign(() => {}, { then: () => {} })]) {
    t.throws(() => pager.borrow(handle, work as () => unknown), refusal)
    t.throws(() => pager.tryBorrow(handle, work as () => unknown), refusal)
    t.regex(inspect(handle), /state: 'out'/)
  }
  t.is(seen?.length, 0)
  await setImmediate()
  await setImmediate()
})

test("'using' ends a borrow at the end of its block", t => {
  const pager = newPager(t)
  const handle = pager.pageout(Float64Array.of(1, 2, 3))
  let seen: Float64Array | undefined
  {
    using borrowed = pager.borrow(handle)
    seen = borrowed.value
    t.is(seen.length, 3)
  }
  t.is(seen.length, 0)
  handle.release()
})

test('borrows are made by borrow alone, and show no payload', t => {
  const pager = newPager(t)
  const borrowed = pager.borrow(pager.pageout(Buffer.from('secret')))
  t.throws(() => Reflect.construct(Borrow, [new Uint8Array(1), {}]), { code: 'ERR_INVALID_ARG_TYPE' })
  const shown = inspect(borrowed, { showHidden: true, depth: 9 }) + JSON.stringify(borrowed) + String(borrowed)
  t.notRegex(shown, /secret|73 65 63/)
  t.regex(shown, /released: false/)
  borrowed.release()
})

test('changes to a payload of the file backend are dropped, those to one of the swap backend stay', t => {
  const pager = newPager(t)
  for (const backend of backends) {
    for (const chunks of [[pattern(8192)], [pattern(4096), pattern(4096)]]) {
      const handle = pager.pageoutWith(backend, chunks)
      const before = pager.read(handle)
      pager.borrow(handle, value => {
        value[5] = 0xff ^ (before[5] ?? 0)
        const expected = backend === 'swap' ? value[5] : before[5]
        t.is(pager.readAt(handle, 5, 1)[0], expected, 'while it is borrowed')
      })
      if (backend === 'swap') before[5] = 0xff ^ (before[5] ?? 0)
      sameBytes(t, pager.take(handle), before)
    }
  }
})

test('a payload of the swap backend is lent where it is, and taken from there', t => {
  const pager = newPager(t)
  const before = process.memoryUsage().arrayBuffers
  const handle = pager.pageoutWith('swap', new Float64Array(4 * MIB).fill(7))
  for (let round = 0; round < 3; round += 1) {
    pager.borrow(handle, value => {
      t.is(value[round], 7)
      t.true(process.memoryUsage().arrayBuffers - before < 33 * MIB)
    })
  }
  t.is(pager.take(handle).length, 4 * MIB)
})

test('memory that could be resized is lent at a fixed length', t => {
  const pager = newPager(t)
  const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer
  const buffer = new Resizable(100, { maxByteLength: 1000 })
  new Uint8Array(buffer).fill(9)
  const handle = pager.pageoutWith('swap', buffer)
  for (let round = 0; round < 2; round += 1) {
    pager.borrow(handle, value => {
      t.false((value as ArrayBuffer & { resizable: boolean }).resizable)
      t.is(value.byteLength, 100)
    })
  }
  sameBytes(t, pager.take(handle), new Uint8Array(100).fill(9))
})

test('what is borrowed is released before a stream that releases it ends', async t => {
  const pager = newPager(t)
  const handle = pager.pageout(pattern(1000))
  const borrowed = pager.borrow(handle)
  const drain = async () => {
    for await (const chunk of pager.toReadableStream(handle, { release: 'end' })) t.true(chunk.length > 0)
  }
  await t.throwsAsync(drain, BORROWED)
  borrowed.release()
  await drain()
  t.true(handle.released)
})

test.serial('a borrow that fails leaves the handle as it was', async t => {
  for (const Class of [Pager, promises.Pager]) {
    const pager = new Class({ capacityBytes: 2 ** 20 }) as unknown as AnyPager
    const handle = await pager.pageoutWith('file', pattern(10_000))
    const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: Record<string, unknown> }
    const originals = { read: native.read, readAsync: native.readAsync, readBatchAsync: native.readBatchAsync }
    const fail = () => {
      throw Object.assign(Object.create(null), { code: 'EIO', message: 'EIO: i/o error, read', errno: -5 })
    }
    Object.assign(native, { read: fail, readAsync: fail, readBatchAsync: fail })
    try {
      t.is(await codeOf(() => pager.borrow(handle)), 'EIO')
      const result = await pager.tryBorrow(handle)
      t.false(result.ok)
      if (!result.ok) t.is(result.error.code, 'EIO')
      let isCalled = false
      const tried = await pager.tryBorrow(handle, () => {
        isCalled = true
      })
      t.deepEqual([tried.ok, isCalled], [false, false])
    } finally {
      Object.assign(native, originals)
    }
    t.is(await pager.borrow(handle, lengthOf), 10_000)
    sameBytes(t, await pager.take(handle), pattern(10_000))
    await pager.close()
  }
})

test.serial('borrows that end as they should warn of nothing', async t => {
  const { warnings } = watchWarnings(t)
  const pager = newPager(t)
  const handle = pager.pageout(pattern(100))
  for (let round = 0; round < 1000; round += 1) pager.borrow(handle).release()
  await collectUntil(() => false)
  t.deepEqual(warnings, [])
})
