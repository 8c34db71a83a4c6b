/** Promised borrows: shared reads, aborts, work that takes its time, closing, and memory that other threads use. */

import { setImmediate, setTimeout } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { type Borrow, type Handle, Pager } from 'pageout'
import * as promises from 'pageout/promises'
import { backends, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { newDirectory } from './helpers/places.js'

const { Pager: PromisePager } = promises

type Native = Record<string, (...args: never[]) => unknown>
const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: Native }

/** How often a function of the addon is called from now on. */
function watch(t: ExecutionContext, name: string): () => number {
  const original = native[name]
  if (!original) throw new Error(`the addon has no ${name}`)
  let count = 0
  native[name] = (...args) => {
    count += 1
    return original(...args)
  }
  t.teardown(() => {
    native[name] = original
  })
  return () => count
}

function newPager(t: ExecutionContext): InstanceType<typeof PromisePager> {
  const pager = new PromisePager({ scratchDir: newDirectory(t) })
  t.teardown(() => pager.close())
  return pager
}

const chunksOf: Record<string, () => Uint8Array[]> = {
  'one chunk': () => [pattern(2 * MIB)],
  'several chunks': () => [pattern(2 * MIB).slice(0, MIB), pattern(2 * MIB).slice(MIB)],
}

for (const backend of backends) {
  for (const [what, chunks] of Object.entries(chunksOf)) {
    const where = `${what}, ${backend} backend`

    test.serial(`concurrent borrows share one read and one memory: ${where}`, async t => {
      const pager = newPager(t)
      const handle = await pager.pageoutWith(backend, chunks())
      const reads = watch(t, backend === 'file' ? 'readAsync' : 'copyAsync')
      const borrows = await Promise.all(Array.from({ length: 20 }, () => pager.borrow(handle)))
      t.is(reads(), backend === 'swap' && what === 'one chunk' ? 0 : 1)
      t.is(new Set(borrows.map(borrowed => borrowed.value.buffer)).size, 1)
      sameBytes(t, borrows[7]?.value as Uint8Array, pattern(2 * MIB))
      const arrays = borrows.map(borrowed => borrowed.value)
      for (const borrowed of borrows.slice(1)) borrowed.release()
      t.is(arrays[3]?.length, 2 * MIB)
      borrows[0]?.release()
      t.true(arrays.every(array => array.length === 0))
      sameBytes(t, await pager.take(handle), pattern(2 * MIB))
    })

    test.serial(`an aborted borrow rejects at once, and the others have theirs: ${where}`, async t => {
      const pager = newPager(t)
      const handle = await pager.pageoutWith(backend, chunks())
      const controller = new AbortController()
      const { signal } = controller
      const aborted = [pager.borrow(handle, { signal }), pager.borrow(handle, undefined, { signal })]
      const other = pager.borrow(handle)
      let isCalled = false
      const work = pager.borrow(
        handle,
        () => {
          isCalled = true
        },
        { signal },
      )
      controller.abort('why')
      for (const outcome of await Promise.allSettled([...aborted, work])) {
        if (outcome.status === 'fulfilled') return t.fail()
        t.deepEqual(
          [outcome.reason.name, outcome.reason.code, outcome.reason.cause],
          ['AbortError', 'ABORT_ERR', 'why'],
        )
      }
      t.false(isCalled)
      const borrowed = await other
      sameBytes(t, borrowed.value, pattern(2 * MIB))
      const late = await pager.borrow(handle, { signal }).catch(error => error)
      t.is(late.code, 'ABORT_ERR', 'also where it is in memory')
      borrowed.release()
      sameBytes(t, await pager.take(handle), pattern(2 * MIB))
    })

    test.serial(`borrows that are all aborted leave nothing behind: ${where}`, async t => {
      const pager = newPager(t)
      const handle = await pager.pageoutWith(backend, chunks())
      for (let round = 0; round < 5; round += 1) {
        const controller = new AbortController()
        const { signal } = controller
        const borrows = Array.from({ length: 3 }, () => pager.borrow(handle, { signal }))
        for (let turn = 0; turn < round; turn += 1) await setImmediate()
        controller.abort()
        for (const outcome of await Promise.allSettled(borrows)) {
          if (outcome.status === 'fulfilled') outcome.value.release()
        }
      }
      sameBytes(t, await pager.borrow(handle, value => value.slice()), pattern(2 * MIB))
      sameBytes(t, await pager.take(handle), pattern(2 * MIB))
    })

    test.serial(`a payload that is gone before its bytes are there is not borrowed: ${where}`, async t => {
      const ends: Record<string, [(handle: Handle<Uint8Array>) => unknown, string]> = {
        release: [handle => handle.release(), 'ERR_PAGEOUT_RELEASED'],
        move: [handle => handle.move(), 'ERR_PAGEOUT_RELEASED'],
        take: [handle => promises.take(handle), 'ERR_PAGEOUT_RELEASED'],
      }
      for (const [end, [call, code]] of Object.entries(ends)) {
        const pager = newPager(t)
        const handle = await pager.pageoutWith(backend, chunks())
        const borrows = [pager.borrow(handle), pager.borrow(handle, () => t.fail())]
        const ending = call(handle)
        for (const outcome of await Promise.allSettled(borrows)) {
          t.is((outcome as PromiseRejectedResult).reason?.code, code, end)
        }
        await ending
      }
    })

    test.serial(`a pager that is closed meanwhile gives no borrow: ${where}`, async t => {
      for (const turns of [0, 1, 2]) {
        const pager = newPager(t)
        const handle = await pager.pageoutWith(backend, chunks())
        const borrowing = pager.borrow(handle)
        for (let turn = 0; turn < turns; turn += 1) await setImmediate()
        const closing = pager.close()
        const outcome = await borrowing.catch(error => error)
        if (outcome instanceof Error) t.is((outcome as NodeJS.ErrnoException).code, 'ERR_PAGEOUT_CLOSED')
        else t.true((outcome as Borrow).released)
        await closing
      }
    })

    test.serial(`a payload that others read at this moment is borrowed without a race: ${where}`, async t => {
      const pager = new Pager({ scratchDir: newDirectory(t) })
      t.teardown(() => pager.close())
      const handle = pager.pageoutWith(backend, chunks())
      for (const verb of [pager.borrow.bind(pager), promises.borrow] as ((handle: unknown) => Borrow<Uint8Array>)[]) {
        const reads = Array.from({ length: 12 }, () => promises.read(handle))
        const borrowed = await verb(handle)
        sameBytes(t, borrowed.value, pattern(2 * MIB))
        const more = Array.from({ length: 3 }, () => promises.read(handle))
        // Another thread that still reads the memory would see this.
        borrowed.value.fill(0)
        for (const read of reads) sameBytes(t, await read, pattern(2 * MIB))
        for (const read of more) {
          const [first] = await read
          t.true(first === 0 || first === pattern(1)[0])
        }
        borrowed.value.set(pattern(2 * MIB))
        borrowed.release()
      }
    })
  }

  test(`work may take its time, and the borrow ends when it settles: ${backend} backend`, async t => {
    const pager = newPager(t)
    const handle = await pager.pageoutWith(backend, pattern(10_000))
    let seen: Uint8Array | undefined
    const slow = async (value: Uint8Array) => {
      seen = value
      await setTimeout(20)
      sameBytes(t, value, pattern(10_000))
      return value[3]
    }
    const pending = pager.borrow(handle, slow)
    while (!seen) await setImmediate()
    t.throws(() => handle.release(), { code: 'ERR_PAGEOUT_BORROWED' })
    t.is(await pending, pattern(4)[3])
    t.is(seen?.length, 0)
    const failing = pager.tryBorrow(handle, async value => {
      await slow(value)
      throw new Error('at last')
    })
    await t.throwsAsync(failing, { message: 'at last' })
    t.is(seen?.length, 0)
    const refused = pager.borrow(handle, async value => value.subarray(1))
    await t.throwsAsync(refused, { instanceOf: TypeError, code: 'ERR_INVALID_RETURN_VALUE' })
    handle.release()
  })

  test(`close empties the arrays at once, and does not wait for work: ${backend} backend`, async t => {
    const pager = newPager(t)
    const handle = await pager.pageoutWith(backend, pattern(10_000))
    let finish = () => {}
    let seen: Uint8Array | undefined
    const working = pager.borrow(handle, async value => {
      seen = value
      await new Promise<void>(resolve => {
        finish = resolve
      })
      return 'done'
    })
    while (!seen) await setImmediate()
    const closing = pager.close()
    t.is(seen.length, 0)
    await closing
    finish()
    t.is(await working, 'done')
  })

  test(`promised reads of what is borrowed copy on the JavaScript thread: ${backend} backend`, async t => {
    const pager = newPager(t)
    const handle = await pager.pageoutWith(backend, [pattern(MIB), pattern(MIB)])
    using borrowed = await pager.borrow(handle)
    borrowed.value[0] = 99
    const reading = pager.readAt(handle, 0, MIB)
    borrowed.value[0] = pattern(1)[0] ?? 0
    t.is((await reading)[0], backend === 'swap' ? 99 : pattern(1)[0])
    const small = new Uint8Array(20)
    sameBytes(
      t,
      await pager.readAtMany(
        handle,
        [
          [MIB, 5],
          [1, 5],
        ],
        small,
      ),
      small.subarray(0, 10),
    )
    sameBytes(t, small.subarray(5, 10), pattern(10).subarray(1, 6))
  })
}

