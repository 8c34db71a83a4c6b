/** The file backend: payloads in slots of the scratch files, which the addon reads and writes. */

import { native } from '../addon/load.js'
import { packed, type Ranges, wholeOf } from '../chunks/arguments.js'
import type { Part } from '../chunks/classes.js'
import {
  chunksAgain,
  giveBackChunks,
  type PageoutRequest,
  type PrivateMemory,
  readable,
  takePrivate,
} from '../chunks/request.js'
import { clear, destination, filled } from '../chunks/target.js'
import { freeBuffer, giveBack } from '../memory/freeing.js'
import { drainIfDue } from '../memory/residents.js'
import { allocate, privateMemory, spareFor } from '../memory/results.js'
import { abortError, fromNative, guarded, PageoutError, released, withChunks } from '../model/errors.js'
import { type Owner, type Payload, RELEASED } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import { isAborted } from '../runtime/signal.js'
import { onAbort, refuseAborted, unlessAborted } from '../threads/abort.js'
import { type Batches, batchesOf, isSmall, NEVER, type Pageout } from '../threads/batching.js'
import { run } from '../threads/pool-share.js'
import type { Fetched, Hold, PayloadBackend } from './backend.js'
import { handOut } from './hand-out.js'
import {
  admit,
  admitLater,
  bringHint,
  dropHold,
  endLeaveResident,
  fetchResident,
  isExposed,
  leaveResident,
  lendAgainResident,
  lendResident,
  loseResident,
  readExposed,
  takeBackResident,
  takeResident,
  writeOut,
} from './resident.js'

type Signal = AbortSignal | undefined

