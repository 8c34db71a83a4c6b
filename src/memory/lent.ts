/** Marks memory that a caller may look at while it is that of a payload: what is borrowed is neither taken nor written over. */

import { Identity } from '../runtime/identity.js'

/** A mark that cannot be forged, and that the buffer to which the memory moves does not have. */
class Lent extends Identity {
  readonly #isLent = true

  static has(buffer: object): boolean {
    return #isLent in buffer && buffer.#isLent
  }
}

/** Marks a buffer that callers get to see. It has the mark until its memory leaves it. */
export function markLent(buffer: ArrayBuffer): void {
  // What could not be taken from a caller before is marked already.
  if (!Lent.has(buffer)) new Lent(buffer)
}

/** Whether a buffer is borrowed. */
export function isLent(buffer: ArrayBufferLike): boolean {
  return Lent.has(buffer)
}
