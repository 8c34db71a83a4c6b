/** The verbs of the package, described once: of pagers whose verbs return results, and of those whose verbs return promises. */

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
  PagerStats,
  Range,
  SignalOptions,
  Stored,
  StreamOptions,
  Target,
  TargetOptions,
} from '../model/types.js'

/** Functions that are the same in both forms, and return at once. */
export interface Controls {
  /**
   * Starts bringing ranges into memory, for a read that comes soon. A hint: it reads nothing itself. Prefetch what comes after the
   * range that you are about to read; to prefetch the very next read only slows it down.
   *
   * @param ranges by default the whole payload
   * @throws ERR_PAGEOUT_RELEASED, and as {@link Verbs.readAtMany} for ranges
   * @example
   * prefetch(handle, [[1_000_000, 65_536]])
   */
  prefetch<C extends Chunk>(handle: Handle<C>, ranges?: readonly Range[]): void

  /**
   * The bytes of a payload as a Web stream (a byte stream, so that readers may bring their own memory), which reads ahead by one
   * chunk, off the JavaScript thread. `for await` reads it too, and `Readable.fromWeb` makes a Node stream of it.
   *
   * @param options `release`: when the handle is released; an error, also that of an abort, leaves it whole
   * @throws ERR_PAGEOUT_RELEASED, ERR_OUT_OF_RANGE
   * @example
   * const stream = toReadableStream(handle, { release: 'end' })
   * await pipeline(Readable.fromWeb(stream), createWriteStream(path))
   */
  toReadableStream(handle: Handle<Chunk>, options?: StreamOptions): ReadableStream<Uint8Array>

  /** The backend of pageouts that name none: `file` unless {@link setBackend} or an option says otherwise. */
  backend(): Backend

  /**
   * Chooses the backend of later pageouts, in all threads. Handles that exist keep theirs.
   *
   * @throws ERR_INVALID_ARG_VALUE, ERR_PAGEOUT_CLOSED
   */
  setBackend(backend: Backend): void

  /**
   * What the pager holds and has done, at this moment.
   *
   * @throws ERR_PAGEOUT_CLOSED
   * @example
   * const { handles, payloadBytes, usedBytes, capacityBytes } = stats()
   */
  stats(): PagerStats

  /** Gives back this thread's spare buffers, and scratch space that no payload uses. */
  trim(): void
}

/** The verbs whose work is done when they return. */
export interface Verbs extends Controls {
  /**
   * Pages chunks out: they are concatenated in order and stored outside of memory. All chunks are of one class, which is the class
   * that is read back; Buffer and Uint8Array count as one, and the first chunk decides. No chunks make an empty payload of class
   * Uint8Array.
   *
   * A chunk that spans its whole, detachable ArrayBuffer is detached: its length becomes 0, and its memory is released before this
   * returns. Any other chunk is copied and left as it was (`options.detach`). Detaching takes the memory away from all other
   * users, for instance a write of `fs` or a socket that has not finished: wait for such work, or pass `detach: 'never'`.
   *
   * @param chunks one chunk, or an array of chunks
   * @returns the handle of the payload
   * @throws ENOSPC, ERR_PAGEOUT_CAPACITY, ERR_PAGEOUT_SCRATCH_DIR and others; the chunks are as they were, and in `error.chunks`
   * @example
   * const column = new Float64Array(1_000_000)
   * const handle = pageout(column)
   * column.length // 0
   */
  pageout<C extends Chunk>(chunks: C | readonly C[], options?: PageoutOptions): Handle<Stored<C>>

  /**
   * As {@link pageout}, with the backend named.
   *
   * @example
   * const handle = pageoutWith('swap', new Float64Array(1_000_000))
   */
  pageoutWith<C extends Chunk>(backend: Backend, chunks: C | readonly C[], options?: DetachOptions): Handle<Stored<C>>

  /**
   * Collects the chunks of an iterable into one payload while they come: at most 4 MiB of them are in memory at a time. The chunks,
   * all of one class, are copied and left as they are, so that a generator may give the same memory again and again. When it
   * fails, what was collected before is freed.
   *
   * @returns the handle of the payload
   * @throws as {@link pageout}, and what the iterable throws
   * @example
   * const handle = pageoutFrom(function* () {
   *   for (let day = 0; day < 365; day++) yield new Float64Array(86_400).fill(day)
   * }())
   */
  pageoutFrom<C extends Chunk>(source: Iterable<C>, options?: CollectOptions): Handle<Stored<C>>

