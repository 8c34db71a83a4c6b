/** The file backend within a memory budget: payloads stay in memory while there is room, and the addon writes the coldest. */

import { native } from '../addon/load.js'
import type { Ranges } from '../chunks/arguments.js'
import { bytesUnder, type Part } from '../chunks/classes.js'
import {
  chunksAgain,
  copied,
  giveBackChunks,
  type PageoutRequest,
  type PrivateMemory,
  takePrivate,
} from '../chunks/request.js'
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
import { fromAddon, fromNative, guarded, PageoutError, withChunks } from '../model/errors.js'
import { markReleased, type Owner, type Payload, RELEASED } from '../model/payload.js'
import { orUndefined } from '../runtime/captured.js'
import { run } from '../threads/pool-share.js'
import type { Hold } from './backend.js'

/** What native claims and reads answer. */
const DONE = 0
const NOT_YET = 1
/** The payload was in memory. */
const BY_OTHER = 3

/** How often room that is being freed is looked for: others may be faster. */
const BRINGS_MAX = 1000
/** So often without a pause, which is enough where this thread frees it. Another thread may have something else to do. */
const BRINGS_AT_ONCE = 100
const PAUSE_MS = 1

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
    const { elementBytes } = request.chunkClass
    return only && views.length === 1
      ? native.admitOne(owner.ref, departuresOf(), key, only, elementBytes)
      : native.admit(owner.ref, departuresOf(), key, views, elementBytes)
  } catch (error) {
    unpark(key)
    if (owner.excludes) for (const buffer of memory.buffers) native.includeInCoreDumps(new Uint8Array(buffer))
    throw withChunks(fromNative(error), chunksAgain(memory))
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
  giveBackChunks(request, owner.spareBytes)
  return { buffers, parts: request.parts }
}

/** Takes the payload where its memory is, as one piece: a buffer of exactly its bytes. Nothing where it is not. */
export function takeResident({ owner, ticket }: Payload): ArrayBuffer | undefined {
  if (!owner.hasBudget) return undefined
  const key = guarded(() => native.takeResident(owner.ref, ticket))
  if (key < 0) return undefined
  const buffer = bufferOf(key)
  const { isExcluded } = unpark(key)
  if (isExcluded) native.includeInCoreDumps(new Uint8Array(buffer))
  return buffer
}

/** Brings the payload into memory, where there is room. A hint: what fails is told by the verb that comes. */
export async function bringHint(payload: Payload): Promise<void> {
  const { owner, ticket } = payload
  const own = native.share(owner.ref, ticket)
  try {
    await bringLater(payload, own, false, () => payload.ticket !== RELEASED)
  } catch {
    // The next verb on the payload meets the same failure.
  } finally {
    native.free(owner.ref, own)
  }
}

/** Lends the payload's memory, where it is read into if it is not in memory. */
export function lendResident(payload: Payload, hold?: Hold): ArrayBuffer {
  const { owner, ticket } = payload
  try {
    for (let isCounted = hold?.isMiss === true; ; isCounted = true) {
      const key = guarded(() => native.expose(owner.ref, ticket, !isCounted))
      const lent = key < 0 ? bringNow(payload) : inOnePiece(payload, key)
      if (lent) return lent
    }
  } finally {
    if (hold) dropHold(payload, hold)
  }
}

/**
 * The memory of an exposed payload, as one buffer. Nothing where there is no room for its chunks and for that: they leave, so that it
 * comes back from disk as one.
 */
function inOnePiece(payload: Payload, key: number): ArrayBuffer | undefined {
  const filled = filledOf(parked(key))
  const [only] = filled
  if (only && filled.length === 1) {
    payload.lentKey = key
    return only
  }
  try {
    return join(payload, filled)
  } catch (error) {
    native.endExposure(payload.owner.ref, payload.ticket)
    if (!(error instanceof PageoutError) || error.code !== 'ERR_PAGEOUT_BUDGET') throw error
    writeOut(payload, false)
    return undefined
  }
}

function filledOf({ buffers }: Residence): readonly ArrayBuffer[] {
  return buffers.length === 1 ? buffers : buffers.filter(({ byteLength }) => byteLength > 0)
}

/** Makes one private buffer the memory of an exposed payload, in place of several. */
function join(payload: Payload, buffers: readonly ArrayBuffer[]): ArrayBuffer {
  const { owner, ticket, byteLength } = payload
  const joined = privateMemory(byteLength, owner.excludes)
  const view = new Uint8Array(joined)
  let end = 0
  for (const buffer of buffers) {
    view.set(new Uint8Array(buffer), end)
    end += buffer.byteLength
  }
  const key = newKey()
  park(key, residenceOf(owner, [joined]))
  const exchange = () => native.replace(owner.ref, departuresOf(), ticket, key, view, payload.chunkClass.elementBytes)
  try {
    if (!guarded(exchange)) {
      drain()
      if (!guarded(exchange)) throw noRoomYet(owner, ticket)
    }
  } catch (error) {
    free(unpark(key))
    throw error
  }
  payload.lentKey = key
  drainIfDue()
  return joined
}

