/**
 * The swap backend: the chunks' own memory, private and hinted cold, for the operating system to swap out. The addon counts the
 * payloads; their memory is here.
 */

import { native } from '../addon/load.js'
import { type Ranges, wholeOf } from '../chunks/arguments.js'
import { bytesUnder } from '../chunks/classes.js'
import {
  chunksAgain,
  type PageoutRequest,
  type Preparation,
  type PrivateMemory,
  takePrivate,
} from '../chunks/request.js'
import { destination, filled } from '../chunks/target.js'
import { freeBuffer } from '../memory/freeing.js'
import { allocate, privateMemory, spareFor } from '../memory/results.js'
import { fromAddon, guarded, withChunks } from '../model/errors.js'
import { markReleased, type Owner, type Payload, type SwapMemory } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import { refuseAborted, unlessAborted } from '../threads/abort.js'
import { run } from '../threads/pool-share.js'
import type { Fetched, PayloadBackend } from './backend.js'
import { handOut } from './hand-out.js'

type Signal = AbortSignal | undefined

export const swap: PayloadBackend = {
  store(owner: Owner, request: PageoutRequest): number {
    // What can fail comes before chunks are moved.
    const ticket = guarded(() => native.keep(owner.ref, request.byteLength))
    try {
      const memory = keep(owner, ticket, takePrivate(request, preparation(owner.excludes)).buffers, owner.excludes)
      hintCold(memory)
      return ticket
    } catch (error) {
      native.free(owner.ref, ticket)
      throw error
    }
  },

  async storeLater(owner: Owner, request: PageoutRequest, signal: Signal): Promise<number> {
    const ticket = guarded(() => native.keep(owner.ref, request.byteLength))
    let taken: PrivateMemory | undefined
    try {
      taken = takePrivate(request, preparation(owner.excludes))
      const memory = keep(owner, ticket, taken.buffers, owner.excludes)
      await whileUsed(memory, () => run(() => native.hintColdAsync(memory.buffers.map(bytesOf)), signal))
      return ticket
    } catch (error) {
      owner.swapped.delete(ticket)
      native.free(owner.ref, ticket)
      if (owner.excludes) for (const buffer of taken?.buffers ?? []) EXCLUSION.undo(bytesOf(buffer))
      throw taken ? withChunks(error, chunksAgain(taken)) : error
    }
  },

  read(payload: Payload, ranges: Ranges, into: ArrayBufferView): void {
    copy(memoryOf(payload), ranges, bytesUnder(into))
    native.countRead(payload.owner.ref, ranges.byteLength)
  },

  readLater(payload: Payload, ranges: Ranges, into: Uint8Array | undefined, signal: Signal): Promise<Uint8Array> {
    const memory = memoryOf(payload)
    // No other thread reads what callers can reach.
    const bytes = payload.lending ? copyNow(memory, ranges, into) : fill(memory, ranges, into, signal)
    return unlessAborted(
      bytes.then(bytes => {
        native.countRead(payload.owner.ref, ranges.byteLength)
        return bytes
      }),
      signal,
    )
  },

  take(payload: Payload, target: unknown): Chunk {
    const memory = memoryOf(payload)
    const only = target === undefined && memory.users === 0 ? onlyBuffer(memory) : undefined
    if (only) return takeOver(payload, memory, only)
    const { chunkClass, byteLength } = payload
    const goal = destination(chunkClass, byteLength, target)
    copy(memory, wholeOf(payload), bytesUnder(goal.view))
    finish(payload, memory)
    return filled(goal)
  },

  async takeLater(payload: Payload, target: unknown, signal: Signal): Promise<Chunk> {
    const memory = memoryOf(payload)
    // Other threads must be done with memory that becomes the caller's.
    await unlessAborted(unused(memory), signal)
    // Without other users that was over before an abort of this tick could be seen.
    refuseAborted(signal)
    payload.owner.refuseFreed()
    const only = target === undefined ? onlyBuffer(memory) : undefined
    if (only) return takeOver(payload, memory, only)
    const bytes = await unlessAborted(fill(memory, wholeOf(payload), undefined, signal), signal)
    payload.owner.refuseFreed()
    const chunk = handOut(payload, bytes, target)
    finish(payload, memory)
    return chunk
  },

  lend(payload: Payload, fetched?: Fetched): ArrayBuffer {
    const memory = memoryOf(payload)
    const only = inPlace(memory)
    if (!only) return exchange(payload, memory, (fetched as ArrayBuffer) ?? joined(payload, memory))
    if (fetched) swap.dropFetched(payload, fetched)
    return only
  },

  countBorrow(): void {
    // Its memory is where it always is.
  },

  async fetchLater(payload: Payload): Promise<ArrayBuffer | undefined> {
    const { owner, byteLength } = payload
    let memory = memoryOf(payload)
    // A single buffer is lent itself, once other threads are done with it.
    if (memory.users > 0 && memory.buffers.length === 1) {
      await unused(memory)
      owner.refuseUnusable(payload)
      memory = memoryOf(payload)
    }
    if (inPlace(memory)) return undefined
    const buffer = privateMemory(byteLength, memory.isExcluded)
    try {
      await fill(memory, wholeOf(payload), bytesOf(buffer), undefined)
      return buffer
    } catch (error) {
      swap.dropFetched(payload, buffer)
      throw error
    }
  },

  dropFetched({ owner, ticket }: Payload, fetched: Fetched): void {
    freeBuffer(fetched as ArrayBuffer, owner.swapped.get(ticket)?.isExcluded ?? true, owner.spareBytes)
  },

  takeBack({ owner, ticket, byteLength }: Payload, buffer: ArrayBuffer, isCopy: boolean): void {
    const memory = owner.swapped.get(ticket)
    if (!memory || byteLength === 0) return
    memory.buffers = [buffer]
    if (isCopy && memory.isExcluded) EXCLUSION.prepare(bytesOf(buffer))
  },

  leave(payload: Payload): void {
    const memory = memoryOf(payload)
    memory.buffers = memory.buffers.length > 0 ? [joined(payload, memory)] : []
  },

  lendAgain(payload: Payload, buffer: ArrayBuffer): void {
    if (payload.byteLength > 0) exchange(payload, memoryOf(payload), buffer)
  },

  endLeave(payload: Payload, buffer: ArrayBuffer | undefined): void {
    const memory = payload.owner.swapped.get(payload.ticket)
    if (buffer && memory) exchange(payload, memory, buffer)
  },

  lose(payload: Payload): boolean {
    const { owner, ticket } = payload
    owner.swapped.delete(ticket)
    native.free(owner.ref, ticket)
    markReleased(payload)
    return false
  },

  prefetch(payload: Payload, ranges: Ranges): void {
    for (const piece of piecesOf(memoryOf(payload), ranges)) native.hintSoon(piece)
  },

  release(owner: Owner, ticket: number): void {
    const memory = owner.swapped.get(ticket)
    owner.swapped.delete(ticket)
    native.free(owner.ref, ticket)
    if (memory) freeMemory(memory, owner.spareBytes)
  },

  send(payload: Payload, token: string): boolean {
    const { owner, ticket, chunkClass } = payload
    const memory = memoryOf(payload)
    const views = memory.buffers.map(bytesOf)
    const isSent = guarded(() =>
      native.send(owner.ref, ticket, token, chunkClass.name, views, memory.isExcluded, false),
    )
    if (isSent) {
      owner.swapped.delete(ticket)
      freeMemory(memory, owner.spareBytes)
    }
    return isSent
  },
}

