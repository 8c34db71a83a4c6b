/** Borrows that do not end as they should: collected unreleased, or with their memory transferred away. */

import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { type Backend, type Chunk, type Handle, Pager, readAt, take } from 'pageout'
import * as promises from 'pageout/promises'
import { watchWarnings } from './helpers/borrows.js'
import { backends, bytesOf, chunkOf, type Kind, kinds, lengthOf, pattern, sameBytes } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { newDirectory, newPager } from './helpers/places.js'

const isBorrowed = (handle: Handle<Chunk>) => /state: 'borrowed'/.test(inspect(handle))

/** In a function of its own, so that nothing on the stack keeps what it makes. */
function dropBorrow(pager: Pager, handle: Handle<Chunk>): void {
  lengthOf(pager.borrow(handle).value)
}

async function dropBorrowLater(handle: Handle<Chunk>): Promise<void> {
  lengthOf((await promises.borrow(handle)).value)
}

function valueAlone(pager: Pager, handle: Handle<Chunk>): Chunk {
  return pager.borrow(handle).value
}

function payloadOf(t: ExecutionContext, backend: Backend, kind: Kind): { pager: Pager; handle: Handle<Chunk> } {
  const pager = newPager(t)
  return { pager, handle: pager.pageoutWith(backend, chunkOf(kind, pattern(1000 * kind.elementBytes))) }
}

for (const backend of backends) {
  for (const kind of kinds) {
    const where = `${kind.name}, ${backend} backend`
    const bytes = pattern(1000 * kind.elementBytes)

    test.serial(`a borrow that is collected is released, with a warning: ${where}`, async t => {
      const { warnings, arrived } = watchWarnings(t)
      const { pager, handle } = payloadOf(t, backend, kind)
      dropBorrow(pager, handle)
      t.true(isBorrowed(handle))
      t.true(await collectUntil(() => !isBorrowed(handle)))
      t.true(await arrived(1))
      t.is(warnings.length, 1)
      t.is(warnings[0]?.code, 'PAGEOUT_BORROW_COLLECTED')
      t.regex(warnings[0]?.message ?? '', new RegExp(`${kind.name}\\b.*1000`))
      t.is(warnings[0]?.detail, undefined)
      sameBytes(t, pager.read(handle), bytes)

      await dropBorrowLater(handle)
      t.true(await collectUntil(() => !isBorrowed(handle)))
      t.true(await arrived(2))
      t.regex(warnings[1]?.detail ?? '', /dropBorrowLater.*borrow-ends\.spec/)
      t.notRegex(warnings[1]?.detail ?? '', /dist.(verbs|api)/)
      dropBorrow(pager, handle)
      t.true(await collectUntil(() => !isBorrowed(handle)))
      t.true(await arrived(3))
      t.regex(warnings[2]?.detail ?? '', /^[^\n]*\n[^\n]*dropBorrow .*borrow-ends\.spec/)
      sameBytes(t, take(handle), bytes)
    })

    test.serial(`an array keeps its borrow: ${where}`, async t => {
      const { warnings, arrived } = watchWarnings(t)
      const { pager, handle } = payloadOf(t, backend, kind)
      const holder: { value: Chunk | undefined } = { value: valueAlone(pager, handle) }
      t.false(await collectUntil(() => !isBorrowed(handle)))
      const borrowAgain = () => {
        const { value } = holder
        pager.borrow(handle, again => {
          if (value) t.is(bytesOf(again).buffer, bytesOf(value).buffer)
        })
        if (value) sameBytes(t, value, bytes)
      }
      borrowAgain()
      sameBytes(t, await promises.read(handle), bytes)
      t.true(isBorrowed(handle))
      t.false(await collectUntil(() => !isBorrowed(handle)))
      t.is(warnings.length, 0)
      holder.value = undefined
      t.true(await collectUntil(() => !isBorrowed(handle)))
      t.true(await arrived(1))
      sameBytes(t, take(handle), bytes)
    })

    test.serial(`a pager that is closed empties an array whose borrow was collected: ${where}`, async t => {
      const { pager, handle } = payloadOf(t, backend, kind)
      const value = valueAlone(pager, handle)
      await collectUntil(() => false)
      t.not(lengthOf(value), 0)
      pager.close()
      t.is(lengthOf(value), 0)
    })
  }

  test.serial(`a borrow that is collected leaves the others: ${backend} backend`, async t => {
    const { arrived } = watchWarnings(t)
    for (const kind of kinds) {
      const { pager, handle } = payloadOf(t, backend, kind)
      const kept = pager.borrow(handle)
      dropBorrow(pager, handle)
      await collectUntil(() => false)
      sameBytes(t, kept.value, pattern(1000 * kind.elementBytes))
      t.true(isBorrowed(handle))
      kept.release()
      t.true(await collectUntil(() => !isBorrowed(handle)), kind.name)
      sameBytes(t, take(handle), pattern(1000 * kind.elementBytes))
    }
    t.true(await arrived(kinds.length))
  })

  test.serial(`memory that was transferred away is noticed at the release: ${backend} backend`, async t => {
    const { warnings, arrived } = watchWarnings(t)
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, pattern(10_000))
    const borrowed = pager.borrow(handle)
    const theirs = structuredClone(borrowed.value, { transfer: [borrowed.value.buffer] })
    borrowed.release()
    t.true(borrowed.released)
    sameBytes(t, theirs, pattern(10_000))
    t.is(handle.released, backend === 'swap')
    if (backend === 'file') sameBytes(t, pager.take(handle), pattern(10_000))
    else t.throws(() => pager.take(handle), { code: 'ERR_PAGEOUT_RELEASED' })
    t.is(pager.stats().handles, 0)
    t.true(await arrived(1))
    t.is(warnings[0]?.code, 'PAGEOUT_BORROW_TRANSFERRED')
    t.regex(warnings[0]?.message ?? '', /Uint8Array.*10000/)
    sameBytes(t, theirs, pattern(10_000), 'it stays theirs')
  })

  test.serial(`memory that was transferred away is noticed by what needs it: ${backend} backend`, async t => {
    const { warnings, arrived } = watchWarnings(t)
    const calls: Record<string, (handle: Handle<Uint8Array>) => Promise<unknown> | unknown> = {
      read: handle => readAt(handle, 0, 10_000),
      'promised read': handle => promises.read(handle),
      borrow: handle => {
        using borrowed = pager.borrow(handle)
        return borrowed.value.slice()
      },
      'promised borrow': handle => promises.borrow(handle, value => value.slice()),
    }
    const pager = newPager(t)
    for (const [what, call] of Object.entries(calls)) {
      const handle = pager.pageoutWith(backend, pattern(10_000))
      const borrowed = pager.borrow(handle)
      const { value } = borrowed
      structuredClone(value, { transfer: [value.buffer] })
      const outcome = await Promise.resolve(handle)
        .then(call)
        .catch(error => error)
      if (backend === 'file') sameBytes(t, outcome as Uint8Array, pattern(10_000), what)
      else t.is((outcome as NodeJS.ErrnoException).code, 'ERR_PAGEOUT_RELEASED', what)
      borrowed.release()
      t.is(handle.released, backend === 'swap', what)
    }
    t.true(await arrived(4))
    t.is(warnings.length, 4)
  })

  test.serial(`a pager closes over memory that was transferred away: ${backend} backend`, async t => {
    const { arrived } = watchWarnings(t)
    const pager = newPager(t)
    const borrowed = pager.borrow(pager.pageoutWith(backend, pattern(10_000)))
    const { value } = borrowed
    const theirs = structuredClone(value, { transfer: [value.buffer] })
    pager.close()
    t.true(borrowed.released)
    sameBytes(t, theirs, pattern(10_000))
    t.true(await arrived(1))
  })
}

