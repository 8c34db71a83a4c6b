/** The file backend within a memory budget: payloads stay in memory while there is room, and the addon writes the coldest. */

import { native } from '../addon/load.js'
import type { Part } from '../chunks/classes.js'
import { transferOut } from '../chunks/detach.js'
import { chunksAgain, copied, type PageoutRequest, type PrivateMemory, takePrivate } from '../chunks/request.js'
import { giveBack } from '../memory/freeing.js'
import { departuresOf, drain, drainIfDue, newKey, park, unpark } from '../memory/residents.js'
import { allocate } from '../memory/results.js'
import { fromAddon, guarded, withChunks } from '../model/errors.js'
import type { Owner, Payload } from '../model/payload.js'
import { orUndefined } from '../runtime/captured.js'
import { run } from '../threads/pool-share.js'

/** What native claims and reads answer. */
const DONE = 0
const NOT_YET = 1

/** How often room that this thread has to free is waited for: others may be faster. */
const BRINGS_MAX = 4

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
  park(key, { buffers: memory.buffers, isExcluded: owner.excludes, spareBytes: owner.spareBytes })
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
function claim(owner: Owner, { parts, byteLength }: PageoutRequest): boolean {
  drainIfDue()
  const heldBytes = parts.length === 1 ? byteLength : parts.reduce((sum, part) => sum + part.byteLength, 0)
  const claimed = native.claim(owner.ref, byteLength, heldBytes)
  // What had to leave is freed by whoever has it: here only what this thread has.
  if (claimed !== NOT_YET) return claimed === DONE
  return drain() && native.claim(owner.ref, byteLength, heldBytes) === DONE
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
    for (let tries = 0; tries < BRINGS_MAX; tries++) {
      if ((await bring(owner, own, byteLength)) !== NOT_YET) return
      drain()
    }
  } catch {
    // The next verb on the payload meets the same failure.
  } finally {
    native.free(owner.ref, own)
  }
}

async function bring(owner: Owner, ticket: number, byteLength: number): Promise<number> {
  const [key, buffer] = [newKey(), allocate(byteLength)]
  const residence = { buffers: [buffer], isExcluded: owner.excludes, spareBytes: owner.spareBytes }
  park(key, residence)
  const view = new Uint8Array(buffer)
  let outcome = NOT_YET
  try {
    if (owner.excludes) native.excludeFromCoreDumps(view)
    const job = () => fromAddon(native.bringAsync(owner.ref, departuresOf(), ticket, key, view, false))
    outcome = await run(job, undefined)
  } finally {
    if (outcome !== DONE) {
      unpark(key)
      giveBack(buffer, owner.spareBytes)
    }
  }
  return outcome
}

/** Has the payload written, so that it can move to another thread, which its memory cannot. */
export function writeOut({ owner, ticket }: Payload): void {
  if (!owner.hasBudget) return
  guarded(() => native.writeOut(owner.ref, ticket))
  drainIfDue()
}
