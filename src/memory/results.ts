/**
 * The memory of results: what pageout allocates, and the buffers that are kept for the results that come next. One pool for
 * all pagers of a thread.
 */

import { native } from '../addon/load.js'
import { guarded, longerThanArrays, outOfMemory } from '../model/errors.js'
import { Identity } from '../runtime/identity.js'
import { buffer as nodeBuffer, os } from '../runtime/node.js'
import { noteUsed, trimHeap } from './heap.js'

/** From this size on there is a whole huge page in any memory; one of them costs as much as a few of the usual 512. */
const HUGE_PAGES_FROM_BYTES = 4 * 2 ** 20

/** Shorter buffers hold no page of their own, and allocating one costs less than keeping it. */
const KEPT_FROM_BYTES = 4096

/** The upper limit on spare buffers by default, and their share of the memory limit. */
const SPARE_BYTES_MAX = 32 * 2 ** 20
const SPARE_SHARE = 1 / 16

/**
 * Marks buffers whose memory pageout allocated. A private field cannot be forged or seen, is not copied to the buffer that the
 * caller moves the memory to, and unlike an entry of a WeakSet costs the collector nothing.
 */
class Own extends Identity {
  /** Whether all pages came after huge ones were asked for. */
  #isInHugePages: boolean

  constructor(buffer: ArrayBuffer, isInHugePages: boolean) {
    super(buffer)
    this.#isInHugePages = isInHugePages
  }

  static has(buffer: ArrayBuffer): boolean {
    return #isInHugePages in buffer
  }

  static isInHugePages(buffer: ArrayBuffer): boolean {
    return #isInHugePages in buffer && buffer.#isInHugePages
  }

  static setInHugePages(buffer: ArrayBuffer): void {
    if (#isInHugePages in buffer) buffer.#isInHugePages = true
  }
}

/** Whether pageout itself allocated the memory of a buffer: only then may it be advised, kept or overwritten. */
export function isOwn(buffer: ArrayBuffer): boolean {
  return Own.has(buffer)
}

/** Notes that `moved` has, by a transfer of ours, the memory that `buffer` had. */
export function inherit(moved: ArrayBuffer, buffer: ArrayBuffer): void {
  if (Own.has(buffer)) new Own(moved, Own.isInHugePages(buffer))
}

/** The longest array that this runtime has, in bytes: 4 GiB on Node 20. */
const ARRAY_BYTES_MAX = nodeBuffer.constants.MAX_LENGTH

/** New memory with any content. */
export function allocate(byteLength: number): ArrayBuffer {
  if (byteLength > ARRAY_BYTES_MAX) throw longerThanArrays(byteLength, ARRAY_BYTES_MAX)
  try {
    // Neither cleared nor part of the Buffer pool: exactly these bytes.
    const bytes = Buffer.allocUnsafeSlow(byteLength)
    const buffer = bytes.buffer as ArrayBuffer
    noteUsed(bytes)
    if (byteLength >= KEPT_FROM_BYTES) new Own(buffer, false)
    if (byteLength >= HUGE_PAGES_FROM_BYTES) native.preferHugePages(new Uint8Array(buffer))
    return buffer
  } catch (cause) {
    throw outOfMemory(byteLength, cause)
  }
}

/** Spare buffers by length; the length that was kept longest ago comes first. */
const spares = new Map<number, ArrayBuffer[]>()
let spareBytes = 0
let spareHits = 0

/** A spare buffer of exactly `byteLength` bytes with any content, if there is one, for a result that fills it. */
export function spareFor(byteLength: number): ArrayBuffer | undefined {
  const spare = remove(byteLength)
  if (spare) spareHits++
  return spare
}

/** Private memory with any content, excluded from core dumps where that is asked for. */
export function privateMemory(byteLength: number, isExcluded: boolean): ArrayBuffer {
  const buffer = spareFor(byteLength) ?? allocate(byteLength)
  if (isExcluded && byteLength > 0) guarded(() => native.excludeFromCoreDumps(new Uint8Array(buffer)))
  return buffer
}

/** Whether a private buffer can become a result. */
export function isKeepable(buffer: ArrayBuffer): boolean {
  return buffer.byteLength >= KEPT_FROM_BYTES && Own.has(buffer)
}

/** Keeps a private buffer for a result. */
export function keep(buffer: ArrayBuffer): void {
  const { byteLength } = buffer
  if (byteLength >= HUGE_PAGES_FROM_BYTES && !Own.isInHugePages(buffer)) {
    // The heap had usual pages there; filling huge ones once costs less than using usual ones again and again.
    native.discardPages(new Uint8Array(buffer))
    Own.setInHugePages(buffer)
  }
  const sameLength = spares.get(byteLength) ?? []
  spares.delete(byteLength)
  spares.set(byteLength, sameLength)
  sameLength.push(buffer)
  spareBytes += byteLength
}

/** Gives the memory of the oldest spare buffer back to the operating system; returns whether there was one. */
export function dropOldestSpare(): boolean {
  const [byteLength = 0] = spares.keys()
  const dropped = remove(byteLength)
  if (dropped) native.release(new Uint8Array(dropped))
  return dropped !== undefined
}

/** Gives all memory back to the operating system that is kept for results or lies idle in the C library. */
export function clearSpares(): void {
  while (dropOldestSpare());
  trimHeap()
}

/** Bytes of spare buffers, and how many of them became results. */
export function spareStats(): { spareBytes: number; spareHits: number } {
  return { spareBytes, spareHits }
}

/** The default of `spareBytes`: 32 MiB, or a sixteenth of the memory limit if that is less. */
export function defaultSpareBytes(): number {
  // Zero or a huge number where no control group sets a limit.
  const limit = Math.min(process.constrainedMemory() || os.totalmem(), os.totalmem())
  return Math.min(SPARE_BYTES_MAX, Math.floor(limit * SPARE_SHARE))
}

function remove(byteLength: number): ArrayBuffer | undefined {
  const sameLength = spares.get(byteLength)
  const chosen = sameLength?.pop()
  if (!sameLength || !chosen) return undefined
  if (sameLength.length === 0) spares.delete(byteLength)
  spareBytes -= byteLength
  return chosen
}