  /**
   * Reads `length` elements from element `offset` on. The payload stays out.
   *
   * @param target where to write them, at its start; by default new memory. Its content is unspecified after an error
   * @returns the elements, in the class that was paged out; a view of `target` when that is given
   * @throws ERR_OUT_OF_RANGE past the end, ERR_PAGEOUT_CORRUPT, ERR_PAGEOUT_RELEASED
   * @example
   * const handle = pageout(Float64Array.of(1, 2, 3))
   * readAt(handle, 1, 2) // Float64Array [2, 3]
   */
  readAt<C extends Chunk>(handle: Handle<C>, offset: number, length: number, target?: Target<C> | TargetOptions<C>): C

  /**
   * Reads several ranges, one behind the other in the order of `ranges`. They may come in any order and may touch, but not
   * overlap. What is not in memory is requested from the device all at once.
   *
   * @throws as {@link readAt}, and ERR_PAGEOUT_OVERLAP
   * @example
   * const handle = pageout(Float64Array.of(1, 2, 3, 4))
   * readAtMany(handle, [[3, 1], [0, 2]]) // Float64Array [4, 1, 2]
   */
  readAtMany<C extends Chunk>(handle: Handle<C>, ranges: readonly Range[], target?: Target<C> | TargetOptions<C>): C

  /**
   * Reads the whole payload, which stays out.
   *
   * @throws as {@link readAt}
   * @example
   * const handle = pageout(Float64Array.of(1, 2, 3))
   * read(handle) // Float64Array [1, 2, 3]
   */
  read<C extends Chunk>(handle: Handle<C>, target?: Target<C> | TargetOptions<C>): C

  /**
   * Reads the whole payload and frees its slots. When it fails the handle is as good as before.
   *
   * @param target where to write it, at its start; by default new memory. Its content is unspecified after an error
   * @throws as {@link readAt}, and ERR_PAGEOUT_BORROWED
   * @example
   * const handle = pageout([Float64Array.of(1, 2), Float64Array.of(3)])
   * take(handle) // Float64Array [1, 2, 3]
   */
  take<C extends Chunk>(handle: Handle<C>, target?: Target<C> | TargetOptions<C>): C

  /**
   * Gives access to the whole payload in memory, read only. It stays paged out: its handle and its slots are kept. Several borrows
   * of one payload share one memory. While a payload is borrowed it cannot be taken, released or moved; reads work. When the last borrow is
   * released, every array over that memory becomes empty.
   *
   * A payload of the file backend is read, and changes that are made against the rule are dropped; a payload of the swap backend is
   * borrowed where it is, and changes stay. Asynchronous work that is given the array (`fs`, sockets, `zlib`) must have ended before
   * the release: the system would write to memory that was freed.
   *
   * @returns the borrow, which ends when it is released
   * @throws as {@link readAt}
   * @example
   * using borrowed = borrow(handle)
   * borrowed.value[0] // 1
   */
  borrow<C extends Chunk>(handle: Handle<C>, options?: BorrowOptions): Borrow<C>
  /**
   * The same for as long as `work` runs: the borrow ends when it returns.
   *
   * @param work is called with the array. A promise, or a view of the borrowed memory, is refused as result
   * @returns what `work` returns
   * @throws as {@link readAt}, ERR_INVALID_RETURN_VALUE, and what `work` throws
   * @example
   * const handle = pageout(Float64Array.of(1, 2, 3))
   * borrow(handle, column => column.at(-1)) // 3
   */
  borrow<C extends Chunk, R>(handle: Handle<C>, work: (value: C) => R, options?: BorrowOptions): R
  /** The first form, with the options behind a `work` that is not there. */
  borrow<C extends Chunk>(handle: Handle<C>, work: undefined, options?: BorrowOptions): Borrow<C>

  /** As {@link borrow}, with failures of the system returned. */
  tryBorrow<C extends Chunk>(handle: Handle<C>, options?: BorrowOptions): Result<Borrow<C>>
  /** As {@link borrow} for as long as `work` runs, with failures of the system returned. What `work` throws is thrown. */
  tryBorrow<C extends Chunk, R>(handle: Handle<C>, work: (value: C) => R, options?: BorrowOptions): Result<R>
  /** The first form, with the options behind a `work` that is not there. */
  tryBorrow<C extends Chunk>(handle: Handle<C>, work: undefined, options?: BorrowOptions): Result<Borrow<C>>

  /** As {@link pageout}, with failures of the system returned. */
  tryPageout<C extends Chunk>(chunks: C | readonly C[], options?: PageoutOptions): Result<Handle<Stored<C>>>

