/** The file backend within a memory budget: payloads stay in memory while there is room, and the addon writes the coldest. */

import { native } from '../addon/load.js'
import type { Part } from '../chunks/classes.js'
import { transferOut } from '../chunks/detach.js'
import { chunksAgain, copied, type PageoutRequest, type PrivateMemory, takePrivate } from '../chunks/request.js'
import { giveBack } from '../memory/freeing.js'
import {
  departuresOf,
  drain,
  drainIfDue,
  free,
  newKey,
  park,
  parked,
  type Residence,
  tellRoom,
  unpark,
} from '../memory/residents.js'
import { privateMemory } from '../memory/results.js'
import { fromAddon, guarded, noRoom, PageoutError, withChunks } from '../model/errors.js'
import { markReleased, type Owner, type Payload } from '../model/payload.js'
import { orUndefined } from '../runtime/captured.js'
import { run } from '../threads/pool-share.js'

/** What native claims and reads answer. */
const DONE = 0
const NOT_YET = 1

/** How often room that this thread has to free is waited for: others may be faster. */
const BRINGS_MAX = 1000

/**
 * Moves the chunks of a request into the budget of its pager, and returns the ticket; nothing where there is no room, or no budget:
 * the payload is to be written. Disk space and room are claimed first, so that what fails leaves the chunks alone.
 */
export function admit(owner: Owner, request: PageoutRequest): number | undefined {
  if (!owner.hasBudget || request.byteLength === 0) return undefined
  return guarded(() => claim(owner, request)) ? moveIn(owner, request) : undefined
}

/**
 * The same for a promise. A scratch directory is opened off this thread, and where the claim fails the write fails as well, and tells
 * of it when the chunks were taken, as it does without a budget.
 */
export function admitLater(owner: Owner, request: PageoutRequest): number | undefined {
  if (!owner.hasBudget || request.byteLength === 0 || !native.scratchPlace(owner.ref)) return undefined
  return orUndefined(() => claim(owner, request)) ? moveIn(owner, request) : undefined
}

/** Moves the chunks in, for which was claimed. */
function moveIn(owner: Owner, request: PageoutRequest): number {
  const memory = take(owner, request)
  const key = newKey()
  park(key, residenceOf(owner, memory.buffers))
  try {
    const views = memory.buffers.map(buffer => new Uint8Array(buffer))
    const [only] = views
    return only && views.length === 1
      ? native.admitOne(owner.ref, departuresOf(), key, only)
      : native.admit(owner.ref, departuresOf(), key, views)
  } catch (error) {
    unpark(key)
    throw withChunks(error, memory.chunks)
  }
}

/** Claims disk space and room. False where there is no room. */
function claim(owner: Owner, { byteLength }: PageoutRequest): boolean {
  drainIfDue()
  // The private buffers are as long as the payload.
  const claimed = native.claim(owner.ref, byteLength, byteLength)
  // What had to leave is freed by whoever has it: here only what this thread has.
  if (claimed !== NOT_YET) return claimed === DONE
  return drain() && native.claim(owner.ref, byteLength, byteLength) === DONE
}

/** The chunks in private memory of a fixed length, excluded from core dumps where that is asked for. */
function take(owner: Owner, request: PageoutRequest): PrivateMemory {
  try {
    if (!owner.excludes && !request.parts.some(isResizable)) return takePrivate(request)
    return copyAll(owner, request)
  } catch (error) {
    native.unclaim(owner.ref)
    throw error
  }
}

function isResizable({ buffer }: Part): boolean {
  return (buffer as ArrayBuffer).resizable === true
}

/** Copies all chunks, and then takes them as far as they may be taken. */
function copyAll(owner: Owner, request: PageoutRequest): PrivateMemory {
  const buffers = request.parts.map(part => {
    const buffer = copied(part)
    if (owner.excludes && buffer.byteLength > 0) native.excludeFromCoreDumps(new Uint8Array(buffer))
    return buffer
  })
  if (request.detach !== 'never') {
    for (const { isWhole, buffer, byteLength } of request.parts) {
      const moved = isWhole && byteLength > 0 ? transferOut(buffer as ArrayBuffer) : undefined
      if (moved) giveBack(moved, owner.spareBytes)
    }
  }
  return { buffers, chunks: () => chunksAgain(request.parts, buffers) }
}

/** Takes the payload where its memory is, as one piece: a buffer of exactly its bytes. Nothing where it is not. */
export function takeResident({ owner, ticket }: Payload): ArrayBuffer | undefined {
  if (!owner.hasBudget) return undefined
  const key = guarded(() => native.takeResident(owner.ref, ticket))
  if (key < 0) return undefined
  const { buffers, isExcluded } = unpark(key)
  const buffer = buffers.find(({ byteLength }) => byteLength > 0) as ArrayBuffer
  if (isExcluded) native.includeInCoreDumps(new Uint8Array(buffer))
  return buffer
}

