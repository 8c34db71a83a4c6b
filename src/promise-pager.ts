/** The pager whose verbs do their work off the JavaScript thread. */

import { abortSignal } from './arguments.js'
import * as async from './async.js'
import { collectAsync } from './collect.js'
import { Engine } from './engine.js'
import type { Result } from './errors.js'
import type { Handle } from './handle.js'
import { PagerControls } from './pager-controls.js'
import type {
  Backend,
  Chunk,
  ChunkSource,
  CollectOptions,
  DetachOptions,
  PageoutOptions,
  PagerOptions,
  Range,
  SignalOptions,
} from './types.js'

/**
 * A pager with its own scratch directory, capacity and options, whose verbs return promises.
 *
 * Buffers leave the caller's reach before a verb returns; when a pageout fails, `error.chunks` holds them again. Wrong
 * arguments reject with a TypeError or RangeError with one of Node's codes; failures of the system reject with a
 * PageoutError, or come back as a {@link Result} from the `try` forms.
 *
 * @example
 * const pager = new Pager({ capacityBytes: 2 ** 30 })
 * const handle = await pager.pageout([new Float64Array([1, 2]), new Float64Array([3])])
 * await pager.readAt(handle, 1, 2) // Float64Array [2, 3]
 * await pager.take(handle) // Float64Array [1, 2, 3]
 * await pager.close()
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

  /** As the function of the same name of `pageout/promises`. */
  async pageout<C extends Chunk>(
    chunks: C | readonly C[],
    options?: PageoutOptions & SignalOptions,
  ): Promise<Handle<C>> {
    const signal = abortSignal(options)
    return await async.pageout<C>(this.#engine, this.#engine.outgoing(chunks, options), signal)
  }

  /** As {@link pageout}, with the backend named. */
  async pageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions & SignalOptions,
  ): Promise<Handle<C>> {
    const signal = abortSignal(options)
    return await async.pageout<C>(this.#engine, this.#engine.outgoing(chunks, options, { backend }), signal)
  }

  /** As the function of the same name of `pageout/promises`. */
  async pageoutFrom<C extends Chunk>(
    source: ChunkSource<C>,
    options?: CollectOptions & SignalOptions,
  ): Promise<Handle<C>> {
    const signal = abortSignal(options)
    return await collectAsync(this.#engine, source, options, signal)
  }

  /** As the function of the same name of `pageout/promises`. */
  async readAt<C extends Chunk>(
    handle: Handle<C>,
    offset: number,
    length: number,
    target?: C,
    options?: SignalOptions,
  ): Promise<C> {
    const signal = abortSignal(options)
    return await async.read(this.#engine, this.#engine.range(handle, offset, length), target, signal)
  }

  /** As the function of the same name of `pageout/promises`. */
  async readAtMany<C extends Chunk>(
    handle: Handle<C>,
    ranges: readonly Range[],
    target?: C,
    options?: SignalOptions,
  ): Promise<C> {
    const signal = abortSignal(options)
    return await async.read(this.#engine, this.#engine.ranges(handle, ranges), target, signal)
  }

  /** As the function of the same name of `pageout/promises`. */
  async take<C extends Chunk>(handle: Handle<C>, target?: C, options?: SignalOptions): Promise<C> {
    const signal = abortSignal(options)
    return await async.take(this.#engine, handle, target, signal)
  }

  /** As {@link pageout}, with failures of the system returned. */
  tryPageout<C extends Chunk>(
    chunks: C | readonly C[],
    options?: PageoutOptions & SignalOptions,
  ): Promise<Result<Handle<C>>> {
    return async.attempt(this.pageout(chunks, options))
  }

  /** As {@link pageoutWith}, with failures of the system returned. */
  tryPageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions & SignalOptions,
  ): Promise<Result<Handle<C>>> {
    return async.attempt(this.pageoutWith(backend, chunks, options))
  }

  /** As {@link pageoutFrom}, with failures of the system returned. */
  tryPageoutFrom<C extends Chunk>(
    source: ChunkSource<C>,
    options?: CollectOptions & SignalOptions,
  ): Promise<Result<Handle<C>>> {
    return async.attempt(this.pageoutFrom(source, options))
  }

  /** As {@link readAt}, with failures of the system returned. */
  tryReadAt<C extends Chunk>(
    handle: Handle<C>,
    offset: number,
    length: number,
    target?: C,
    options?: SignalOptions,
  ): Promise<Result<C>> {
    return async.attempt(this.readAt(handle, offset, length, target, options))
  }

  /** As {@link readAtMany}, with failures of the system returned. */
  tryReadAtMany<C extends Chunk>(
    handle: Handle<C>,
    ranges: readonly Range[],
    target?: C,
    options?: SignalOptions,
  ): Promise<Result<C>> {
    return async.attempt(this.readAtMany(handle, ranges, target, options))
  }

  /** As {@link take}, with failures of the system returned. */
  tryTake<C extends Chunk>(handle: Handle<C>, target?: C, options?: SignalOptions): Promise<Result<C>> {
    return async.attempt(this.take(handle, target, options))
  }

  /**
   * Waits for what is pending, then frees all payloads and closes all descriptors; the disk space goes back in the background.
   * Payloads that were moved stay. Later calls reject with ERR_PAGEOUT_CLOSED from now on; closing again does nothing more.
   */
  async close(): Promise<void> {
    this.#engine.beginClose()
    await this.#engine.idle()
    this.#engine.close()
  }

  /** As {@link close}, without a promise to wait for. */
  [Symbol.dispose](): void {
    void this.close()
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