export const file: PayloadBackend = {
  store(owner: Owner, request: PageoutRequest): number {
    const resident = owner.hasBudget ? admit(owner, request) : undefined
    if (resident !== undefined) return resident
    const { parts } = request
    const { elementBytes } = request.chunkClass
    try {
      const ticket =
        parts.length === 1
          ? native.pageoutOne(owner.ref, readable(parts[0] as Part), elementBytes)
          : native.pageout(owner.ref, parts.map(readable), elementBytes)
      giveBackChunks(request, owner.spareBytes)
      return ticket
    } catch (thrown) {
      throw fromNative(thrown)
    }
  },

  async storeLater(owner: Owner, request: PageoutRequest, signal: Signal): Promise<number> {
    const resident = owner.hasBudget ? admitLater(owner, request) : undefined
    if (resident !== undefined) return resident
    const memory = takePrivate(request)
    try {
      const ticket = await write(owner, request, memory, signal)
      // After an abort nothing is stored, however far it was.
      if (isAborted(signal)) {
        native.free(owner.ref, ticket)
        throw abortError(signal)
      }
      for (const buffer of memory.buffers) giveBack(buffer, owner.spareBytes)
      return ticket
    } catch (thrown) {
      // Here, so that its stack leads to whoever waits.
      throw withChunks(fromNative(thrown), chunksAgain(memory))
    }
  },

  read(payload: Payload, ranges: Ranges, into: ArrayBufferView): void {
    if (isSeen(payload)) {
      readExposed(payload, ranges, into)
      return
    }
    const { owner, ticket } = payload
    const { bytes } = ranges
    try {
      if (bytes.length === 2) native.read(owner.ref, ticket, bytes[0] ?? 0, into)
      else native.readMany(owner.ref, ticket, packed(ranges), into)
    } catch (thrown) {
      throw fromNative(thrown)
    }
  },

  readLater(payload: Payload, ranges: Ranges, into: Uint8Array | undefined, signal: Signal): Promise<Uint8Array> {
    const { owner } = payload
    const { byteLength } = ranges
    const job = (ticket: number) => {
      if (!into && isSmall(byteLength)) return readSmall(owner, ticket, ranges, false)
      return fill(byteLength, into, view => native.readAsync(owner.ref, ticket, packed(ranges), view), signal)
    }
    const whole = held(payload, owner.hasBudget ? ticket => unlessSeen(payload, ranges, into, () => job(ticket)) : job)
    return unlessAborted(whole, signal)
  },

  take(payload: Payload, target: unknown): Chunk {
    const { owner, chunkClass, byteLength, ticket } = payload
    const inPlace = target === undefined ? takeResident(payload) : undefined
    if (inPlace) return chunkClass.over(inPlace, 0, byteLength)
    const goal = destination(chunkClass, byteLength, target)
    try {
      native.take(owner.ref, ticket, goal.view)
    } catch (thrown) {
      clear(goal)
      throw fromNative(thrown)
    }
    drainIfDue()
    return filled(goal)
  },

  async takeLater(payload: Payload, target: unknown, signal: Signal): Promise<Chunk> {
    const { owner, byteLength } = payload
    const inPlace = target === undefined ? takeResident(payload) : undefined
    if (inPlace) return payload.chunkClass.over(inPlace, 0, byteLength)
    const whole = held(payload, ticket => {
      if (isSmall(byteLength)) return readSmall(owner, ticket, wholeOf(payload), true)
      return fill(byteLength, undefined, view => native.peekAsync(owner.ref, ticket, view), signal)
    })
    const chunk = handOut(payload, await unlessAborted(whole, signal), target)
    native.finishTake(owner.ref, payload.ticket)
    drainIfDue()
    return chunk
  },

  lend(payload: Payload, fetched?: Fetched): ArrayBuffer {
    if (isBudgeted(payload)) return lendResident(payload, fetched as Hold | undefined)
    if (fetched) return fetched as ArrayBuffer
    const buffer = privateMemory(payload.byteLength, payload.owner.excludes)
    try {
      file.read(payload, wholeOf(payload), new Uint8Array(buffer))
      return buffer
    } catch (error) {
      freeCopy(payload, buffer)
      throw error
    }
  },

  countBorrow(payload: Payload): void {
    if (isBudgeted(payload)) native.countUse(payload.owner.ref, payload.ticket)
  },

  async fetchLater(payload: Payload): Promise<Fetched> {
    if (isBudgeted(payload)) return await fetchResident(payload)
    const buffer = privateMemory(payload.byteLength, payload.owner.excludes)
    try {
      await file.readLater(payload, wholeOf(payload), new Uint8Array(buffer), undefined)
      return buffer
    } catch (error) {
      freeCopy(payload, buffer)
      throw error
    }
  },

  dropFetched(payload: Payload, fetched: Fetched): void {
    if (isBudgeted(payload)) dropHold(payload, fetched as Hold)
    else freeCopy(payload, fetched as ArrayBuffer)
  },

  takeBack(payload: Payload, buffer: ArrayBuffer, isCopy: boolean): void {
    if (isBudgeted(payload)) takeBackResident(payload, buffer, isCopy)
    else freeCopy(payload, buffer)
  },

  leave(payload: Payload): void {
    if (isBudgeted(payload)) leaveResident(payload)
  },

  lendAgain(payload: Payload, buffer: ArrayBuffer): void {
    if (isBudgeted(payload)) lendAgainResident(payload, buffer)
  },

  endLeave(payload: Payload, buffer: ArrayBuffer | undefined): void {
    if (isBudgeted(payload)) endLeaveResident(payload, buffer)
    else if (buffer) freeCopy(payload, buffer)
  },

  lose(payload: Payload): boolean {
    return !isBudgeted(payload) || loseResident(payload)
  },

  prefetch(payload: Payload, ranges: Ranges): void {
    const { owner, ticket } = payload
    const { byteLength } = ranges
    // What is borrowed is in memory.
    if (owner.hasBudget && payload.lending) return
    if (owner.hasBudget && byteLength === payload.byteLength && byteLength > 0) void bringHint(payload)
    else guarded(() => native.prefetch(owner.ref, ticket, packed(ranges)))
  },

  release(owner: Owner, ticket: number): void {
    native.free(owner.ref, ticket)
    drainIfDue()
  },

  send(payload: Payload, token: string): boolean {
    const { owner, ticket, chunkClass, isEncrypted } = payload
    writeOut(payload, true)
    return guarded(() => native.send(owner.ref, ticket, token, chunkClass.name, [], false, isEncrypted))
  },
}

/** Whether callers see the memory of a payload within a memory budget, which this thread alone may read then. */
function isSeen(payload: Payload): boolean {
  if (!payload.lending || !payload.owner.hasBudget) return false
  payload.lending.settle()
  // A caller may have moved it elsewhere, and with it the payload.
  if (payload.ticket === RELEASED) throw released()
  return isExposed(payload)
}

