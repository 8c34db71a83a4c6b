/// <reference lib="esnext.disposable" preserve="true" />
/**
 * An explicit pager for cold data: put typed arrays out of RAM now, read ranges of them later, or take the whole back.
 * These functions work on one pager that the whole process shares, and do their work before they return; `pageout/promises`
 * has the same functions off the JavaScript thread.
 *
 * @packageDocumentation
 */

// First, so that nothing else is tried where it cannot be loaded.
import './addon.js'
import { collect } from './collect.js'
import { setSharedScratchDir } from './engine.js'
import type { Result } from './errors.js'
import type { Handle } from './handle.js'
import { shared } from './shared.js'
import * as streams from './streams.js'
import * as sync from './sync.js'
import type {
  Backend,
  Chunk,
  CollectOptions,
  DetachOptions,
  PageoutOptions,
  PagerStats,
  Range,
  StreamOptions,
} from './types.js'

export type { Result } from './errors.js'
export { PageoutError, type RefusedDir } from './errors.js'
export { Handle } from './handle.js'
export { Pager } from './pager.js'
export type {
  Backend,
  Chunk,
  ChunkSource,
  CollectOptions,
  DetachOptions,
  HandleToken,
  PageoutOptions,
  PagerOptions,
  PagerStats,
  Range,
  SignalOptions,
  StreamOptions,
  TraceContext,
  TypedArray,
} from './types.js'

/**
 * Puts chunks, concatenated in order, out of memory. All chunks are of one class, which is the class that comes back.
 *
 * A chunk that is all of a detachable ArrayBuffer is detached and its memory is back with the operating system when this
 * returns; any other chunk is copied and left as it is (`options.detach`).
 *
 * @param chunks one chunk, or an array of at least one
 * @returns the handle of the payload
 * @throws ENOSPC, ERR_PAGEOUT_CAPACITY, ERR_PAGEOUT_SCRATCH_DIR and others; the chunks are as they were
 * @example
 * const column = new Float64Array(1_000_000)
 * const handle = pageout(column)
 * column.length // 0
 */
export function pageout<C extends Chunk>(chunks: C | readonly C[], options?: PageoutOptions): Handle<C> {
  return sync.pageout(shared, shared.outgoing(chunks, options))
}

/** As {@link pageout}, with the backend named. */
export function pageoutWith<C extends Chunk>(
  backend: Backend,
  chunks: C | readonly C[],
  options?: DetachOptions,
): Handle<C> {
  return sync.pageout(shared, shared.outgoing(chunks, options, { backend }))
}

/**
 * Collects the chunks of an iterable straight into one payload: they go out while they come, and at most 4 MiB of them are
 * in memory at a time. The chunks, all of one class, are copied and left as they are, so that a generator may give the
 * same memory again and again. An iterable that gives none makes an empty payload of class Uint8Array. When it fails, what
 * came before is freed.
 *
 * @returns the handle of the payload
 * @throws as {@link pageout}, and what the iterable throws
 * @example
 * const handle = pageoutFrom(function* () {
 *   for (let day = 0; day < 365; day++) yield new Float64Array(86_400).fill(day)
 * }())
 */
export function pageoutFrom<C extends Chunk>(source: Iterable<C>, options?: CollectOptions): Handle<C> {
  return collect(shared, source, options)
}

/**
 * Reads `length` elements from element `offset` on.
 *
 * @param target where to put them, at its start; by default new memory. Its content is unspecified after an error
 * @returns the elements, in the class that went out; a view of `target` when that is given
 * @throws ERR_OUT_OF_RANGE past the end, ERR_PAGEOUT_CORRUPT, ERR_PAGEOUT_RELEASED
 * @example
 * const handle = pageout(Float64Array.of(1, 2, 3))
 * readAt(handle, 1, 2) // Float64Array [2, 3]
 */
export function readAt<C extends Chunk>(handle: Handle<C>, offset: number, length: number, target?: C): C {
  return sync.read(shared, shared.range(handle, offset, length), target)
}

/**
 * Reads several ranges, one behind the other in the order of `ranges`. They may come in any order and may touch, but not
 * overlap. What is not in memory is asked of the device all at once.
 *
 * @throws as {@link readAt}, and ERR_PAGEOUT_OVERLAP
 * @example
 * const handle = pageout(Float64Array.of(1, 2, 3, 4))
 * readAtMany(handle, [[3, 1], [0, 2]]) // Float64Array [4, 1, 2]
 */