/** Brings the payload into memory, where there is room. A hint: what fails is told by the verb that comes. */
export async function bringHint({ owner, ticket, byteLength }: Payload): Promise<void> {
  const own = native.share(owner.ref, ticket)
  try {
    await bringLater(owner, own, byteLength, false)
  } catch {
    // The next verb on the payload meets the same failure.
  } finally {
    native.free(owner.ref, own)
  }
}

/** The keys of the memory of payloads that are lent. */
const lentKeys = new WeakMap<Payload, number>()

/** Lends the payload's memory, where it is read into if it is not in memory. */
export function lendResident(payload: Payload): ArrayBuffer {
  for (;;) {
    const key = guarded(() => native.expose(payload.owner.ref, payload.ticket))
    const lent = key < 0 ? bringNow(payload) : inOnePiece(payload, key)
    if (lent) return lent
  }
}

/**
 * The memory of an exposed payload, as one buffer. Nothing where there is no room for its chunks and for that: they leave, so that it
 * comes back from disk as one.
 */
function inOnePiece(payload: Payload, key: number): ArrayBuffer | undefined {
  const { buffers } = parked(key)
  const filled = buffers.filter(({ byteLength }) => byteLength > 0)
  const [only] = filled
  if (only && filled.length === 1 && only.resizable !== true) {
    lentKeys.set(payload, key)
    return only
  }
  const joined = new Uint8Array(privateMemory(payload.byteLength, payload.owner.excludes))
  let end = 0
  for (const buffer of filled) {
    joined.set(new Uint8Array(buffer), end)
    end += buffer.byteLength
  }
  try {
    replace(payload, joined.buffer as ArrayBuffer)
  } catch (error) {
    native.endExposure(payload.owner.ref, payload.ticket)
    if (!(error instanceof PageoutError) || error.code !== 'ERR_PAGEOUT_BUDGET') throw error
    writeOut(payload)
    return undefined
  }
  return joined.buffer as ArrayBuffer
}

/** Makes a private buffer the memory of an exposed payload, in place of what it had. */
function replace(payload: Payload, buffer: ArrayBuffer): true {
  const { owner, ticket } = payload
  const key = newKey()
  park(key, residenceOf(owner, [buffer]))
  const exchange = () => native.replace(owner.ref, departuresOf(), ticket, key, new Uint8Array(buffer))
  try {
    if (!guarded(exchange)) {
      drain()
      if (!guarded(exchange)) throw noRoomYet(payload)
    }
  } catch (error) {
    free(unpark(key))
    throw error
  }
  lentKeys.set(payload, key)
  const brought = broughts.get(payload)
  if (brought) brought.key = key
  drainIfDue()
  return true
}

/** Reads the payload into new memory, and exposes it; nothing where somebody else was faster. */
function bringNow(payload: Payload): ArrayBuffer | undefined {
  const { owner, ticket } = payload
  const [key, buffer] = [newKey(), privateMemory(payload.byteLength, payload.owner.excludes)]
  park(key, residenceOf(owner, [buffer]))
  const bring = () => guarded(() => native.bring(owner.ref, departuresOf(), ticket, key, new Uint8Array(buffer)))
  let outcome = NOT_YET
  try {
    for (let tries = 0; tries < BRINGS_MAX && outcome === NOT_YET; tries++) {
      drain()
      outcome = bring()
    }
    if (outcome === NOT_YET) throw noRoomYet(payload)
  } finally {
    if (outcome !== DONE) free(unpark(key))
  }
  if (outcome !== DONE) return undefined
  lentKeys.set(payload, key)
  drainIfDue()
  return buffer
}

/**
 * Payloads that were brought for a borrow, each exposed once for that until somebody lends or drops it. Meanwhile others may borrow it
 * and end that, and the payload's own ticket may be gone.
 */
const broughts = new WeakMap<Payload, { readonly ticket: number; key: number }>()

/** Brings the payload into memory off the JavaScript thread, where it is exposed already; nothing where it is in memory. */
export async function fetchResident(payload: Payload): Promise<ArrayBuffer | undefined> {
  const { owner, ticket, byteLength } = payload
  const own = native.share(owner.ref, ticket)
  let brought: { key: number; buffer: ArrayBuffer } | undefined
  try {
    brought = await bringLater(owner, own, byteLength, true)
    if (!brought) return undefined
    broughts.set(payload, { ticket: own, key: brought.key })
    return brought.buffer
  } finally {
    if (!brought) native.free(owner.ref, own)
  }
}

