/** Where results go. */

import { isLent } from '../memory/lent.js'
import { allocate, spareFor } from '../memory/results.js'
import { invalidArgType, invalidArgValue, outOfRange } from '../model/errors.js'
import type { ChunkClass } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import { bytesUnder, inspectChunk, isSameFamily, isTyped } from './classes.js'

/** Memory for a result. */
export interface Destination {
  /** To be filled whole: a typed array. */
  readonly view: ArrayBufferView
  /** The result, once the bytes are there. */
  readonly chunk: Chunk
  /** Memory of the result that other threads can reach: it is filled by JavaScript, whose rules for that are defined. */
  readonly shared: Uint8Array | undefined
}

/** The result of a destination that is filled. */
export function filled({ view, chunk, shared }: Destination): Chunk {
  shared?.set(view as Uint8Array)
  return chunk
}

/** Overwrites what a result was to be written to, where nothing of it may be seen. */
export function clear({ view, shared }: Destination): void {
  bytesUnder(view).fill(0)
  shared?.fill(0)
}

/** Memory for a result of `byteLength` bytes: the caller's target, or ours. */
export function destination(chunkClass: ChunkClass, byteLength: number, target: unknown): Destination {
  return target === undefined ? inOurs(chunkClass, byteLength) : inTarget(chunkClass, byteLength, target)
}

function inOurs(chunkClass: ChunkClass, byteLength: number): Destination {
  const buffer = spareFor(byteLength) ?? allocate(byteLength)
  return over(chunkClass, buffer, 0, byteLength)
}

/** The result over memory that only this thread can reach. */
function over(chunkClass: ChunkClass, buffer: ArrayBufferLike, byteOffset: number, byteLength: number): Destination {
  const chunk = chunkClass.over(buffer, byteOffset, byteLength)
  const view = isTyped(chunkClass) ? (chunk as ArrayBufferView) : new Uint8Array(buffer, byteOffset, byteLength)
  return { view, chunk, shared: undefined }
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
  const { buffer, byteOffset } = part
  if (!part.isShared) return over(chunkClass, buffer, byteOffset, byteLength)
  const view = new Uint8Array(allocate(byteLength))
  const shared = new Uint8Array(buffer, byteOffset, byteLength)
  return { view, chunk: chunkClass.over(buffer, byteOffset, byteLength), shared }
}

/** Refuses a target that cannot hold a result, before anything happens. */
export function refuseBadTarget(chunkClass: ChunkClass, byteLength: number, target: unknown): void {
  if (target !== undefined) inTarget(chunkClass, byteLength, target)
}
