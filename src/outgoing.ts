/** Chunks that are about to go out: what is checked, and how their memory is taken. */

import { isArray } from './arguments.js'
import { bytesOf, hasChanged, inspectChunk, isMovable, type Kind, move, type Part } from './chunk.js'
import { invalidArgType, invalidArgValue, notDetachable } from './errors.js'
import { fresh } from './memory.js'
import type { Backend } from './types.js'

/** What a handle is made for. */
export interface Made {
  readonly kind: Kind
  readonly byteLength: number
}

/** Chunks that were checked and are about to go out. */
export interface Outgoing extends Made {
  readonly parts: readonly Part[]
  readonly backend: Backend
  readonly detach: 'auto' | 'never' | 'required'
}

/** What is done with memory before it becomes ours. */
type Prepare = (bytes: Uint8Array) => void

/** What is known about all chunks of a call, of which there is at least one, and all of one class. */
export function inspectChunks(chunks: unknown): Pick<Outgoing, 'kind' | 'parts' | 'byteLength'> {
  const parts = inspectAll(chunks)
  const kind = commonKind(parts, chunks)
  return { kind, parts, byteLength: parts.reduce((sum, part) => sum + part.byteLength, 0) }
}

function inspectAll(chunks: unknown): Part[] {
  if (!isArray(chunks)) return [inspectChunk(chunks, 'chunks')]
  // All are read before the first is looked at: reading one may run code of the caller, which may change another.
  const list = Array.from({ length: chunks.length }, (_, position) => chunks[position])
  return list.map((chunk, position) => inspectChunk(chunk, `chunks[${position}]`))
}

function commonKind(parts: readonly Part[], chunks: unknown): Kind {
  const [first] = parts
  if (!first) throw invalidArgType('chunks', 'a chunk or an array of at least one', chunks)
  const other = parts.findIndex(part => part.kind !== first.kind)
  if (other > 0) {
    const all = chunks as readonly unknown[]
    throw invalidArgType(`chunks[${other}]`, `of the class of chunks[0], ${first.kind.name}`, all[other])
  }
  return first.kind
}

/** Refuses a chunk whose memory cannot be given back. */
export function refuseNotDetachable(part: Part, position: number): void {
  if (part.byteLength === 0) return
  const name = `chunks[${position}]`
  if (part.isShared) throw notDetachable(name, 'other threads can reach its memory')
  if (!part.isWhole) throw notDetachable(name, 'it is only a part of its ArrayBuffer')
  if (!isMovable(part.buffer as ArrayBuffer)) throw notDetachable(name, 'its ArrayBuffer cannot be transferred')
}

/** Refuses chunks that are no longer as they were when they were checked. */
export function refuseChanged({ parts }: Outgoing): void {
  const changed = parts.find(hasChanged)
  if (changed) throw invalidArgValue('chunks', 'must stay as it is while it is paged out', changed.chunk)
}

/** The bytes of a part that the addon may read: memory that other threads can reach is copied first. */
export function readableBytes(part: Part): Uint8Array {
  const bytes = bytesOf(part)
  return part.isShared ? new Uint8Array(bytes) : bytes
}

/**
 * The bytes of each part in memory that nobody else knows: moved where the options allow it, else copied. `prepare` sees all of
 * that memory, and may fail, before anything is moved.
 */
export function privateCopies({ parts, detach }: Outgoing, prepare: Prepare = () => {}): ArrayBuffer[] {
  const copy = (part: Part) => {
    const buffer = copied(part)
    prepare(new Uint8Array(buffer))
    return buffer
  }
  return detach === 'never' ? parts.map(copy) : moveAll(parts, copy, prepare)
}

/** The bytes of a part in memory of ours. */
export function copied(part: Part): ArrayBuffer {
  const buffer = fresh(part.byteLength)
  new Uint8Array(buffer).set(bytesOf(part))
  return buffer
}

/** The memory of all parts: copies first, which may fail; then what can be moved, which cannot. */
function moveAll(parts: readonly Part[], copy: (part: Part) => ArrayBuffer, prepare: Prepare): ArrayBuffer[] {
  const [only] = parts
  // Where there is one part, nothing has to be known before: it is moved, or else copied.
  if (only && parts.length === 1 && only.isWhole && only.byteLength > 0) {
    prepare(bytesOf(only))
    return [move(only.buffer as ArrayBuffer) ?? copy(only)]
  }
  const seen = new Set<ArrayBufferLike>()
  const movable = parts.map(part => {
    if (!part.isWhole || part.byteLength === 0 || seen.has(part.buffer)) return false
    seen.add(part.buffer)
    return isMovable(part.buffer as ArrayBuffer)
  })
  const copies = parts.map((part, position) => (movable[position] ? undefined : copy(part)))
  parts.forEach((part, position) => {
    if (movable[position]) prepare(bytesOf(part))
  })
  return parts.map((part, position) => copies[position] ?? move(part.buffer as ArrayBuffer) ?? copy(part))
}
