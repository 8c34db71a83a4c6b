/** Payloads as streams of bytes, and files that are longer than the memory. */

import { getEventListeners } from 'node:events'
import { createReadStream, createWriteStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import test from 'ava'
import { type Handle, Pager, pageout, pageoutWith, take, toReadableStream } from 'pageout'
import * as promises from 'pageout/promises'
import { runChild } from './helpers/child.js'
import { backends, chunkOf, KIB, kinds, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { enterMemoryGroup } from './helpers/memory-group.js'
import { newDirectory, newPager } from './helpers/places.js'

for (const backend of backends) {
  test(`a stream gives the bytes of every class in order, and leaves the handle (${backend})`, async t => {
    for (const kind of kinds) {
      const bytes = pattern(100 * kind.elementBytes)
      const handle = pageoutWith(backend, chunkOf(kind, bytes))
      const chunks: Uint8Array[] = []
      for await (const chunk of toReadableStream(handle, { chunkBytes: 33 })) chunks.push(chunk)
      t.true(chunks.every(({ length }, position) => length === 33 || position === chunks.length - 1))
      sameBytes(t, Buffer.concat(chunks), bytes, kind.name)
      t.false(handle.released)
      sameBytes(t, take(handle), bytes)
    }
  })
}

for (const release of [true, 'end'] as const) {
  test(`what was read ahead releases no handle: a reader has to have it (release: ${release})`, async t => {
    const handle = pageout(pattern(3 * KIB))
    const reader = toReadableStream(handle, { chunkBytes: 4 * KIB, release }).getReader()
    for (let turn = 0; turn < 100; turn += 1) await setImmediate()
    t.false(handle.released)
    sameBytes(t, (await reader.read()).value as Uint8Array, pattern(3 * KIB))
    t.true((await reader.read()).done)
    t.true(handle.released)
  })
}

test('a stream that is given up before its end leaves a handle that is released at the end', async t => {
  const handle = pageout(pattern(3 * KIB))
  const failed = toReadableStream(handle, { release: 'end' })
  for (let turn = 0; turn < 100; turn += 1) await setImmediate()
  await failed.cancel('no more')
  t.false(handle.released)
  sameBytes(t, await buffer(toReadableStream(handle, { chunkBytes: KIB, release: 'end' })), pattern(3 * KIB))
  t.true(handle.released)
})

test('a payload without bytes is a stream without chunks', async t => {
  const handle = pageout(new Float64Array(0))
  t.is((await buffer(toReadableStream(handle, { release: true }))).length, 0)
  t.true(handle.released)
})

test('a stream releases the handle at its end or when it is cancelled, if asked', async t => {
  const read = pageout(pattern(MIB))
  sameBytes(t, await buffer(toReadableStream(read, { release: true })), pattern(MIB))
  t.true(read.released)
  const cancelled = pageout(pattern(MIB))
  for await (const chunk of toReadableStream(cancelled, { release: true })) {
    t.true(chunk.length > 0)
    break
  }
  t.true(cancelled.released)
  const kept = pageout(pattern(MIB))
  await toReadableStream(kept).cancel()
  t.false(kept.released)
  kept[Symbol.dispose]()
})

test('a stream reads ahead by one chunk and no more', async t => {
  const pager = newPager(t)
  const handle = pager.pageout(pattern(MIB))
  const reader = pager.toReadableStream(handle, { chunkBytes: 64 * KIB }).getReader()
  const readBytes = async (expected: number) => {
    while (pager.stats().readBytes < expected) await setImmediate()
    // More turns than one more read takes, as a rule.
    for (let turn = 0; turn < 1000; turn++) await setImmediate()
    return pager.stats().readBytes
  }
  t.is(await readBytes(64 * KIB), 64 * KIB)
  t.is((await reader.read()).value?.length, 64 * KIB)
  t.is(await readBytes(128 * KIB), 128 * KIB)
  await reader.cancel()
  handle[Symbol.dispose]()
})

test('a reader may bring its own memory', async t => {
  const bytes = pattern(300_000)
  for (const backend of backends) {
    const handle = pageoutWith(backend, bytes.slice())
    const reader = toReadableStream(handle, { release: true }).getReader({ mode: 'byob' })
    const got: Buffer[] = []
    for (let view = new Uint8Array(70_001); ; ) {
      const { value, done } = await reader.read(view)
      if (done) break
      got.push(Buffer.from(value))
      view = new Uint8Array(value.buffer)
    }
    sameBytes(t, Buffer.concat(got), bytes, backend)
    t.true(handle.released)
  }
})

test('reads with memory of their own that are still waiting at the end are told of it', async t => {
  for (const length of [0, 50, 128]) {
    const handle = pageout(pattern(length))
    const reader = toReadableStream(handle, { chunkBytes: 64, release: true }).getReader({ mode: 'byob' })
    const reads = await Promise.all([1, 2, 3, 4].map(() => reader.read(new Uint8Array(64))))
    sameBytes(t, Buffer.concat(reads.map(({ value }) => value ?? new Uint8Array(0))), pattern(length))
    t.true(reads.at(-1)?.done && handle.released)
  }
})

test('a handle is left whole when elements of a waiting reader are wider than what is left', async t => {
  const handle = pageout(pattern(7))
  const { signal } = new AbortController()
  const reader = toReadableStream(handle, { signal, release: true, chunkBytes: 2 }).getReader({ mode: 'byob' })
  const reads = [1, 2, 3, 4].map(() => reader.read(new Uint16Array(4)))
  await t.throwsAsync(Promise.all(reads), { code: 'ERR_INVALID_STATE' })
  t.is(getEventListeners(signal, 'abort').length, 0)
  sameBytes(t, take(handle), pattern(7))
})

test('an abort ends the stream as Node does it, and leaves handle and listeners as they were', async t => {
  const handle = pageout(pattern(MIB))
  const controller = new AbortController()
  const { signal } = controller
  const reader = toReadableStream(handle, { signal, release: true, chunkBytes: KIB }).getReader()
  t.is((await reader.read()).value?.length, KIB)
  controller.abort('enough')
  const error = await t.throwsAsync(reader.read(), { name: 'AbortError', code: 'ABORT_ERR' })
  t.is(error?.cause, 'enough')
  const late = toReadableStream(handle, { signal }).getReader().read()
  await t.throwsAsync(late, { name: 'AbortError', code: 'ABORT_ERR' })
  sameBytes(t, take(handle), pattern(MIB))
})

test('a stream that was read or cancelled keeps no listener', async t => {
  const { signal } = new AbortController()
  const handle = pageout(pattern(MIB))
  await buffer(toReadableStream(handle, { signal }))
  await toReadableStream(handle, { signal }).cancel()
  t.is(getEventListeners(signal, 'abort').length, 0)
  handle[Symbol.dispose]()
})

test('a handle that goes away ends its streams with an error', async t => {
  const handle = pageout(pattern(MIB))
  const reader = toReadableStream(handle, { chunkBytes: KIB }).getReader()
  await reader.read()
  handle[Symbol.dispose]()
  const readAll = async () => {
    for (;;) if ((await reader.read()).done) return
  }
  await t.throwsAsync(readAll(), { code: 'ERR_PAGEOUT_RELEASED' })
  t.throws(() => toReadableStream(handle), { code: 'ERR_PAGEOUT_RELEASED' })
})

test('a pager that is closed ends its streams, wherever their reads are', async t => {
  for (const length of [100, MIB]) {
    for (let turns = 0; turns < 12; turns++) {
      const pager = new Pager()
      const streams = Array.from({ length: 6 }, () => pager.toReadableStream(pager.pageout(pattern(length))))
      const reads = streams.map(stream => stream.getReader().read())
      for (let turn = 0; turn < turns; turn++) await undefined
      pager.close()
      const outcomes = await Promise.allSettled(reads)
      const codes = outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason.code] : []))
      t.deepEqual([...new Set([...codes, 'ERR_PAGEOUT_CLOSED'])], ['ERR_PAGEOUT_CLOSED'], `${turns} turns`)
    }
  }
})

