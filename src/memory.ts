/** The memory of results, and giving memory back. */

import { constants } from 'node:buffer'
import { offerPages, preferHugePages, release } from '../index.js'
import { outOfMemory } from './errors.js'

/** From this size on huge pages make fresh memory cheaper; below they change nothing. See docs/ARCHITECTURE.md. */
const HUGE_PAGES_FROM_BYTES = 4 * 2 ** 20

/**
 * Buffers whose content went out, kept for results of the same length. Their pages are the operating system's for the
 * taking; a buffer whose pages are still there spares a result the page faults of fresh memory.
 */
export class Spares {
  readonly #budgetBytes: number
  /** Oldest first. */
  #buffers: ArrayBuffer[] = []
  #bytes = 0

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  /** Bytes of the buffers that are kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** Takes over a buffer that nobody else knows: keeps it, or gives its memory back to the operating system now. */
  giveBack(buffer: ArrayBuffer): void {
    const bytes = buffer.byteLength
    if (bytes === 0) return
    if (bytes > this.#budgetBytes || buffer.resizable === true) {
      release(new Uint8Array(buffer))
      return
    }
    while (this.#bytes + bytes > this.#budgetBytes) this.#dropOldest()
    offerPages(new Uint8Array(buffer))
    this.#buffers.push(buffer)
    this.#bytes += bytes
  }

  /** A buffer of exactly `byteLength` bytes with any content, for a result that will fill it. */
  buffer(byteLength: number): ArrayBuffer {
    const newest = this.#buffers.findLastIndex(buffer => buffer.byteLength === byteLength)
    const [spare] = newest < 0 ? [] : this.#buffers.splice(newest, 1)
    if (!spare) return fresh(byteLength)
    this.#bytes -= byteLength
    return spare
  }

  /** Gives all memory back. */
  clear(): void {
    while (this.#buffers.length > 0) this.#dropOldest()
  }

  #dropOldest(): void {
    const oldest = this.#buffers.shift()
    if (!oldest) return
    this.#bytes -= oldest.byteLength
    release(new Uint8Array(oldest))
  }
}

/** New memory with any content. */
export function fresh(byteLength: number): ArrayBuffer {
  try {
    if (byteLength > constants.MAX_LENGTH) return new ArrayBuffer(byteLength)
    // Neither cleared nor part of the Buffer pool: exactly these bytes.
    const buffer = Buffer.allocUnsafeSlow(byteLength).buffer as ArrayBuffer
    if (byteLength >= HUGE_PAGES_FROM_BYTES) preferHugePages(new Uint8Array(buffer))
    return buffer
  } catch (cause) {
    throw outOfMemory(byteLength, cause)
  }
}
