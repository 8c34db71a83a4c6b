/** The functions of maps, described once: of those that return results, and of those that return promises. */

import type { Destination } from '../api/verbs.js'
import type { Borrow } from '../borrows/borrow.js'
import type {
  BorrowOptions,
  Chunk,
  PagerOptions,
  PagerStats,
  Range,
  SharedBudget,
  SignalOptions,
  Stored,
  Target,
  TargetOptions,
} from '../model/types.js'

/** Options of maps of both forms: those of the pager that a map has for itself, and its own. */
export interface MapOptions extends Omit<PagerOptions, 'backend' | 'residentBytes'> {
  /**
   * Upper limit on the bytes of values in memory: a number from 1 on, `'auto'` for a share of what the memory group and the machine
   * leave free, or a `MemoryBudget` that maps and pagers share, in any threads. Required.
   */
  residentBytes: number | 'auto' | SharedBudget
  /** Values of a map are in files of the scratch directory when they are not in memory. Nothing else is accepted. */
  backend?: 'file' | undefined
  /** Upper limit on the bytes of values in the map, in memory or not: past it the entries that were used longest ago go. Default: no limit. */
  maxBytes?: number | undefined
}

/** Options of a map. */
export interface PagedMapOptions<K, C extends Chunk = Chunk> extends MapOptions {
  /**
   * Called for each entry that goes because of `maxBytes`, once it is no longer in the map and the value that was set is. `take` gives
   * its value, during the call only; a value that is not taken is freed. It may call the map. What it throws is thrown by that `set` or
   * `update`; of several errors an AggregateError is.
   */
  onEvict?: ((key: K, take: () => Stored<C>) => void) | undefined
}

/** Options of a map of promises. */
export interface PromisePagedMapOptions<K, C extends Chunk = Chunk> extends MapOptions {
  /**
   * As that of {@link PagedMapOptions}. `take` resolves to the value, and is good until what this returns settles, which `set` or
   * `update` waits for. Entries that go together are told together.
   */
  onEvict?: ((key: K, take: () => Promise<Stored<C>>) => unknown) | undefined
}

/** What maps of both forms do at once. */
export interface MapControls<K> {
  /** Number of keys. */
  readonly size: number

  /** Bytes of all values, in memory or not. */
  readonly byteLength: number

  /** Whether a key is there. Using a value is what keeps it in a map with `maxBytes`; this does not count. */
  has(key: K): boolean

  /** The keys in the order in which they were first set. As of a Map, the map may be changed meanwhile. */
  keys(): IterableIterator<K>

  /**
   * Starts bringing values into memory, in the background, where unborrowed room is or can be made. A hint: keys that are not there
   * are ignored.
   *
   * @throws ERR_PAGEOUT_CLOSED
   */
  prefetch(...keys: readonly K[]): void

  /**
   * What the map's pager holds and has done: `residentBytes`, `residentHits`, `residentMisses`, `evictions` and more. `handles` and
   * `payloadBytes` also count values that were replaced or deleted and are still borrowed.
   *
   * @throws ERR_PAGEOUT_CLOSED
   */
  stats(): PagerStats
}

/** The functions of a map whose work is done when they return. */
export interface MapVerbs<K, C extends Chunk = Chunk> extends MapControls<K> {
  /**
   * Moves a chunk into the map, as the value of a key. The value that the key had is freed; while that is borrowed, its borrowers keep
   * it until the last of them has released it.
   *
   * A chunk that spans its whole, detachable ArrayBuffer is detached: its length becomes 0. Any other is copied and left
   * (`options.detach` of the map).
   *
   * @param key anything; keys are compared as a Map does
   * @returns the map
   * @throws ERR_PAGEOUT_BUDGET where `maxBytes` is reached and all other values are borrowed, ERR_OUT_OF_RANGE for a chunk that is longer
   * than `maxBytes`, ENOSPC, ERR_PAGEOUT_CAPACITY and others: map and chunk are as they were then. And what `onEvict` throws
   * @example
   * map.set('price', new Float64Array(1_000_000)).set('volume', new Float64Array(1_000_000))
   */
  set(key: K, chunk: C): this

