/** The functions that callers give to a map, and what becomes of what they return or throw. */

import { isArray } from '../chunks/arguments.js'
import { bufferOf, inspectChunk } from '../chunks/classes.js'
import { invalidArgType, invalidReturnValue, PageoutError, withChunks } from '../model/errors.js'
import type { Chunk } from '../model/types.js'
import { orUndefined } from '../runtime/captured.js'

/** A function that was given as `work`. */
export function workFunction<F>(work: F): F {
  if (typeof work !== 'function') throw invalidArgType('work', 'of type function', work)
  return work
}

/** The keys of a call, each read once. */
export function keyList<K>(keys: Iterable<K>): K[] {
  const isIterable = typeof keys === 'object' && keys !== null && Symbol.iterator in keys
  if (!isIterable) throw invalidArgType('keys', 'an iterable object', keys)
  return isArray(keys) ? Array.from(keys as readonly K[]) : [...keys]
}

/** What `work` of an update returned that is to be set. */
export function chunkResult(result: unknown): Chunk {
  if (bufferOf(result) === undefined) throw invalidReturnValue('work', 'must be a chunk or undefined', result)
  return result as Chunk
}

/** Whether a value that was taken for an update is still all there. */
export function isIntact(taken: Chunk, byteLength: number): boolean {
  return orUndefined(() => inspectChunk(taken, 'value').byteLength) === byteLength
}

/** The error of an update that failed for `cause`, and whose value could not be set back: it has all chunks. */
export function notSetBack(failure: unknown, cause: unknown): unknown {
  if (!(failure instanceof PageoutError)) return failure
  const chunks = [...new Set([...chunksOf(cause), ...chunksOf(failure)])]
  define(failure, 'chunks', chunks)
  if (failure.cause === undefined) define(failure, 'cause', cause)
  return failure
}

/** Adds to an error the chunk that could not be set: the caller's own where that was left, else what has its memory, if nobody did. */
export function withChunk(error: unknown, chunk: Chunk, moved: Chunk): unknown {
  const isLeft = orUndefined(() => inspectChunk(chunk, 'chunk')) !== undefined
  withChunks(error, [isLeft ? chunk : moved])
  // It may have a copy of what was left.
  if (isLeft && error instanceof Error && Object.hasOwn(error, 'chunks')) define(error, 'chunks', [chunk])
  return error
}

function define(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, configurable: true, writable: true })
}

function chunksOf(error: unknown): readonly Chunk[] {
  return (error instanceof PageoutError && error.chunks) || []
}

/** Throws what callers' functions threw: one error as it is, several in one. */
export function throwAll(errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw new AggregateError(errors, `onEvict failed for ${errors.length} entries`)
}
