/** The pager with synchronous verbs. */

import type { Borrow } from '../borrows/borrow.js'
import { destined } from '../chunks/arguments.js'
import type { Result } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import type {
  Backend,
  BorrowOptions,
  Chunk,
  CollectOptions,
  DetachOptions,
  PageoutOptions,
  PagerOptions,
  Range,
  Stored,
  Target,
  TargetOptions,
} from '../model/types.js'
import { PagerCore } from '../pager/core.js'
import { borrow, tryBorrow } from '../verbs/borrow.js'
import { collect } from '../verbs/collect.js'
import { rangeRequest, rangesRequest, wholeRequest } from '../verbs/requests.js'
import * as sync from '../verbs/sync.js'
import { PagerControls } from './pager-controls.js'
import type { Verbs } from './verbs.js'

/**
 * A pager with its own scratch directory, capacity and options.
 *
 * Every verb checks its arguments before anything happens, and a verb that fails leaves chunks and handles as they were.
 * Wrong arguments throw a TypeError or RangeError with one of Node's codes; failures of the system throw a
 * PageoutError, or are returned as a {@link Result} by the `try` forms.
 *
 * @example
 * const pager = new Pager({ capacityBytes: 2 ** 30 })
 * const handle = pager.pageout([new Float64Array([1, 2]), new Float64Array([3])])
 * pager.readAt(handle, 1, 2) // Float64Array [2, 3]
 * pager.take(handle) // Float64Array [1, 2, 3]
 * pager.close()
 */
export class Pager extends PagerControls implements Verbs {
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

  pageout<C extends Chunk>(chunks: C | readonly C[], options?: PageoutOptions): Handle<Stored<C>> {
    return sync.pageout(this.#core, chunks, options) as Handle<Stored<C>>
  }

  pageoutWith<C extends Chunk>(backend: Backend, chunks: C | readonly C[], options?: DetachOptions): Handle<Stored<C>> {
    return sync.pageout(this.#core, chunks, options, { backend }) as Handle<Stored<C>>
  }

  pageoutFrom<C extends Chunk>(source: Iterable<C>, options?: CollectOptions): Handle<Stored<C>> {
    return collect(this.#core, source, options) as Handle<Stored<C>>
  }

  readAt<C extends Chunk>(handle: Handle<C>, offset: number, length: number, target?: Target<C> | TargetOptions<C>): C {
    const goal = destined(target)
    return sync.read(rangeRequest(this.#core, handle, offset, length), goal) as C
  }

  readAtMany<C extends Chunk>(handle: Handle<C>, ranges: readonly Range[], target?: Target<C> | TargetOptions<C>): C {
    const goal = destined(target)
    return sync.read(rangesRequest(this.#core, handle, ranges), goal) as C
  }

  read<C extends Chunk>(handle: Handle<C>, target?: Target<C> | TargetOptions<C>): C {
    const goal = destined(target)
    return sync.read(wholeRequest(this.#core, handle), goal) as C
  }

  take<C extends Chunk>(handle: Handle<C>, target?: Target<C> | TargetOptions<C>): C {
    const goal = destined(target)
    return sync.take(this.#core, handle, goal) as C
  }

  borrow<C extends Chunk>(handle: Handle<C>, options?: BorrowOptions): Borrow<C>
  borrow<C extends Chunk, R>(handle: Handle<C>, work: (value: C) => R, options?: BorrowOptions): R
  borrow<C extends Chunk>(handle: Handle<C>, work: undefined, options?: BorrowOptions): Borrow<C>
  borrow(handle: Handle<Chunk>, ...rest: [unknown?, unknown?]): unknown {
    return borrow(this.#core, handle, rest)
  }

  tryBorrow<C extends Chunk>(handle: Handle<C>, options?: BorrowOptions): Result<Borrow<C>>
  tryBorrow<C extends Chunk, R>(handle: Handle<C>, work: (value: C) => R, options?: BorrowOptions): Result<R>
  tryBorrow<C extends Chunk>(handle: Handle<C>, work: undefined, options?: BorrowOptions): Result<Borrow<C>>
  tryBorrow(handle: Handle<Chunk>, ...rest: [unknown?, unknown?]): Result<unknown> {
    return tryBorrow(this.#core, handle, rest)
  }

  tryPageout<C extends Chunk>(chunks: C | readonly C[], options?: PageoutOptions): Result<Handle<Stored<C>>> {
    return sync.attempt(() => this.pageout(chunks, options))
  }

  tryPageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions,
  ): Result<Handle<Stored<C>>> {
    return sync.attempt(() => this.pageoutWith(backend, chunks, options))
  }

  tryPageoutFrom<C extends Chunk>(source: Iterable<C>, options?: CollectOptions): Result<Handle<Stored<C>>> {
    return sync.attempt(() => this.pageoutFrom(source, options))
  }

  tryReadAt<C extends Chunk>(
    handle: Handle<C>,
    offset: number,
    length: number,
    target?: Target<C> | TargetOptions<C>,
  ): Result<C> {
    return sync.attempt(() => this.readAt(handle, offset, length, target))
  }

  tryReadAtMany<C extends Chunk>(
    handle: Handle<C>,
    ranges: readonly Range[],
    target?: Target<C> | TargetOptions<C>,
  ): Result<C> {
    return sync.attempt(() => this.readAtMany(handle, ranges, target))
  }

  tryRead<C extends Chunk>(handle: Handle<C>, target?: Target<C> | TargetOptions<C>): Result<C> {
    return sync.attempt(() => this.read(handle, target))
  }

  tryTake<C extends Chunk>(handle: Handle<C>, target?: Target<C> | TargetOptions<C>): Result<C> {
    return sync.attempt(() => this.take(handle, target))
  }

  /**
   * Frees all payloads, ends all borrows and closes all descriptors; their handles are released, and the memory of the swap backend is freed.
   * Disk space is freed in the background. Payloads that were moved stay. Later calls throw ERR_PAGEOUT_CLOSED; closing again
   * does nothing.
   */
  close(): void {
    this.#core.close()
  }

  /** As {@link close}. */
  [Symbol.dispose](): void {
    this.close()
  }
}