for (const [where, options] of Object.entries({
  swap: { backend: 'swap' },
  budget: { residentBytes: 2 ** 20 },
} as const)) {
  test.serial(`a buffer whose borrow was collected may be borrowed again, and changes are kept: ${where}`, async t => {
    const { warnings, arrived } = watchWarnings(t)
    const pager = newPager(t, options)
    const expected = pattern(10_000)
    const handle = pager.pageout(expected.slice().buffer as ArrayBuffer)
    const holder: { value: ArrayBuffer | undefined } = { value: valueAlone(pager, handle) as ArrayBuffer }
    const change = (position: number) => {
      expected[position] = ~(expected[position] ?? 0)
      new Uint8Array(holder.value as ArrayBuffer)[position] = expected[position] ?? 0
    }
    change(1)
    t.false(await collectUntil(() => !isBorrowed(handle)))
    sameBytes(t, await promises.read(handle), expected, 'read from the copy')
    t.is(pager.stats().borrowedBytes, where === 'budget' ? 10_000 : 0)
    for (const position of [2, 3]) {
      const again = pager.borrow(handle)
      t.true(again.value === holder.value)
      change(position)
      sameBytes(t, pager.read(handle), expected, 'read from the buffer')
      again.release()
      sameBytes(t, pager.read(handle), expected, 'read from the copy again')
    }
    t.is(holder.value?.byteLength, 10_000)
    holder.value = undefined
    t.true(await collectUntil(() => !isBorrowed(handle)))
    t.true(await arrived(1))
    t.is(warnings.length, 1)
    t.is(pager.stats().borrowedBytes, 0)
    sameBytes(t, pager.take(handle), expected)
    t.is(pager.stats().residentBytes, 0)
  })

  test.serial(
    `a buffer whose borrow was collected and that is transferred away leaves the payload: ${where}`,
    async t => {
      const { arrived } = watchWarnings(t)
      const pager = newPager(t, options)
      const handle = pager.pageout(pattern(10_000).buffer as ArrayBuffer)
      const value = valueAlone(pager, handle) as ArrayBuffer
      t.false(await collectUntil(() => !isBorrowed(handle)))
      structuredClone(value, { transfer: [value] })
      sameBytes(t, pager.read(handle), pattern(10_000))
      t.true(await arrived(1))
      t.false(isBorrowed(handle))
      t.is(pager.stats().borrowedBytes, 0)
      sameBytes(t, pager.take(handle), pattern(10_000))
    },
  )
}

test.serial('work that never settles is released when nobody waits for it any more', async t => {
  const { arrived } = watchWarnings(t)
  const pager = newPager(t)
  const handle = pager.pageout(pattern(1000))
  const drop = async () => {
    void promises.borrow(handle, () => new Promise<void>(() => {}))
    while (!isBorrowed(handle)) await new Promise(resolve => setImmediate(resolve))
  }
  await drop()
  t.true(await collectUntil(() => !isBorrowed(handle)))
  t.true(await arrived(1))
})

test.serial('a borrow is released and warned of when its pager was dropped with it', async t => {
  const { arrived } = watchWarnings(t)
  const drop = () => {
    const pager = new Pager({ scratchDir: newDirectory(t) })
    dropBorrow(pager, pager.pageoutWith('swap', pattern(1000)))
  }
  drop()
  await collectUntil(() => false)
  t.true(await arrived(1))
})