/** Lends the memory that was brought, as it is now. */
export function lendBrought(payload: Payload): ArrayBuffer {
  const brought = broughts.get(payload)
  // A caller may have moved it elsewhere.
  if (!brought) return lendResident(payload)
  broughts.delete(payload)
  native.free(payload.owner.ref, brought.ticket)
  // It was read in as one buffer.
  return inOnePiece(payload, brought.key) as ArrayBuffer
}

/** Nothing where the payload is in memory already. */
async function bringLater(
  owner: Owner,
  ticket: number,
  byteLength: number,
  isExposed: boolean,
): Promise<{ key: number; buffer: ArrayBuffer } | undefined> {
  const [key, buffer] = [newKey(), privateMemory(byteLength, owner.excludes)]
  park(key, residenceOf(owner, [buffer]))
  const view = new Uint8Array(buffer)
  const job = () => fromAddon(native.bringAsync(owner.ref, departuresOf(), ticket, key, view, isExposed))
  let outcome = NOT_YET
  try {
    for (let tries = 0; tries < BRINGS_MAX && outcome === NOT_YET; tries++) {
      drain()
      outcome = await run(job, undefined)
    }
    if (outcome === NOT_YET) throw noRoomYet({ owner, byteLength })
  } catch (error) {
    owner.refuseFreed()
    throw error
  } finally {
    if (outcome !== DONE) free(unpark(key))
    drainIfDue()
  }
  return outcome === DONE ? { key, buffer } : undefined
}

/** Ends the exposure of memory that was brought for a borrow which nobody wants any more. */
export function dropBrought(payload: Payload): void {
  const { ref } = payload.owner
  const brought = broughts.get(payload)
  if (!brought) return
  broughts.delete(payload)
  native.endExposure(ref, brought.ticket)
  native.free(ref, brought.ticket)
  drainIfDue()
  tellRoom()
}

/** Takes lent memory back, or a copy of it where callers keep it. */
export function takeBackResident(payload: Payload, buffer: ArrayBuffer, isCopy: boolean): void {
  const { owner, ticket } = payload
  const key = lentKeys.get(payload)
  if (key === undefined) {
    // The payload has other memory since it was left to the callers.
    free(residenceOf(owner, [buffer]))
    return
  }
  // Where there is no room for the copy the payload stays exposed, so that no other thread reads what callers can change.
  if (isCopy && !orUndefined(() => replace(payload, buffer))) return
  if (!isCopy) park(key, { ...unpark(key), buffers: [buffer] })
  lentKeys.delete(payload)
  native.endExposure(owner.ref, ticket)
  tellRoom()
}

/** Gives the payload other memory than what callers see. Says whether there is room for it. */
export function leaveResident(payload: Payload): boolean {
  const key = lentKeys.get(payload)
  if (key === undefined) return true
  const [lent] = parked(key).buffers
  const copy = privateMemory(payload.byteLength, payload.owner.excludes)
  new Uint8Array(copy).set(new Uint8Array(lent as ArrayBuffer))
  replace(payload, copy)
  lentKeys.delete(payload)
  native.endExposure(payload.owner.ref, payload.ticket)
  return true
}

/** The lent memory is gone. Says whether the payload is on disk; else it is released. */
export function loseResident(payload: Payload): boolean {
  const { owner, ticket } = payload
  if (!lentKeys.delete(payload)) return true
  const isOnDisk = native.lose(owner.ref, ticket)
  const brought = broughts.get(payload)
  broughts.delete(payload)
  if (brought) native.free(owner.ref, brought.ticket)
  if (!isOnDisk) {
    native.free(owner.ref, ticket)
    markReleased(payload)
  }
  drainIfDue()
  return isOnDisk
}

function residenceOf({ excludes, spareBytes }: Owner, buffers: readonly ArrayBuffer[]): Residence {
  return { buffers, isExcluded: excludes, spareBytes }
}

/** Room is there, and another thread has not freed its memory yet. */
function noRoomYet({ owner, byteLength }: Pick<Payload, 'owner' | 'byteLength'>): PageoutError {
  const [borrowedBytes, residentBytes, limitBytes] = native.residentUse(owner.ref)
  return noRoom({ requestedBytes: byteLength, borrowedBytes, residentBytes, limitBytes })
}

/** Has the payload written, so that it can move to another thread, which its memory cannot. */
export function writeOut({ owner, ticket }: Payload): void {
  if (!owner.hasBudget) return
  guarded(() => native.writeOut(owner.ref, ticket))
  drainIfDue()
}
