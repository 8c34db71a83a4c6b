/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The functions of `pageout`, off the JavaScript thread: the same names and arguments, promises instead of results, and
 * `{ signal }` as the last argument. Both entry points share one pager, one `Handle` and one `PageoutError`.
 *
 * @packageDocumentation
 */

// First, so that nothing else is tried where it cannot be loaded.
import './addon.js'
import { abortSignal } from './arguments.js'
import * as async from './async.js'
import { collectAsync } from './collect.js'
import type { Result } from './errors.js'
import type { Handle } from './handle.js'
import { shared } from './shared.js'
import type {
  Backend,
  Chunk,
  ChunkSource,
  CollectOptions,
  DetachOptions,
  PageoutOptions,
  Range,
  SignalOptions,
} from './types.js'

export type { Result } from './errors.js'
export { PageoutError, type RefusedDir } from './errors.js'
export { Handle } from './handle.js'
export { backend, prefetch, setBackend, setScratchDir, stats, toReadableStream, trim } from './index.js'
export { Pager } from './promise-pager.js'
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
 * Puts chunks, concatenated in order, out of memory.
 *
 * Before this returns, a chunk that is all of a detachable ArrayBuffer is detached, and any other chunk is copied. When
 * the pageout fails, `error.chunks` holds all chunks again: the same classes with the same content.
 *
 * @param chunks one chunk, or an array of at least one, all of one class
 * @param options an abort by `signal` takes the payload back, as far as it is: `error.chunks` holds the chunks again
 * @returns the handle of the payload
 * @example
 * const handle = await pageout(new Float64Array(1_000_000))
 */
export async function pageout<C extends Chunk>(
  chunks: C | readonly C[],
  options?: PageoutOptions & SignalOptions,
): Promise<Handle<C>> {
  const signal = abortSignal(options)
  return await async.pageout(shared, shared.outgoing(chunks, options), signal)
}

/** As {@link pageout}, with the backend named. */
export async function pageoutWith<C extends Chunk>(
  backend: Backend,
  chunks: C | readonly C[],
  options?: DetachOptions & SignalOptions,
): Promise<Handle<C>> {
  const signal = abortSignal(options)
  return await async.pageout(shared, shared.outgoing(chunks, options, { backend }), signal)
}

/**
 * Collects the chunks of a source straight into one payload: they go out while they come, and at most three pieces of 4 MiB
 * are in memory at a time. A source is an iterable or async iterable, which Node's and the Web's streams are. The chunks, all of
 * one class, are copied and left as they are, so that a source may give the same memory again and again. A source that
 * gives none makes an empty payload of class Uint8Array. When it fails or is aborted, the source is told that nobody wants more,
 * and what came before is freed.
 *
 * @returns the handle of the payload
 * @example
 * const handle = await pageoutFrom<Buffer>(createReadStream(path))
 */
export async function pageoutFrom<C extends Chunk>(
  source: ChunkSource<C>,
  options?: CollectOptions & SignalOptions,
): Promise<Handle<C>> {
  const signal = abortSignal(options)
  return await collectAsync(shared, source, options, signal)
}

/**
 * Reads `length` elements from element `offset` on.
 *
 * @param target where to put them, at its start, once all of them are there; by default new memory
 * @returns the elements, in the class that went out; a view of `target` when that is given
 * @example
 * const handle = await pageout(Float64Array.of(1, 2, 3))
 * await readAt(handle, 1, 2) // Float64Array [2, 3]
 */
export async function readAt<C extends Chunk>(
  handle: Handle<C>,
  offset: number,
  length: number,
  target?: C,
  options?: SignalOptions,
): Promise<C> {
  const signal = abortSignal(options)
  return await async.read(shared, shared.range(handle, offset, length), target, signal)
}

/**
 * Reads several ranges, one behind the other in the order of `ranges`. They may come in any order and may touch, but not
 * overlap.
 *
 * @example
 * const handle = await pageout(Float64Array.of(1, 2, 3, 4))
 * await readAtMany(handle, [[3, 1], [0, 2]]) // Float64Array [4, 1, 2]
 */
export async function readAtMany<C extends Chunk>(
  handle: Handle<C>,
  ranges: readonly Range[],
  target?: C,
  options?: SignalOptions,
): Promise<C> {
  const signal = abortSignal(options)
  return await async.read(shared, shared.ranges(handle, ranges), target, signal)
}

/**
 * Brings the whole payload back and frees its place. While it is pending, other calls with the handle reject with
 * ERR_PAGEOUT_RELEASED; when it fails or is aborted, the handle is as good as before.
 *
 * @param target where to put it, at its start, once it is whole; by default new memory
 * @example
 * const handle = await pageout([Float64Array.of(1, 2), Float64Array.of(3)])
 * await take(handle) // Float64Array [1, 2, 3]
 */
export async function take<C extends Chunk>(handle: Handle<C>, target?: C, options?: SignalOptions): Promise<C> {
  const signal = abortSignal(options)
  return await async.take(shared, handle, target, signal)
}

/** As {@link pageout}, with failures of the system returned. */
export function tryPageout<C extends Chunk>(
  chunks: C | readonly C[],
  options?: PageoutOptions & SignalOptions,
): Promise<Result<Handle<C>>> {
  return async.attempt(pageout(chunks, options))
}

/** As {@link pageoutWith}, with failures of the system returned. */
export function tryPageoutWith<C extends Chunk>(
  backend: Backend,
  chunks: C | readonly C[],
  options?: DetachOptions & SignalOptions,
): Promise<Result<Handle<C>>> {
  return async.attempt(pageoutWith(backend, chunks, options))
}

/** As {@link pageoutFrom}, with failures of the system returned. */
export function tryPageoutFrom<C extends Chunk>(
  source: ChunkSource<C>,
  options?: CollectOptions & SignalOptions,
): Promise<Result<Handle<C>>> {
  return async.attempt(pageoutFrom(source, options))
}

/** As {@link readAt}, with failures of the system returned. */
export function tryReadAt<C extends Chunk>(
  handle: Handle<C>,
  offset: number,
  length: number,
  target?: C,
  options?: SignalOptions,
): Promise<Result<C>> {
  return async.attempt(readAt(handle, offset, length, target, options))
}

/** As {@link readAtMany}, with failures of the system returned. */
export function tryReadAtMany<C extends Chunk>(
  handle: Handle<C>,
  ranges: readonly Range[],
  target?: C,
  options?: SignalOptions,
): Promise<Result<C>> {
  return async.attempt(readAtMany(handle, ranges, target, options))
}

/** As {@link take}, with failures of the system returned. */
export function tryTake<C extends Chunk>(handle: Handle<C>, target?: C, options?: SignalOptions): Promise<Result<C>> {
  return async.attempt(take(handle, target, options))
}