/** Room that was found for several payloads. */
export interface Gathered {
  readonly owner: Owner
  /** Stands for it in the addon, until it is freed. */
  readonly ticket: number
}

/** What payloads come into memory with that are brought now. */
let gathered: Gathered | undefined

/** Begins something that brings payloads into memory: in room that was found for them. */
export function inRoomOf<T>(room: Gathered | undefined, begin: () => T): T {
  gathered = room
  try {
    return begin()
  } finally {
    gathered = undefined
  }
}

/** Finds room for several payloads in one step, and keeps those that are in memory. Nothing where none of them needs room. */
export function gather(owner: Owner, payloads: readonly Payload[]): Gathered | undefined {
  const tickets = ticketsOf(owner, payloads)
  if (tickets.length === 0) return undefined
  for (let tries = 0; tries < BRINGS_MAX; tries++) {
    pauseBefore(tries)
    drainIfDue()
    const ticket = guarded(() => native.gather(owner.ref, tickets))
    if (ticket >= 0) return { owner, ticket }
  }
  throw noRoomYet(owner, tickets[0] as number)
}

/** Sleeps before a try where those before it were many: nobody else knows what it waits for. */
function pauseBefore(tries: number): void {
  if (tries >= BRINGS_AT_ONCE) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
}

/** The same, off the JavaScript thread. */
export async function gatherLater(owner: Owner, payloads: readonly Payload[]): Promise<Gathered | undefined> {
  const tickets = ticketsOf(owner, payloads)
  if (tickets.length === 0) return undefined
  owner.began()
  try {
    for (let tries = 0; tries < BRINGS_MAX; tries++) {
      drain()
      const ticket = await run(() => fromAddon(native.gatherAsync(owner.ref, tickets)), undefined)
      if (ticket >= 0) return { owner, ticket }
    }
    throw noRoomYet(owner, tickets[0] as number)
  } finally {
    owner.ended()
  }
}

/** Payloads without bytes need no room, and without a budget none does. */
function ticketsOf(owner: Owner, payloads: readonly Payload[]): number[] {
  const some = payloads.filter(({ backend, byteLength }) => backend === 'file' && byteLength > 0)
  return owner.hasBudget ? some.map(({ ticket }) => ticket) : []
}

/** Gives back what was found and not used. */
export function endGathering(room: Gathered | undefined): void {
  if (!room) return
  native.free(room.owner.ref, room.ticket)
  drainIfDue()
  tellRoom()
}

/** Reads the payload into new memory, and exposes it; nothing where somebody else was faster. */
function bringNow(payload: Payload): ArrayBuffer | undefined {
  const { owner, ticket } = payload
  const [key, buffer] = [newKey(), privateMemory(payload.byteLength, payload.owner.excludes)]
  park(key, residenceOf(owner, [buffer]))
  const view = new Uint8Array(buffer)
  const { elementBytes } = payload.chunkClass
  const bring = () => native.bring(owner.ref, departuresOf(), ticket, key, view, elementBytes, gathered?.ticket)
  let outcome = NOT_YET
  try {
    for (let tries = 0; tries < BRINGS_MAX && outcome === NOT_YET; tries++) {
      pauseBefore(tries)
      drainIfDue()
      outcome = guarded(bring)
    }
    if (outcome === NOT_YET) throw noRoomYet(owner, ticket)
  } finally {
    if (outcome !== DONE) free(unpark(key))
  }
  if (outcome !== DONE) return undefined
  payload.lentKey = key
  drainIfDue()
  return buffer
}

/** Has the payload stay in memory, where it is brought off the JavaScript thread if it is not there. */
export async function fetchResident(payload: Payload): Promise<Hold> {
  const { owner, ticket } = payload
  const present = native.hold(owner.ref, ticket)
  if (present >= 0) return { ticket: present, isMiss: false }
  const own = native.share(owner.ref, ticket)
  try {
    const outcome = await bringLater(payload, own, true)
    return { ticket: own, isMiss: outcome !== BY_OTHER }
  } catch (error) {
    native.free(owner.ref, own)
    throw error
  }
}

/** Lets a payload leave memory that was to stay. */
export function dropHold({ owner }: Payload, { ticket }: Hold): void {
  native.free(owner.ref, ticket)
  drainIfDue()
  tellRoom()
}

/**
 * Reads a payload by a ticket of its own into memory; says how it came there. Where `isHeld` it stays, as long as the ticket is not freed. What
 * nobody wants any more when its turn has come is not read.
 */
async function bringLater(payload: Payload, ticket: number, isHeld: boolean, isWanted = () => true): Promise<number> {
  const { owner } = payload
  const room = gathered?.ticket
  const job = async () => (isWanted() ? bringAtTurn(payload, ticket, isHeld, room) : NOT_YET)
  try {
    return await run(job, undefined)
  } catch (error) {
    owner.refuseFreed()
    throw error
  } finally {
    drainIfDue()
  }
}

/**
 * The job of that. Its memory is allocated when its turn has come: what waits has none. It keeps its turn until it has room, or those
 * who came later would take what it has made.
 */