test('wrong arguments are refused at the call', t => {
  const handle = pageout(pattern(8))
  const wrong: [() => unknown, string][] = [
    [() => toReadableStream({} as Handle), 'ERR_INVALID_ARG_TYPE'],
    [() => toReadableStream(handle, 5 as unknown as object), 'ERR_INVALID_ARG_TYPE'],
    [() => toReadableStream(handle, { chunkBytes: 0 }), 'ERR_OUT_OF_RANGE'],
    [() => toReadableStream(handle, { chunkBytes: 1.5 }), 'ERR_OUT_OF_RANGE'],
    [() => toReadableStream(handle, { chunkBytes: 2 ** 31 }), 'ERR_OUT_OF_RANGE'],
    [() => toReadableStream(handle, { chunkBytes: '1' as unknown as number }), 'ERR_INVALID_ARG_TYPE'],
    [() => toReadableStream(handle, { release: 1 as unknown as boolean }), 'ERR_INVALID_ARG_TYPE'],
    [() => toReadableStream(handle, { signal: {} as AbortSignal }), 'ERR_INVALID_ARG_TYPE'],
    [() => newPager(t).toReadableStream(handle), 'ERR_INVALID_ARG_VALUE'],
  ]
  for (const [call, code] of wrong) t.throws(call, { code })
  handle[Symbol.dispose]()
})

test('Node streams work by the standard adapters, both ways', async t => {
  const directory = newDirectory(t)
  const [from, to] = [join(directory, 'from'), join(directory, 'to')]
  const bytes = pattern(5 * MIB + 3)
  await pipeline(Readable.from([bytes]), createWriteStream(from))
  const handle = await promises.pageoutFrom<Buffer>(createReadStream(from))
  const stream = toReadableStream(handle, { release: true })
  await pipeline(Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(to))
  sameBytes(t, readFileSync(to), bytes)
  t.true(handle.released)
})

interface Streamed {
  readonly peakBytes: number
  readonly isSame: boolean
}

const FILE_BYTES = 1024 * MIB
const LIMIT_BYTES = 256 * MIB

for (const way of ['from a file', 'to a file']) {
  test.serial(`1 GiB ${way} goes through a process that may use 256 MiB`, async t => {
    const group = enterMemoryGroup(t, LIMIT_BYTES)
    const args = [way, newDirectory(t), FILE_BYTES]
    const { isSame, peakBytes } = await runChild<Streamed>('streams.ts', args, {}, group)
    t.log(`peak of ${Math.round(peakBytes / MIB)} MiB`)
    t.true(isSame)
    t.true(peakBytes < LIMIT_BYTES)
  })
}