test('a borrow while a take is pending is refused, and a take while a borrow is pending succeeds', async t => {
  const pager = newPager(t)
  for (const backend of backends) {
    const handle = await pager.pageoutWith(backend, pattern(MIB))
    const taking = pager.take(handle)
    t.is((await pager.borrow(handle).catch(error => error)).code, 'ERR_PAGEOUT_RELEASED')
    sameBytes(t, await taking, pattern(MIB))
    const other = await pager.pageoutWith(backend, pattern(MIB))
    const borrowing = pager.borrow(other).catch(error => error)
    sameBytes(t, await pager.take(other), pattern(MIB))
    t.is((await borrowing).code, 'ERR_PAGEOUT_RELEASED')
  }
})

test('a synchronous borrow does not wait for a promised one, and both share the memory', async t => {
  for (const backend of backends) {
    const pager = newPager(t)
    const handle = await pager.pageoutWith(backend, [pattern(MIB), pattern(MIB)])
    const pending = promises.borrow(handle)
    const { borrow } = await import('pageout')
    const now = borrow(handle)
    const later = await pending
    t.is(now.value.buffer, later.value.buffer)
    now.release()
    t.is(later.value.length, 2 * MIB)
    later.release()
    handle.release()
  }
})

test('the event loop turns while a payload comes into memory', async t => {
  const pager = newPager(t)
  for (const backend of backends) {
    const handle = await pager.pageoutWith(backend, [
      new Uint8Array(32 * MIB).fill(1),
      new Uint8Array(32 * MIB).fill(2),
    ])
    let isDone = false
    let turns = 0
    const borrowing = pager.borrow(handle).finally(() => {
      isDone = true
    })
    while (!isDone) {
      await setImmediate()
      turns += 1
    }
    const borrowed = await borrowing
    t.deepEqual([borrowed.value[0], borrowed.value.at(-1)], [1, 2])
    // A borrow that kept the thread busy would be done in the first.
    t.true(turns > 1, `${turns} turns`)
    borrowed.release()
  }
})
