/** The pager whose verbs do their work off the JavaScript thread. */

import type { Borrow } from '../borrows/borrow.js'
import type { Result } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import type {
  Backend,
  BorrowOptions,
  Chunk,
  ChunkSource,
  CollectOptions,
  DetachOptions,
  PageoutOptions,
  PagerOptions,
  Range,
  SignalOptions,
  Stored,
} from '../model/types.js'
import { PagerCore } from '../pager/core.js'
import { borrowLater, tryBorrowLater } from '../verbs/borrow.js'
import { collectLater } from '../verbs/collect.js'
import * as promise from '../verbs/promise.js'
import { rangeRequest, rangesRequest, wholeRequest } from '../verbs/requests.js'
import { PagerControls } from './pager-controls.js'
import type { Destination, PromiseVerbs } from './verbs.js'

/**
 * A pager with its own scratch directory, capacity and options, whose verbs return promises.
 *
 * Buffers leave the caller's reach before a verb returns; when a pageout fails, `error.chunks` holds them again. Wrong
 * arguments reject with a TypeError or RangeError with one of Node's codes; failures of the system reject with a
 * PageoutError, or are what the `try` forms resolve to.
 *
 * @example
 * const pager = new Pager({ capacityBytes: 2 ** 30 })
 * const handle = await pager.pageout([new Float64Array([1, 2]), new Float64Array([3])])
 * await pager.readAt(handle, 1, 2) // Float64Array [2, 3]
 * await pager.take(handle) // Float64Array [1, 2, 3]
 * await pager.close()
 */
export class Pager extends PagerControls implements PromiseVerbs {
  readonly #core: PagerCore

  /**
   * @param options see {@link PagerOptions}
   * @throws ERR_PAGEOUT_SCRATCH_DIR or ERR_PAGEOUT_RAM_BACKED when `options.scratchDir` cannot serve; what the OS says (`ENOMEM`, ...) where
   * `options.encryption` gets no memory or no random bits for a key
   */
  constructor(options?: PagerOptions) {
    const core = PagerCore.of(options)
    super(core)
    this.#core = core
  }

  pageout<C extends Chunk>(
    chunks: C | readonly C[],
    options?: PageoutOptions & SignalOptions,
  ): Promise<Handle<Stored<C>>> {
    return promise.pageout(this.#core, chunks, options) as Promise<Handle<Stored<C>>>
  }

  pageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions & SignalOptions,
  ): Promise<Handle<Stored<C>>> {
    return promise.pageout(this.#core, chunks, options, { backend }) as Promise<Handle<Stored<C>>>
  }

  pageoutFrom<C extends Chunk>(
    source: ChunkSource<C>,
    options?: CollectOptions & SignalOptions,
  ): Promise<Handle<Stored<C>>> {
    return collectLater(this.#core, source, options) as Promise<Handle<Stored<C>>>
  }

  readAt<C extends Chunk>(
    handle: Handle<C>,
    offset: number,
    length: number,
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<C> {
    const check = () => rangeRequest(this.#core, handle, offset, length)
    return promise.read(check, target, options) as Promise<C>
  }

  readAtMany<C extends Chunk>(
    handle: Handle<C>,
    ranges: readonly Range[],
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<C> {
    const check = () => rangesRequest(this.#core, handle, ranges)
    return promise.read(check, target, options) as Promise<C>
  }

  read<C extends Chunk>(handle: Handle<C>, target?: Destination<C>, options?: SignalOptions): Promise<C> {
    const check = () => wholeRequest(this.#core, handle)
    return promise.read(check, target, options) as Promise<C>
  }

  take<C extends Chunk>(handle: Handle<C>, target?: Destination<C>, options?: SignalOptions): Promise<C> {
    return promise.take(this.#core, handle, target, options) as Promise<C>
  }

  borrow<C extends Chunk>(handle: Handle<C>, options?: BorrowOptions): Promise<Borrow<C>>
  borrow<C extends Chunk, R>(
    handle: Handle<C>,
    work: (value: C) => R | PromiseLike<R>,
    options?: BorrowOptions,
  ): Promise<R>
  borrow<C extends Chunk>(handle: Handle<C>, work: undefined, options?: BorrowOptions): Promise<Borrow<C>>
  borrow(handle: Handle<Chunk>, ...rest: [unknown?, unknown?]): Promise<unknown> {
    return borrowLater(this.#core, handle, rest)
  }

  tryBorrow<C extends Chunk>(handle: Handle<C>, options?: BorrowOptions): Promise<Result<Borrow<C>>>
  tryBorrow<C extends Chunk, R>(
    handle: Handle<C>,
    work: (value: C) => R | PromiseLike<R>,
    options?: BorrowOptions,
  ): Promise<Result<R>>
  tryBorrow<C extends Chunk>(handle: Handle<C>, work: undefined, options?: BorrowOptions): Promise<Result<Borrow<C>>>
  tryBorrow(handle: Handle<Chunk>, ...rest: [unknown?, unknown?]): Promise<Result<unknown>> {
    return tryBorrowLater(this.#core, handle, rest)
  }

  tryPageout<C extends Chunk>(
    chunks: C | readonly C[],
    options?: PageoutOptions & SignalOptions,
  ): Promise<Result<Handle<Stored<C>>>> {
    return promise.attempt(this.pageout(chunks, options))
  }

  tryPageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions & SignalOptions,
  ): Promise<Result<Handle<Stored<C>>>> {
    return promise.attempt(this.pageoutWith(backend, chunks, options))
  }

  tryPageoutFrom<C extends Chunk>(
    source: ChunkSource<C>,
    options?: CollectOptions & SignalOptions,
  ): Promise<Result<Handle<Stored<C>>>> {
    return promise.attempt(this.pageoutFrom(source, options))
  }

  tryReadAt<C extends Chunk>(
    handle: Handle<C>,
    offset: number,
    length: number,
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<Result<C>> {
    return promise.attempt(this.readAt(handle, offset, length, target, options))
  }

  tryReadAtMany<C extends Chunk>(
    handle: Handle<C>,
    ranges: readonly Range[],
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<Result<C>> {
    return promise.attempt(this.readAtMany(handle, ranges, target, options))
  }

  tryRead<C extends Chunk>(handle: Handle<C>, target?: Destination<C>, options?: SignalOptions): Promise<Result<C>> {
    return promise.attempt(this.read(handle, target, options))
  }

  tryTake<C extends Chunk>(handle: Handle<C>, target?: Destination<C>, options?: SignalOptions): Promise<Result<C>> {
    return promise.attempt(this.take(handle, target, options))
  }

  /**
   * Ends all borrows at once, waits for pending calls, then frees all payloads and closes all descriptors, off the JavaScript thread; their handles are
   * released from now on. Disk space is freed in the background. Payloads that were moved stay. Later calls reject with
   * ERR_PAGEOUT_CLOSED from now on; closing again does nothing more. It does not fail.
   */
  close(): Promise<void> {
    return this.#core.closeLater()
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