  /** As {@link pageoutWith}, with failures of the system returned. */
  tryPageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions,
  ): Result<Handle<Stored<C>>>

  /** As {@link pageoutFrom}, with failures of the system returned. */
  tryPageoutFrom<C extends Chunk>(source: Iterable<C>, options?: CollectOptions): Result<Handle<Stored<C>>>

  /** As {@link readAt}, with failures of the system returned. */
  tryReadAt<C extends Chunk>(
    handle: Handle<C>,
    offset: number,
    length: number,
    target?: Target<C> | TargetOptions<C>,
  ): Result<C>

  /** As {@link readAtMany}, with failures of the system returned. */
  tryReadAtMany<C extends Chunk>(
    handle: Handle<C>,
    ranges: readonly Range[],
    target?: Target<C> | TargetOptions<C>,
  ): Result<C>

  /** As {@link read}, with failures of the system returned. */
  tryRead<C extends Chunk>(handle: Handle<C>, target?: Target<C> | TargetOptions<C>): Result<C>

  /** As {@link take}, with failures of the system returned. */
  tryTake<C extends Chunk>(handle: Handle<C>, target?: Target<C> | TargetOptions<C>): Result<C>
}

/** What may stand instead of `target` in a promise form: a target, or options with `target` and `signal`. */
export type Destination<C extends Chunk> = Target<C> | (TargetOptions<C> & SignalOptions)

/** The verbs that work off the JavaScript thread. `{ signal }` aborts each of them. */
export interface PromiseVerbs extends Controls {
  /**
   * Pages chunks out, as {@link Verbs.pageout} does. Before this returns, a chunk that spans its whole, detachable ArrayBuffer is
   * detached, and any other chunk is copied. When the pageout fails, `error.chunks` holds all chunks: the caller's own where
   * their memory was not taken, else the same classes with the same content.
   *
   * @param chunks one chunk, or an array of chunks, all of one class
   * @param options an abort by `signal` either comes too late or returns the chunks in `error.chunks`
   * @returns the handle of the payload
   * @throws as {@link Verbs.pageout}, and AbortError
   * @example
   * const handle = await pageout(new Float64Array(1_000_000))
   */
  pageout<C extends Chunk>(
    chunks: C | readonly C[],
    options?: PageoutOptions & SignalOptions,
  ): Promise<Handle<Stored<C>>>

