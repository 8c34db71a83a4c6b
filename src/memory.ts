/** The memory of results, and giving memory back. */

import { constants } from 'node:buffer'
import { totalmem } from 'node:os'
import { native } from './addon.js'
import { outOfMemory } from './errors.js'

/** From this size on there is a whole huge page in any memory; one of them costs as much as a few of the usual 512. */
const HUGE_PAGES_FROM_BYTES = 4 * 2 ** 20

/** Shorter buffers hold no page of their own, so keeping them would keep more than is counted. */
const SPARES_FROM_BYTES = 4096

/** Buffers that are as far as possible in huge pages. */
const inHugePages = new WeakSet<ArrayBuffer>()

/** Says that `moved` has the memory that `buffer` had. */
export function inheritPages(moved: ArrayBuffer, buffer: ArrayBuffer): void {
  if (moved.byteLength >= HUGE_PAGES_FROM_BYTES && inHugePages.has(buffer)) inHugePages.add(moved)
}

/** Asks for huge pages behind memory that is not filled yet. */
function wasPutInHugePages(buffer: ArrayBuffer): boolean {
  if (buffer.byteLength < HUGE_PAGES_FROM_BYTES || !native.preferHugePages(new Uint8Array(buffer))) return false
  inHugePages.add(buffer)
  return true
}

/** The most bytes that spare buffers take by default, and the share of the memory limit that they take at most. */
const SPARE_BYTES_MAX = 32 * 2 ** 20
const SPARE_SHARE = 1 / 16

/** Bytes of spare buffers unless an option says otherwise: 32 MiB, or a sixteenth of the memory limit where that is less. */
export function defaultSpareBytes(): number {
  // Zero or a huge number where no control group sets a limit.
  const limit = Math.min(process.constrainedMemory() || totalmem(), totalmem())
  return Math.min(SPARE_BYTES_MAX, Math.floor(limit * SPARE_SHARE))
}

/**
 * Buffers whose content went out, kept for results of the same length. Their pages are the operating system's for the
 * taking; a buffer whose pages are still there spares a result the page faults of fresh memory.
 */
export class Spares {
  readonly #budgetBytes: number
  /** By length; the length that was given back longest ago comes first. */
  readonly #buffers = new Map<number, ArrayBuffer[]>()
  #bytes = 0
  #hits = 0

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  /** Bytes of the buffers that are kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** Buffers that became results. */
  get hits(): number {
    return this.#hits
  }

  /** Takes over a buffer that nobody else knows: keeps it, or gives its memory back to the operating system now. */
  giveBack(buffer: ArrayBuffer): void {
    const bytes = buffer.byteLength
    // The collector frees what is too short to have a page to give back.
    if (bytes < SPARES_FROM_BYTES) return
    if (bytes > this.#budgetBytes || buffer.resizable === true) {
      native.release(new Uint8Array(buffer))
      return
    }
    while (this.#bytes + bytes > this.#budgetBytes) this.#dropOne()
    offer(buffer)
    const sameLength = this.#buffers.get(bytes) ?? []
    this.#buffers.delete(bytes)
    this.#buffers.set(bytes, sameLength)
    sameLength.push(buffer)
    this.#bytes += bytes
  }

  /** A spare buffer of exactly `byteLength` bytes with any content, if there is one, for a result that will fill it. */
  take(byteLength: number): ArrayBuffer | undefined {
    const spare = this.#remove(byteLength)
    if (spare) this.#hits++
    return spare
  }

  /** Gives all memory back. */
  clear(): void {
    while (this.#bytes > 0) this.#dropOne()
  }

  #dropOne(): void {
    const [byteLength = 0] = this.#buffers.keys()
    const dropped = this.#remove(byteLength)
    if (dropped) native.release(new Uint8Array(dropped))
  }

  #remove(byteLength: number): ArrayBuffer | undefined {
    const sameLength = this.#buffers.get(byteLength)
    const chosen = sameLength?.pop()
    if (!sameLength || !chosen) return undefined
    if (sameLength.length === 0) this.#buffers.delete(byteLength)
    this.#bytes -= byteLength
    return chosen
  }
}

/** Lets the operating system have the pages of a buffer whose content nobody needs. */
function offer(buffer: ArrayBuffer): void {
  // Long memory of others comes back in huge pages: worth giving up the usual ones.
  if (!inHugePages.has(buffer) && wasPutInHugePages(buffer)) native.discardPages(new Uint8Array(buffer))
  else native.offerPages(new Uint8Array(buffer))
}

/** New memory with any content. */
export function fresh(byteLength: number): ArrayBuffer {
  try {
    if (byteLength > constants.MAX_LENGTH) return new ArrayBuffer(byteLength)
    // Neither cleared nor part of the Buffer pool: exactly these bytes.
    const buffer = Buffer.allocUnsafeSlow(byteLength).buffer as ArrayBuffer
    wasPutInHugePages(buffer)
    return buffer
  } catch (cause) {
    throw outOfMemory(byteLength, cause)
  }
}