/** Reads what callers see on this thread, and all else by a job, which is refused where a borrow came before it began. */
async function unlessSeen(
  payload: Payload,
  ranges: Ranges,
  into: Uint8Array | undefined,
  job: () => Promise<Uint8Array>,
): Promise<Uint8Array> {
  while (!isSeen(payload)) {
    try {
      return await job()
    } catch (thrown) {
      if ((thrown as { code?: unknown }).code !== 'ERR_PAGEOUT_BORROWED') throw thrown
    }
  }
  const view = into ?? new Uint8Array(spareFor(ranges.byteLength) ?? allocate(ranges.byteLength))
  readExposed(payload, ranges, view)
  return view
}

/** Whether a payload stays in memory while there is room. */
function isBudgeted({ owner, byteLength }: Payload): boolean {
  return owner.hasBudget && byteLength > 0
}

/** Frees a copy of a payload. */
function freeCopy({ owner }: Payload, buffer: ArrayBuffer): void {
  freeBuffer(buffer, owner.excludes, owner.spareBytes)
}

/** Writes private memory. */
function write(
  owner: Owner,
  { byteLength, chunkClass }: PageoutRequest,
  { buffers }: PrivateMemory,
  signal: Signal,
): Promise<number> {
  const pageout = { buffers, byteLength, elementBytes: chunkClass.elementBytes }
  return isSmall(byteLength) ? batches(owner).pageouts.do(pageout, signal) : writeAlone(owner, pageout, signal)
}

async function writeAlone(owner: Owner, { buffers, elementBytes }: Pageout, signal: Signal): Promise<number> {
  const stop = signal ? native.makeStop() : NEVER
  const forget = onAbort(signal, () => native.stop(stop))
  const views = buffers.map(buffer => new Uint8Array(buffer))
  try {
    return await run(() => native.pageoutAsync(owner.ref, views, elementBytes, stop), signal)
  } catch (error) {
    // A pageout that was stopped rejects with an error of the addon.
    refuseAborted(signal)
    throw error
  } finally {
    forget()
  }
}

const ofOwners = new WeakMap<Owner, Batches>()

/** The small calls of a pager. */
function batches(owner: Owner): Batches {
  const known = ofOwners.get(owner)
  if (known) return known
  const made = batchesOf(owner.ref)
  ofOwners.set(owner, made)
  return made
}

function readSmall(owner: Owner, ticket: number, ranges: Ranges, isPeek: boolean): Promise<Uint8Array> {
  const { bytes, byteLength } = ranges
  const spare = spareFor(byteLength)
  return batches(owner).reads.do({ ticket, ranges: bytes, byteLength, isPeek, spare }, undefined)
}

/** Lets a job fill `into`, or new memory. */
async function fill(
  byteLength: number,
  into: Uint8Array | undefined,
  job: (into: Uint8Array) => Promise<Uint8Array>,
  signal: Signal,
): Promise<Uint8Array> {
  // A spare buffer is taken now, while there is one; new memory only has what is being filled, and not what waits.
  const spare = into ? undefined : spareFor(byteLength)
  return await run(() => job(into ?? new Uint8Array(spare ?? allocate(byteLength))), signal)
}

/** Runs a job with its own ticket, so that the payload exists until the job ends, whatever becomes of the handle. */
async function held<T>(payload: Payload, job: (ticket: number) => Promise<T>): Promise<T> {
  const { owner } = payload
  const own = native.share(owner.ref, payload.ticket)
  try {
    return await job(own)
  } catch (error) {
    // A pager that is closed at once frees the tickets of jobs that still wait: that is no bug.
    owner.refuseFreed()
    // Here, so that its stack leads to whoever waits.
    const failure = fromNative(error)
    // A borrower moved the only memory of the payload elsewhere while the job waited.
    const isLost =
      payload.ticket === RELEASED && failure instanceof PageoutError && failure.code === 'ERR_PAGEOUT_CLOSED'
    throw isLost ? released() : failure
  } finally {
    native.free(owner.ref, own)
  }
}