/** Makes private memory that of a payload. */
export function keep(owner: Owner, ticket: number, buffers: readonly ArrayBuffer[], isExcluded: boolean): SwapMemory {
  const parts = buffers.filter(buffer => buffer.byteLength > 0)
  let end = 0
  const ends = parts.map(buffer => {
    end += buffer.byteLength
    return end
  })
  const memory: SwapMemory = { buffers: parts, ends, isExcluded, users: 0, waiting: [] }
  owner.swapped.set(ticket, memory)
  return memory
}

/** Hints that memory will not be used for a while. */
export function hintCold(memory: SwapMemory): void {
  for (const buffer of memory.buffers) native.hintCold(bytesOf(buffer))
}

/** Excludes memory from core dumps before it becomes that of a payload, where the options ask for it. */
export function preparation(excludes: boolean): Preparation | undefined {
  return excludes ? EXCLUSION : undefined
}

const EXCLUSION: Preparation = {
  prepare: bytes => guarded(() => native.excludeFromCoreDumps(bytes)),
  undo: bytes => native.includeInCoreDumps(bytes),
}

/** Frees the memory of a payload that is gone, once no other thread uses it. */
export function freeMemory(memory: SwapMemory, spareBytes: number): void {
  if (memory.users > 0) memory.waiting.push(() => freeMemory(memory, spareBytes))
  else for (const buffer of memory.buffers) freeBuffer(buffer, memory.isExcluded, spareBytes)
}

function memoryOf(payload: Payload): SwapMemory {
  const { owner, lending } = payload
  owner.refuseFreed()
  if (lending) {
    lending.settle()
    // A caller may have moved the memory elsewhere.
    owner.refuseUnusable(payload)
  }
  return owner.swapped.get(payload.ticket) as SwapMemory
}

