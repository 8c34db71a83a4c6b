/** Copying ranges of payloads that are in memory, on this thread. */

import type { Ranges } from '../chunks/arguments.js'

/** Memory of a payload. */
interface Pieces {
  readonly buffers: readonly ArrayBuffer[]
  /** Where in the payload each of the buffers ends, in bytes. */
  readonly ends: readonly number[]
}

/** Copies ranges to `into`, one behind the other. */
export function copyRanges(pieces: Pieces, ranges: Ranges, into: Uint8Array): void {
  let filled = 0
  for (const piece of piecesOf(pieces, ranges)) {
    into.set(piece, filled)
    filled += piece.length
  }
}

/** The memory of ranges, in their order. */
export function* piecesOf({ buffers, ends }: Pieces, { bytes }: Ranges): Generator<Uint8Array> {
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
