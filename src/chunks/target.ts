/** Where results go. */

import { isLent } from '../memory/lent.js'
import { allocate, spareFor } from '../memory/results.js'
import { invalidArgType, invalidArgValue, outOfRange } from '../model/errors.js'
import type { ChunkClass } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import { inspectChunk, isSameFamily } from './classes.js'

/** Memory for a result. */
export interface Destination {
  /** To be filled whole. */
  readonly bytes: Uint8Array
  /** The result, once the bytes are there. */
  readonly result: () => Chunk
}

/** Memory for a result of `byteLength` bytes: the caller's target, or ours. */
export function destination(chunkClass: ChunkClass, byteLength: number, target: unknown): Destination {
  return target === undefined ? inOurs(chunkClass, byteLength) : inTarget(chunkClass, byteLength, target)
}

function inOurs(chunkClass: ChunkClass, byteLength: number): Destination {
  const buffer = spareFor(byteLength) ?? allocate(byteLength)
  return { bytes: new Uint8Array(buffer), result: () => chunkClass.over(buffer, 0, byteLength) }
}

function inTarget(chunkClass: ChunkClass, byteLength: number, target: unknown): Destination {
  const part = inspectChunk(target, 'target')
  if (!isSameFamily(part.chunkClass, chunkClass)) {
    throw invalidArgType('target', `an instance of ${chunkClass.name}, as the payload is`, target)
  }
  if (isLent(part.buffer)) throw invalidArgValue('target', 'must not be borrowed', target)
  if (part.byteLength < byteLength) {
    const { elementBytes } = chunkClass
    throw outOfRange('target.length', `>= ${byteLength / elementBytes}`, part.byteLength / elementBytes)
  }
  const result = () => chunkClass.over(part.buffer, part.byteOffset, byteLength)
  const bytes = new Uint8Array(part.buffer, part.byteOffset, byteLength)
  if (!part.isShared) return { bytes, result }
  // Memory that other threads can reach is filled by JavaScript, whose rules for that are defined.
  const own = new Uint8Array(allocate(byteLength))
  const filled = () => {
    bytes.set(own)
    return result()
  }
  return { bytes: own, result: filled }
}

/** Refuses a target that cannot hold a result, before anything happens. */
export function refuseBadTarget(chunkClass: ChunkClass, byteLength: number, target: unknown): void {
  if (target !== undefined) inTarget(chunkClass, byteLength, target)
}