/** Memory that can be lent as it is. Another thread that uses it may not see it change, and callers may not resize it. */
function inPlace(memory: SwapMemory): ArrayBuffer | undefined {
  const only = memory.users === 0 ? onlyBuffer(memory) : undefined
  return only?.resizable ? undefined : only
}

/** A copy of a payload in one piece. */
function joined(payload: Payload, memory: SwapMemory): ArrayBuffer {
  const buffer = privateMemory(payload.byteLength, memory.isExcluded)
  copy(memory, wholeOf(payload), bytesOf(buffer))
  return buffer
}

/** Makes another buffer with the same bytes the memory of a payload. */
function exchange({ owner, ticket }: Payload, memory: SwapMemory, buffer: ArrayBuffer): ArrayBuffer {
  keep(owner, ticket, [buffer], memory.isExcluded)
  freeMemory(memory, owner.spareBytes)
  return buffer
}

function onlyBuffer({ buffers }: SwapMemory): ArrayBuffer | undefined {
  return buffers.length === 1 ? buffers[0] : undefined
}

/** The memory itself becomes the result. */
function takeOver({ owner, ticket, chunkClass, byteLength }: Payload, memory: SwapMemory, only: ArrayBuffer): Chunk {
  if (memory.isExcluded) native.includeInCoreDumps(bytesOf(only))
  native.finishTake(owner.ref, ticket)
  owner.swapped.delete(ticket)
  return chunkClass.over(only, 0, byteLength)
}

/** Ends a take whose result is a copy. */
function finish({ owner, ticket }: Payload, memory: SwapMemory): void {
  native.finishTake(owner.ref, ticket)
  owner.swapped.delete(ticket)
  freeMemory(memory, owner.spareBytes)
}

function bytesOf(buffer: ArrayBuffer): Uint8Array {
  return new Uint8Array(buffer)
}

/** Copies ranges to `into`, one behind the other. */
function copy(memory: SwapMemory, ranges: Ranges, into: Uint8Array): void {
  let filled = 0
  for (const piece of piecesOf(memory, ranges)) {
    into.set(piece, filled)
    filled += piece.length
  }
}

/** Copies ranges on this thread. */
async function copyNow(memory: SwapMemory, ranges: Ranges, into: Uint8Array | undefined): Promise<Uint8Array> {
  const view = into ?? new Uint8Array(spareFor(ranges.byteLength) ?? allocate(ranges.byteLength))
  copy(memory, ranges, view)
  return view
}

/** The memory of ranges, in their order. */
function* piecesOf({ buffers, ends }: SwapMemory, { bytes }: Ranges): Generator<Uint8Array> {
  for (let pair = 0; pair < bytes.length; pair += 2) {
    let at = bytes[pair] ?? 0
    const end = at + (bytes[pair + 1] ?? 0)
    for (let index = firstEndAfter(ends, at); at < end; index++) {
      const buffer = buffers[index] as ArrayBuffer
      const start = (ends[index] ?? 0) - buffer.byteLength
      const to = Math.min(end - start, buffer.byteLength)
      yield new Uint8Array(buffer, at - start, to - (at - start))
      at = start + to
    }
  }
}

/** Index of the first of ascending ends that is greater than an offset. */
function firstEndAfter(ends: readonly number[], offset: number): number {
  let [low, high] = [0, ends.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ends[middle] ?? 0) > offset) high = middle
    else low = middle + 1
  }
  return low
}

/** Copies ranges on another thread, since reading memory that was swapped out waits for the device. */
async function fill(
  memory: SwapMemory,
  ranges: Ranges,
  into: Uint8Array | undefined,
  signal: Signal,
): Promise<Uint8Array> {
  return await whileUsed(memory, () =>
    run(async () => {
      refuseAborted(signal)
      const view = into ?? new Uint8Array(spareFor(ranges.byteLength) ?? allocate(ranges.byteLength))
      await fromAddon(native.copyAsync([...piecesOf(memory, ranges)], view))
      return view
    }, signal),
  )
}

/** Counts a job on another thread as a user of the memory. */
async function whileUsed<T>(memory: SwapMemory, job: () => Promise<T>): Promise<T> {
  memory.users++
  try {
    return await job()
  } finally {
    memory.users--
    if (memory.users === 0) for (const tell of memory.waiting.splice(0)) tell()
  }
}

/** Settles once no other thread uses the memory. */
async function unused(memory: SwapMemory): Promise<void> {
  if (memory.users === 0) return
  await new Promise<void>(resolve => {
    memory.waiting.push(resolve)
  })
}