export function readAtMany<C extends Chunk>(handle: Handle<C>, ranges: readonly Range[], target?: C): C {
  return sync.read(shared, shared.ranges(handle, ranges), target)
}

/**
 * Brings the whole payload back and frees its place. When it fails the handle is as good as before.
 *
 * @param target where to put it, at its start; by default new memory. Its content is unspecified after an error
 * @example
 * const handle = pageout([Float64Array.of(1, 2), Float64Array.of(3)])
 * take(handle) // Float64Array [1, 2, 3]
 */
export function take<C extends Chunk>(handle: Handle<C>, target?: C): C {
  return sync.take(shared, handle, target)
}

/** As {@link pageout}, with failures of the system returned. */
export function tryPageout<C extends Chunk>(chunks: C | readonly C[], options?: PageoutOptions): Result<Handle<C>> {
  return sync.attempt(() => pageout(chunks, options))
}

/** As {@link pageoutWith}, with failures of the system returned. */
export function tryPageoutWith<C extends Chunk>(
  backend: Backend,
  chunks: C | readonly C[],
  options?: DetachOptions,
): Result<Handle<C>> {
  return sync.attempt(() => pageoutWith(backend, chunks, options))
}

/** As {@link pageoutFrom}, with failures of the system returned. */
export function tryPageoutFrom<C extends Chunk>(source: Iterable<C>, options?: CollectOptions): Result<Handle<C>> {
  return sync.attempt(() => pageoutFrom(source, options))
}

/** As {@link readAt}, with failures of the system returned. */
export function tryReadAt<C extends Chunk>(handle: Handle<C>, offset: number, length: number, target?: C): Result<C> {
  return sync.attempt(() => readAt(handle, offset, length, target))
}

/** As {@link readAtMany}, with failures of the system returned. */
export function tryReadAtMany<C extends Chunk>(handle: Handle<C>, ranges: readonly Range[], target?: C): Result<C> {
  return sync.attempt(() => readAtMany(handle, ranges, target))
}

/** As {@link take}, with failures of the system returned. */
export function tryTake<C extends Chunk>(handle: Handle<C>, target?: C): Result<C> {
  return sync.attempt(() => take(handle, target))
}

/**
 * The bytes of a payload as a Web stream (a byte stream, so that readers may bring their own memory), which reads ahead by
 * one chunk, off the JavaScript thread. `for await` reads it too, and `Readable.fromWeb` makes a Node stream of it.
 *
 * @param options `release` disposes of the handle when the stream was read to its end or cancelled; an error, as that of an
 * abort, leaves it whole
 * @throws ERR_PAGEOUT_RELEASED, ERR_OUT_OF_RANGE
 * @example
 * const stream = toReadableStream(handle, { release: true })
 * await pipeline(Readable.fromWeb(stream), createWriteStream(path))
 */
export function toReadableStream(handle: Handle<Chunk>, options?: StreamOptions): ReadableStream<Uint8Array> {
  return streams.toReadableStream(shared, handle, options)
}

/**
 * Starts bringing ranges into memory, for a read that comes soon. A hint: it reads nothing itself.
 *
 * @param ranges by default the whole payload
 */
export function prefetch<C extends Chunk>(handle: Handle<C>, ranges?: readonly Range[]): void {
  shared.prefetch(handle, ranges)
}

/** The backend that {@link pageout} uses: `file` unless {@link setBackend} was called, in any thread. */
export function backend(): Backend {
  return shared.backend
}

/** Chooses the backend of later pageouts, in all threads. Handles that exist keep theirs. */
export function setBackend(backend: Backend): void {
  shared.backend = backend
}

/**
 * Sets the directory for scratch files, creating it with its parents. Where it already is, nothing happens.
 *
 * @throws ERR_PAGEOUT_SCRATCH_DIR when it cannot serve, after which another call may succeed, or when another directory
 * is in use already; ERR_PAGEOUT_RAM_BACKED when it lives in memory
 */
export function setScratchDir(dir: string): void {
  setSharedScratchDir(dir)
}

/** What the process-wide pager holds and has done, at this moment. */
export function stats(): PagerStats {
  return shared.stats()
}

/** Gives back scratch space that no payload uses. */
export function trim(): void {
  shared.trim()
}