  /** As {@link pageout}, with the backend named. */
  pageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions & SignalOptions,
  ): Promise<Handle<Stored<C>>>

  /**
   * Collects the chunks of a source into one payload while they come: besides the source's own chunk at most three pieces of 4 MiB
   * are in memory. A source is an iterable, an async iterable, a Node stream or a Web stream. The chunks, all of one class, are
   * copied and left as they are, so that a source may give the same memory again once it is asked for the next chunk. A source
   * that gives none makes an empty payload of class Uint8Array. When it fails or is aborted, the source is given up at once (a
   * Node stream destroyed, a Web stream cancelled, an iterator returned), and what was collected before is freed.
   *
   * @returns the handle of the payload
   * @throws as {@link pageout}, and what the source throws or rejects with
   * @example
   * const handle = await pageoutFrom<Buffer>(createReadStream(path))
   */
  pageoutFrom<C extends Chunk>(
    source: ChunkSource<C>,
    options?: CollectOptions & SignalOptions,
  ): Promise<Handle<Stored<C>>>

  /**
   * Reads `length` elements from element `offset` on. The payload stays out.
   *
   * @param target where to write them, at its start, once all of them are there; by default new memory
   * @returns the elements, in the class that was paged out; a view of `target` when that is given
   * @throws as {@link Verbs.readAt}, and AbortError
   * @example
   * const handle = await pageout(Float64Array.of(1, 2, 3))
   * await readAt(handle, 1, 2) // Float64Array [2, 3]
   */
  readAt<C extends Chunk>(
    handle: Handle<C>,
    offset: number,
    length: number,
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<C>

  /**
   * Reads several ranges, one behind the other in the order of `ranges`. They may come in any order and may touch, but not
   * overlap.
   *
   * @throws as {@link readAt}, and ERR_PAGEOUT_OVERLAP
   * @example
   * const handle = await pageout(Float64Array.of(1, 2, 3, 4))
   * await readAtMany(handle, [[3, 1], [0, 2]]) // Float64Array [4, 1, 2]
   */
  readAtMany<C extends Chunk>(
    handle: Handle<C>,
    ranges: readonly Range[],
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<C>

  /**
   * Reads the whole payload, which stays out.
   *
   * @throws as {@link readAt}
   * @example
   * const handle = await pageout(Float64Array.of(1, 2, 3))
   * await read(handle) // Float64Array [1, 2, 3]
   */
  read<C extends Chunk>(handle: Handle<C>, target?: Destination<C>, options?: SignalOptions): Promise<C>

  /**
   * Reads the whole payload and frees its slots. While it is pending, other calls with the handle reject with
   * ERR_PAGEOUT_RELEASED; when it fails or is aborted, the handle is as good as before.
   *
   * @param target where to write it, at its start, once it is whole; by default new memory
   * @throws as {@link readAt}, and ERR_PAGEOUT_BORROWED
   * @example
   * const handle = await pageout([Float64Array.of(1, 2), Float64Array.of(3)])
   * await take(handle) // Float64Array [1, 2, 3]
   */
  take<C extends Chunk>(handle: Handle<C>, target?: Destination<C>, options?: SignalOptions): Promise<C>

  /**
   * Gives access to the whole payload, as {@link Verbs.borrow} does, read off the JavaScript thread. Borrows that wait for one
   * payload share a read. While a payload is borrowed, reads of the swap backend copy on the JavaScript thread.
   *
   * @returns the borrow, which ends when it is released
   * @throws as {@link readAt}
   * @example
   * using borrowed = await borrow(handle)
   * borrowed.value[0] // 1
   */
  borrow<C extends Chunk>(handle: Handle<C>, options?: BorrowOptions): Promise<Borrow<C>>
  /**
   * The same for as long as `work` runs: the borrow ends when what it returns settles.
   *
   * @param work is called with the array. A view of the borrowed memory is refused as result
   * @param options `signal` aborts until `work` is called: whoever wants to stop that gives it the signal too
   * @returns what `work` returns or resolves to
   * @throws as {@link readAt}, ERR_INVALID_RETURN_VALUE, and what `work` throws or rejects with
   * @example
   * const handle = await pageout(Float64Array.of(1, 2, 3))
   * await borrow(handle, column => column.at(-1)) // 3
   */
  borrow<C extends Chunk, R>(
    handle: Handle<C>,
    work: (value: C) => R | PromiseLike<R>,
    options?: BorrowOptions,
  ): Promise<R>
  /** The first form, with the options behind a `work` that is not there. */
  borrow<C extends Chunk>(handle: Handle<C>, work: undefined, options?: BorrowOptions): Promise<Borrow<C>>

  /** As {@link borrow}, with failures of the system returned. */
  tryBorrow<C extends Chunk>(handle: Handle<C>, options?: BorrowOptions): Promise<Result<Borrow<C>>>
  /** As {@link borrow} for as long as `work` runs, with failures of the system returned. What `work` rejects with rejects. */
  tryBorrow<C extends Chunk, R>(
    handle: Handle<C>,
    work: (value: C) => R | PromiseLike<R>,
    options?: BorrowOptions,
  ): Promise<Result<R>>
  /** The first form, with the options behind a `work` that is not there. */
  tryBorrow<C extends Chunk>(handle: Handle<C>, work: undefined, options?: BorrowOptions): Promise<Result<Borrow<C>>>

  /** As {@link pageout}, with failures of the system returned. */
  tryPageout<C extends Chunk>(
    chunks: C | readonly C[],
    options?: PageoutOptions & SignalOptions,
  ): Promise<Result<Handle<Stored<C>>>>

  /** As {@link pageoutWith}, with failures of the system returned. */
  tryPageoutWith<C extends Chunk>(
    backend: Backend,
    chunks: C | readonly C[],
    options?: DetachOptions & SignalOptions,
  ): Promise<Result<Handle<Stored<C>>>>

  /** As {@link pageoutFrom}, with failures of the system returned. */
  tryPageoutFrom<C extends Chunk>(
    source: ChunkSource<C>,
    options?: CollectOptions & SignalOptions,
  ): Promise<Result<Handle<Stored<C>>>>

  /** As {@link readAt}, with failures of the system returned. */
  tryReadAt<C extends Chunk>(
    handle: Handle<C>,
    offset: number,
    length: number,
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<Result<C>>

  /** As {@link readAtMany}, with failures of the system returned. */
  tryReadAtMany<C extends Chunk>(
    handle: Handle<C>,
    ranges: readonly Range[],
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<Result<C>>

  /** As {@link read}, with failures of the system returned. */
  tryRead<C extends Chunk>(handle: Handle<C>, target?: Destination<C>, options?: SignalOptions): Promise<Result<C>>

  /** As {@link take}, with failures of the system returned. */
  tryTake<C extends Chunk>(handle: Handle<C>, target?: Destination<C>, options?: SignalOptions): Promise<Result<C>>
}