  /**
   * Gives access to a value in memory, as `borrow` of a pager does. It is read only. Several borrows of one value share one memory, and
   * one read where it is not in memory. After the last release every array over that memory is empty.
   *
   * @returns the borrow, which ends when it is released; `undefined` where the key is not there
   * @throws ERR_PAGEOUT_BUDGET where all of the memory budget is borrowed, ERR_PAGEOUT_CORRUPT and others
   * @example
   * using borrowed = map.borrow('price')
   * borrowed?.value[0]
   */
  borrow(key: K, options?: BorrowOptions): Borrow<Stored<C>> | undefined
  /**
   * The same for as long as `work` runs: the borrow ends when it returns.
   *
   * @param work is called with the array. A promise, or a view of the borrowed memory, is refused as result
   * @returns what `work` returns; `undefined` where the key is not there, and `work` is not called then
   * @throws as the first form, ERR_INVALID_RETURN_VALUE, and what `work` throws
   * @example
   * map.borrow('price', column => column.at(-1))
   */
  borrow<R>(key: K, work: (value: Stored<C>) => R, options?: BorrowOptions): R | undefined
  /** The first form, with the options behind a `work` that is not there. */
  borrow(key: K, work: undefined, options?: BorrowOptions): Borrow<Stored<C>> | undefined

  /**
   * Gives access to several values in memory, all or none: room for all of them is found in one step.
   *
   * @param keys in the order of the arrays that `work` gets; one that is named twice gives two arrays over one memory
   * @returns what `work` returns, or `undefined` where one of the keys is not there; `work` is not called then
   * @throws as {@link borrow}
   * @example
   * map.borrowAll(['price', 'volume'], (price, volume) => price.reduce((sum, each, row) => sum + each * volume[row], 0))
   */
  borrowAll<R>(keys: Iterable<K>, work: (...values: Stored<C>[]) => R): R | undefined

  /**
   * Reads `length` elements of a value from element `offset` on, into new memory or a target. What is not in memory does not come there.
   *
   * @returns `undefined` where the key is not there
   * @throws ERR_OUT_OF_RANGE past the end, ERR_PAGEOUT_CORRUPT and others
   * @example
   * map.readAt('price', 1000, 10)
   */
  readAt(key: K, offset: number, length: number, target?: Target<C> | TargetOptions<C>): Stored<C> | undefined

  /**
   * Reads several ranges of a value, one behind the other in the order of `ranges`. Else as {@link readAt}.
   *
   * @example
   * map.readAtMany('price', [[1000, 10], [0, 1]])
   */
  readAtMany(key: K, ranges: readonly Range[], target?: Target<C> | TargetOptions<C>): Stored<C> | undefined

  /** Reads a whole value, into new memory or a target. Else as {@link readAt}. */
  read(key: K, target?: Target<C> | TargetOptions<C>): Stored<C> | undefined

  /**
   * Takes a value out of the map: of what is in memory, the very same memory. When it fails, the map is as it was.
   *
   * @returns `undefined` where the key is not there
   * @throws ERR_PAGEOUT_BORROWED while the value is borrowed, and as {@link read}
   * @example
   * const column = map.take('price')
   */
  take(key: K, target?: Target<C> | TargetOptions<C>): Stored<C> | undefined

  /**
   * Changes a value: takes it, calls `work` with it, and sets what that returns, which may be the same array. Meanwhile functions of the
   * same key throw ERR_PAGEOUT_RELEASED.
   *
   * Where `work` throws, the value is set back as it is then, unless `work` has detached it: then the key is not there any more. The same
   * where its result cannot be set. Where the value cannot be set back either, the error has it in `chunks`.
   *
   * @param work gets `undefined` where the key is not there; a result of `undefined` deletes the key
   * @throws ERR_PAGEOUT_BORROWED while the value is borrowed; ERR_INVALID_RETURN_VALUE for a result that is no chunk, also a promise; what
   * `work` throws; and as {@link take} and {@link set}
   * @example
   * map.update('hits', hits => (hits ?? new Uint32Array(100)).fill(1, 7, 8))
   */
  update(key: K, work: (value: Stored<C> | undefined) => C | undefined): void

  /** Removes a key. Returns whether it was there. Borrowers keep the value until the last of them has released it. */
  delete(key: K): boolean

  /**
   * Removes all keys, as {@link delete} does. `onEvict` is not called.
   *
   * @throws ERR_PAGEOUT_RELEASED within an update of any key: then nothing is removed
   */
  clear(): void

  /** Ends all borrows and frees everything. Later calls throw ERR_PAGEOUT_CLOSED; closing again does nothing. */
  close(): void
}

