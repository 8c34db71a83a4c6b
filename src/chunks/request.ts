/** Chunks that are about to be paged out: what is checked, and how their memory is taken. */

import { isLent } from '../memory/lent.js'
import { allocate } from '../memory/results.js'
import { invalidArgType, invalidArgValue, notDetachable } from '../model/errors.js'
import type { ChunkClass, PayloadShape } from '../model/payload.js'
import type { Backend, Chunk, Detach } from '../model/types.js'
import { isArray } from './arguments.js'
import {
  bytesOf,
  hasChanged,
  inspectChunk,
  isEmptied,
  isSameFamily,
  type Part,
  UINT8_ARRAY,
  viewOf,
} from './classes.js'
import { giveBackFrom, isMovable, transferOut } from './detach.js'

/** A checked pageout. */
export interface PageoutRequest extends PayloadShape {
  readonly parts: readonly Part[]
  readonly backend: Backend
  readonly detach: Detach
}

/** The chunks of a call, each read once. Reading them may run code of the caller, so it comes before the first is looked at. */
export function listOf(chunks: unknown): readonly unknown[] {
  return isArray(chunks) ? elementsOf(chunks) : [chunks]
}

function elementsOf(array: readonly unknown[]): readonly unknown[] {
  return Array.from({ length: array.length }, (_, position) => array[position])
}

/** What is known about each chunk of a call. */
export function inspectChunks(chunks: unknown, list: readonly unknown[]): readonly Part[] {
  if (!isArray(chunks)) return [inspectChunk(chunks, 'chunks')]
  return list.map((chunk, position) => inspectChunk(chunk, `chunks[${position}]`))
}

/** The one class that all chunks of a call are of; no chunks are an empty payload of bytes. */
export function commonClass(parts: readonly Part[]): ChunkClass {
  const first = parts.length > 0 ? (parts[0] as Part).chunkClass : UINT8_ARRAY
  for (let position = 1; position < parts.length; position++) {
    const { chunkClass, chunk } = parts[position] as Part
    if (isSameFamily(chunkClass, first)) continue
    throw invalidArgType(`chunks[${position}]`, `of the class of chunks[0], ${first.name}`, chunk)
  }
  return first
}

/** Bytes of all chunks together. */
export function lengthOfAll(parts: readonly Part[]): number {
  let byteLength = 0
  for (const part of parts) byteLength += part.byteLength
  return byteLength
}

/** Refuses a chunk whose memory cannot be detached. */
export function refuseNotDetachable(part: Part, position: number): void {
  if (part.byteLength === 0) return
  const name = `chunks[${position}]`
  if (part.isShared) throw notDetachable(name, 'other threads can reach its memory')
  if (isLent(part.buffer)) throw notDetachable(name, 'it is borrowed')
  if (!part.isWhole) throw notDetachable(name, 'it is only a part of its ArrayBuffer')
  if (!isMovable(part.buffer as ArrayBuffer)) throw notDetachable(name, 'its ArrayBuffer cannot be transferred')
}

/** Refuses chunks that are no longer as they were when they were checked. */
export function refuseChanged({ parts }: PageoutRequest): void {
  const changed = parts.find(hasChanged)
  if (changed) throw invalidArgValue('chunks', 'must stay as it is while it is paged out', changed.chunk)
}

/** A part as the addon may read it: memory that other threads can reach is copied first. */
export function readable(part: Part): ArrayBufferView {
  return part.isShared ? new Uint8Array(copied(part)) : viewOf(part)
}

/** What is done with memory before it becomes private. */
export interface Preparation {
  /** May fail, before anything is moved. */
  readonly prepare: (bytes: Uint8Array) => void
  /** Undoes it for memory that stays the caller's. */
  readonly undo: (bytes: Uint8Array) => void
}

/** Private memory of a pageout. */
export interface PrivateMemory {
  /** The bytes of each part. */
  readonly buffers: readonly ArrayBuffer[]
  /** What they were taken of. */
  readonly parts: readonly Part[]
}

/**
 * The bytes of each part in private memory: moved where the options allow it, else copied. Copies come first, which may fail; then
 * what can be moved, which cannot.
 */
export function takePrivate({ parts, detach }: PageoutRequest, preparation?: Preparation): PrivateMemory {
  if (parts.length === 1 && !preparation) return { buffers: [takeOnly(parts[0] as Part, detach)], parts }
  return takeAll(parts, detach, preparation)
}

function takeAll(parts: readonly Part[], detach: Detach, preparation: Preparation | undefined): PrivateMemory {
  const movable = detach === 'never' ? parts.map(() => false) : movableParts(parts)
  const copy = (part: Part) => {
    const buffer = copied(part)
    preparation?.prepare(new Uint8Array(buffer))
    return buffer
  }
  const copies = parts.map((part, position) => (movable[position] ? undefined : copy(part)))
  if (preparation) prepareAll(parts.filter((_, position) => movable[position]).map(bytesOf), preparation)
  const buffers = parts.map(
    (part, position) => copies[position] ?? transferOut(part.buffer as ArrayBuffer) ?? copy(part),
  )
  return { buffers, parts }
}

/** A single part that is not prepared needs no certainty: if it cannot be moved it is copied. */
function takeOnly(part: Part, detach: Detach): ArrayBuffer {
  const isMoved = detach !== 'never' && part.isWhole && part.byteLength > 0
  return (isMoved ? transferOut(part.buffer as ArrayBuffer) : undefined) ?? copied(part)
}

/** Gives the memory of chunks that were written or copied back, as far as the request asks for that and it can be detached. */
export function giveBackChunks({ parts, detach }: PageoutRequest, spareBytes: number): void {
  if (detach === 'never') return
  for (const { isWhole, buffer } of parts) if (isWhole) giveBackFrom(buffer as ArrayBuffer, spareBytes)
}

/** Prepares all of the caller's memory that will be moved, or none. */
function prepareAll(memory: readonly Uint8Array[], { prepare, undo }: Preparation): void {
  const prepared: Uint8Array[] = []
  try {
    for (const bytes of memory) {
      prepared.push(bytes)
      prepare(bytes)
    }
  } catch (error) {
    prepared.forEach(undo)
    throw error
  }
}

/** Which parts can be moved. */
function movableParts(parts: readonly Part[]): boolean[] {
  const seen = new Set<ArrayBufferLike>()
  return parts.map(part => {
    if (!part.isWhole || part.byteLength === 0 || seen.has(part.buffer)) return false
    seen.add(part.buffer)
    return isMovable(part.buffer as ArrayBuffer)
  })
}

/** Chunks that were not paged out: the caller's own where they still are, else their memory again. */
export function chunksAgain({ parts, buffers }: PrivateMemory): Chunk[] {
  return parts.map(({ chunkClass, chunk, buffer, byteLength }, position) => {
    const ours = buffers[position]
    return ours && byteLength > 0 && isEmptied(buffer) ? chunkClass.over(ours, 0, byteLength) : chunk
  })
}

/** A copy of the bytes of a part, in private memory. */
export function copied(part: Part): ArrayBuffer {
  const buffer = allocate(part.byteLength)
  new Uint8Array(buffer).set(bytesOf(part))
  return buffer
}