async function bringAtTurn(
  { owner, byteLength, chunkClass }: Payload,
  ticket: number,
  isHeld: boolean,
  room: number | undefined,
): Promise<number> {
  const { elementBytes } = chunkClass
  const [key, buffer] = [newKey(), privateMemory(byteLength, owner.excludes)]
  park(key, residenceOf(owner, [buffer]))
  const view = new Uint8Array(buffer)
  let outcome = NOT_YET
  try {
    for (let tries = 0; tries < BRINGS_MAX && outcome === NOT_YET; tries++) {
      drain()
      const brought = native.bringAsync(owner.ref, departuresOf(), ticket, key, view, elementBytes, isHeld, room)
      outcome = await fromAddon(brought)
    }
    if (outcome === NOT_YET) throw noRoomYet(owner, ticket)
    return outcome
  } finally {
    if (outcome !== DONE) free(unpark(key))
  }
}

/** Whether callers see the payload's memory, so that nobody else may read it. */
export function isExposed(payload: Payload): boolean {
  return payload.lentKey !== undefined
}

/** Copies ranges of such a payload, on the thread of the callers. */
export function readExposed(payload: Payload, ranges: Ranges, into: ArrayBufferView): void {
  const target = bytesUnder(into)
  const buffer = bufferOf(payload.lentKey as number)
  const { bytes } = ranges
  let filled = 0
  for (let pair = 0; pair < bytes.length; pair += 2) {
    const piece = new Uint8Array(buffer, bytes[pair], bytes[pair + 1])
    target.set(piece, filled)
    filled += piece.length
  }
  native.countUse(payload.owner.ref, payload.ticket, ranges.byteLength)
}

/** Takes lent memory back, or a copy of it where callers keep it. */
export function takeBackResident(payload: Payload, buffer: ArrayBuffer, isCopy: boolean): void {
  const key = payload.lentKey as number
  if (isCopy) relocate(payload, key, buffer)
  else parked(key).buffers = [buffer]
  endExposure(payload)
}

/** Leaves lent memory to the callers. The payload has a copy, in the same room: what callers hold does not count. */
export function leaveResident(payload: Payload): void {
  const { owner, ticket, byteLength } = payload
  const key = payload.lentKey as number
  const copy = privateMemory(byteLength, owner.excludes)
  new Uint8Array(copy).set(new Uint8Array(bufferOf(key)))
  relocate(payload, key, copy)
  left.set(payload, { ticket: native.hold(owner.ref, ticket), isMiss: true })
  endExposure(payload)
}

/** Payloads whose memory was left to callers: they stay in memory, as they are borrowed. */
const left = new WeakMap<Payload, Hold>()

/** Lends the memory again that was left to callers. */
export function lendAgainResident(payload: Payload, buffer: ArrayBuffer): void {
  const copy = lendResident(payload, left.get(payload))
  left.delete(payload)
  relocate(payload, payload.lentKey as number, buffer)
  free(residenceOf(payload.owner, [copy]))
}

/** Ends that memory was left to callers, which is `buffer` where it is private again. */
export function endLeaveResident(payload: Payload, buffer: ArrayBuffer | undefined): void {
  const hold = left.get(payload)
  left.delete(payload)
  if (hold) dropHold(payload, hold)
  if (buffer) free(residenceOf(payload.owner, [buffer]))
}

/** The lent memory is gone. Says whether the payload is on disk; else it is released. */
export function loseResident(payload: Payload): boolean {
  const { owner, ticket } = payload
  const key = payload.lentKey as number
  payload.lentKey = undefined
  // It is the callers'.
  park(key, { ...parked(key), buffers: [] })
  const isOnDisk = native.lose(owner.ref, ticket)
  if (!isOnDisk) {
    native.free(owner.ref, ticket)
    markReleased(payload)
  }
  drainIfDue()
  tellRoom()
  return isOnDisk
}

/** Makes another buffer with the same bytes that of an exposed payload, which has one. */
function relocate({ owner, ticket }: Payload, key: number, buffer: ArrayBuffer): void {
  native.relocate(owner.ref, ticket, new Uint8Array(buffer))
  parked(key).buffers = [buffer]
}

function endExposure(payload: Payload): void {
  payload.lentKey = undefined
  native.endExposure(payload.owner.ref, payload.ticket)
  tellRoom()
}

/** The only buffer with bytes of a key. */
function bufferOf(key: number): ArrayBuffer {
  return parked(key).buffers.find(({ byteLength }) => byteLength > 0) as ArrayBuffer
}

function residenceOf({ excludes, spareBytes }: Owner, buffers: readonly ArrayBuffer[]): Residence {
  return { buffers, isExcluded: excludes, spareBytes }
}

/** Room is there, and another thread has not freed its memory yet. */
function noRoomYet(owner: Owner, ticket: number): unknown {
  return fromNative(native.noRoomYet(owner.ref, ticket))
}

/** Has the payload written, and lets it leave memory; where `isMoved` because it moves to another thread, which its memory cannot. */
export function writeOut({ owner, ticket }: Payload, isMoved: boolean): void {
  if (!owner.hasBudget) return
  guarded(() => native.writeOut(owner.ref, ticket, isMoved))
  drainIfDue()
}
