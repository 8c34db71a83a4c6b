/** The pager whose verbs have done their work when they return. */

import { collect } from './collect.js'
import { Engine } from './engine.js'
import type { Result } from './errors.js'
import type { Handle } from './handle.js'
import { PagerControls } from './pager-controls.js'
import * as sync from './sync.js'
import type { Backend, Chunk, CollectOptions, DetachOptions, PageoutOptions, PagerOptions, Range } from './types.js'

/**
 * A pager with its own scratch directory, capacity and options.
 *
 * Every verb checks its arguments before anything happens, and a verb that fails leaves chunks and handles as they were.
 * Wrong arguments throw a TypeError or RangeError with one of Node's codes; failures of the system throw a
 * {@link PageoutError}, or come back as a {@link Result} from the `try` forms.
 *
 * @example
 * using pager = new Pager({ capacityBytes: 2 ** 30 })
 * const handle = pager.pageout([new Float64Array([1, 2]), new Float64Array([3])])
 * pager.readAt(handle, 1, 2) // Float64Array [2, 3]
 * pager.take(handle) // Float64Array [1, 2, 3]
 */
export class Pager extends PagerControls {
  readonly #engine: Engine

  /**
   * @param options see {@link PagerOptions}
   * @throws ERR_PAGEOUT_SCRATCH_DIR or ERR_PAGEOUT_RAM_BACKED when `options.scratchDir` cannot serve
   */
  constructor(options?: PagerOptions) {
    const engine = Engine.open(options)
    super(engine)
    this.#engine = engine
  }

  /**
   * Puts chunks, concatenated in order, out of memory. All chunks are of one class, which is the class that comes back.
   *
   * A chunk that is all of a detachable ArrayBuffer is detached and its memory is back with the operating system when
   * this returns; any other chunk is copied and left as it is (`options.detach`).
   *
   * @param chunks one chunk, or an array of at least one
   * @returns the handle of the payload
   * @throws ENOSPC, ERR_PAGEOUT_CAPACITY, ERR_PAGEOUT_SCRATCH_DIR and others; the chunks are as they were
   */
  pageout<C extends Chunk>(chunks: C | readonly C[], options?: PageoutOptions): Handle<C> {
    return sync.pageout(this.#engine, this.#engine.outgoing(chunks, options))
  }

  /** As {@link pageout}, with the backend named. */
  pageoutWith<C extends Chunk>(backend: Backend, chunks: C | readonly C[], options?: DetachOptions): Handle<C> {
    return sync.pageout(this.#engine, this.#engine.outgoing(chunks, options, { backend }))
  }

  /** As the function of the same name of `pageout`. */
  pageoutFrom<C extends Chunk>(source: Iterable<C>, options?: CollectOptions): Handle<C> {
    return collect(this.#engine, source, options)
  }

  /**
   * Reads `length` elements from element `offset` on.
   *
   * @param target where to put them, at its start; by default new memory. Its content is unspecified after an error
   * @returns the elements, in the class that went out; a view of `target` when that is given
   * @throws ERR_OUT_OF_RANGE past the end, ERR_PAGEOUT_CORRUPT, ERR_PAGEOUT_RELEASED
   */
  readAt<C extends Chunk>(handle: Handle<C>, offset: number, length: number, target?: C): C {
    return sync.read(this.#engine, this.#engine.range(handle, offset, length), target)
  }

  /**
   * Reads several ranges, one behind the other in the order of `ranges`. They may come in any order and may touch, but
   * not overlap. What is not in memory is asked of the device all at once.
   *
   * @throws as {@link readAt}, and ERR_PAGEOUT_OVERLAP
   */
  readAtMany<C extends Chunk>(handle: Handle<C>, ranges: readonly Range[], target?: C): C {
    return sync.read(this.#engine, this.#engine.ranges(handle, ranges), target)
  }

  /**
   * Brings the whole payload back and frees its place. When it fails the handle is as good as before.
   *
   * @param target where to put it, at its start; by default new memory
   */
  take<C extends Chunk>(handle: Handle<C>, target?: C): C {
    return sync.take(this.#engine, handle, target)
  }

  /** As {@link pageout}, with failures of the system returned. */
  tryPageout<C extends Chunk>(chunks: C | readonly C[], options?: PageoutOptions): Result<Handle<C>> {
    return sync.attempt(() => this.pageout(chunks, options))
  }

  /** As {@link pageoutWith}, with failures of the system returned. */
  tryPageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions,
  ): Result<Handle<C>> {
    return sync.attempt(() => this.pageoutWith(backend, chunks, options))
  }

  /** As {@link pageoutFrom}, with failures of the system returned. */
  tryPageoutFrom<C extends Chunk>(source: Iterable<C>, options?: CollectOptions): Result<Handle<C>> {
    return sync.attempt(() => this.pageoutFrom(source, options))
  }

  /** As {@link readAt}, with failures of the system returned. */
  tryReadAt<C extends Chunk>(handle: Handle<C>, offset: number, length: number, target?: C): Result<C> {
    return sync.attempt(() => this.readAt(handle, offset, length, target))
  }

  /** As {@link readAtMany}, with failures of the system returned. */
  tryReadAtMany<C extends Chunk>(handle: Handle<C>, ranges: readonly Range[], target?: C): Result<C> {
    return sync.attempt(() => this.readAtMany(handle, ranges, target))
  }

  /** As {@link take}, with failures of the system returned. */
  tryTake<C extends Chunk>(handle: Handle<C>, target?: C): Result<C> {
    return sync.attempt(() => this.take(handle, target))
  }

  /**
   * Frees all payloads and closes all descriptors; the disk space goes back in the background. Payloads that were moved stay.
   * Later calls throw ERR_PAGEOUT_CLOSED; closing again does nothing.
   */
  close(): void {
    this.#engine.close()
  }

  /** As {@link close}. */
  [Symbol.dispose](): void {
    this.#engine.close()
  }
}