/**
 * The functions of a map of promises, whose work is done off the JavaScript thread. `{ signal }` aborts each of them.
 *
 * Calls of one key take effect in the order in which they are made: behind a `set`, `take` or `update` of the key that is pending they wait
 * for it. Therefore a function that is called in `update` must not await a call of the same key.
 */
export interface PromiseMapVerbs<K, C extends Chunk = Chunk> extends MapControls<K> {
  /**
   * Moves a chunk into the map, as {@link MapVerbs.set} does. Its memory is out of the caller's reach when this returns; if it fails or
   * is aborted, `error.chunks` has the chunk again.
   *
   * @example
   * await map.set('price', new Float64Array(1_000_000))
   */
  set(key: K, chunk: C, options?: SignalOptions): Promise<this>

  /**
   * Gives access to a value, as {@link MapVerbs.borrow} does. All calls that wait for one value share one read. A value that is deleted or
   * replaced meanwhile is given all the same.
   *
   * @param options `wait`: to wait, in order, where all of the memory budget is borrowed
   * @returns the borrow, which ends when it is released; `undefined` where the key is not there
   * @example
   * using borrowed = await map.borrow('price')
   */
  borrow(key: K, options?: BorrowOptions): Promise<Borrow<Stored<C>> | undefined>
  /**
   * The same for as long as `work` runs: the borrow ends when what it returns settles.
   *
   * @param work is called with the array. A view of the borrowed memory is refused as result
   * @param options `signal` aborts until `work` is called: whoever wants to stop that gives it the signal too
   * @returns what `work` returns or resolves to; `undefined` where the key is not there, and `work` is not called then
   * @example
   * await map.borrow('price', async column => column.at(-1))
   */
  borrow<R>(key: K, work: (value: Stored<C>) => R | PromiseLike<R>, options?: BorrowOptions): Promise<R | undefined>
  /** The first form, with the options behind a `work` that is not there. */
  borrow(key: K, work: undefined, options?: BorrowOptions): Promise<Borrow<Stored<C>> | undefined>

  /**
   * Gives access to several values, as {@link MapVerbs.borrowAll} does. With `wait` it waits until there is room for all of them, and
   * holds none meanwhile: so those who need several values never wait for each other for ever, as they may with several borrows.
   * It begins at a moment when none of the keys is being set, taken or updated: while it waits for one, later calls of the others go
   * before it.
   *
   * @example
   * await map.borrowAll(['price', 'volume'], async (price, volume) => correlation(price, volume), { wait: true })
   */
  borrowAll<R>(
    keys: Iterable<K>,
    work: (...values: Stored<C>[]) => R | PromiseLike<R>,
    options?: BorrowOptions,
  ): Promise<R | undefined>

  /** Reads a range of a value, as {@link MapVerbs.readAt} does. */
  readAt(
    key: K,
    offset: number,
    length: number,
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<Stored<C> | undefined>

  /** Reads several ranges of a value, as {@link MapVerbs.readAtMany} does. */
  readAtMany(
    key: K,
    ranges: readonly Range[],
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<Stored<C> | undefined>

  /** Reads a whole value, as {@link MapVerbs.read} does. */
  read(key: K, target?: Destination<C>, options?: SignalOptions): Promise<Stored<C> | undefined>

  /** Takes a value out of the map, as {@link MapVerbs.take} does. */
  take(key: K, target?: Destination<C>, options?: SignalOptions): Promise<Stored<C> | undefined>

  /**
   * Changes a value, as {@link MapVerbs.update} does, where `work` may return a promise. Calls of the key wait until that has settled.
   *
   * @param options `signal` aborts until `work` is called: whoever wants to stop that gives it the signal too
   * @example
   * await map.update('hits', async hits => (hits ?? new Uint32Array(100)).fill(1, 7, 8))
   */
  update(
    key: K,
    work: (value: Stored<C> | undefined) => C | undefined | PromiseLike<C | undefined>,
    options?: SignalOptions,
  ): Promise<void>

  /** Removes a key, as {@link MapVerbs.delete} does. */
  delete(key: K, options?: SignalOptions): Promise<boolean>

  /**
   * Removes all keys, as {@link MapVerbs.clear} does: those that are being set, taken or updated when that is over, the others at once.
   */
  clear(options?: SignalOptions): Promise<void>

  /**
   * Ends all borrows at once, rejects calls that wait for others, waits for reads and writes that are pending, and frees everything, off
   * the JavaScript thread. It never waits for `work`. Later calls reject with ERR_PAGEOUT_CLOSED; closing again does nothing more.
   */
  close(): Promise<void>
}
