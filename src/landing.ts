/** Where results go, and results that come from memory. */

import { inspectChunk, type Kind } from './chunk.js'
import { invalidArgType, outOfRange } from './errors.js'
import { fresh } from './memory.js'
import type { Chunk } from './types.js'

/** Where a result goes. */
export interface Landing<C extends Chunk> {
  /** Private or the caller's memory, to be filled whole. */
  readonly bytes: Uint8Array
  /** The result, once the bytes are there. */
  readonly result: () => C
}

/** A result at the start of the caller's own memory. */
export function landingIn<C extends Chunk>(kind: Kind, byteLength: number, target: C): Landing<C> {
  const part = inspectChunk(target, 'target')
  if (part.kind !== kind) throw invalidArgType('target', `an instance of ${kind.name}, as the payload is`, target)
  if (part.byteLength < byteLength) {
    const { elementBytes } = kind
    throw outOfRange('target.length', `>= ${byteLength / elementBytes}`, part.byteLength / elementBytes)
  }
  const result = () => kind.over(part.buffer, part.byteOffset, byteLength) as C
  const bytes = new Uint8Array(part.buffer, part.byteOffset, byteLength)
  if (!part.isShared) return { bytes, result }
  // Memory that other threads can reach is filled by JavaScript, whose rules for that are defined.
  const own = new Uint8Array(fresh(byteLength))
  return {
    bytes: own,
    result: () => {
      bytes.set(own)
      return result()
    },
  }
}

/** Copies ranges of bytes of a payload that lies in `buffers` to `into`, one behind the other. */
export function copyRanges(buffers: readonly ArrayBuffer[], ranges: ArrayLike<number>, into: Uint8Array): void {
  let filled = 0
  for (let pair = 0; pair < ranges.length; pair += 2) {
    const start = ranges[pair] ?? 0
    const end = start + (ranges[pair + 1] ?? 0)
    let bufferStart = 0
    for (const buffer of buffers) {
      const from = Math.max(start - bufferStart, 0)
      const to = Math.min(end - bufferStart, buffer.byteLength)
      bufferStart += buffer.byteLength
      if (from >= to) continue
      into.set(new Uint8Array(buffer, from, to - from), filled)
      filled += to - from
    }
  }
}
