/** The types of the package: arguments, results and options. */

type Float16 = typeof globalThis extends { Float16Array: { prototype: infer T } } ? T : never

/** Every typed array of the runtime. */
export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array
  | Float16

/** A piece of the caller's memory. A Buffer is a Uint8Array, so it needs no mention, and no types of Node. */
export type Chunk = TypedArray | DataView | ArrayBuffer

/** A Buffer, where the types of Node are present. */
type NodeBuffer = typeof globalThis extends { Buffer: { alloc(size: number): infer B extends Uint8Array } } ? B : never

/** The built-in class of chunks of class `C`, over memory of class `B`. */
type BuiltIn<C extends Chunk, B extends ArrayBufferLike> = C extends Uint8Array & {
  readBigInt64LE(offset?: number): bigint
}
  ? NodeBuffer
  : C extends Uint8Array
    ? Uint8Array<B>
    : C extends Uint8ClampedArray
      ? Uint8ClampedArray<B>
      : C extends Int8Array
        ? Int8Array<B>
        : C extends Int16Array
          ? Int16Array<B>
          : C extends Uint16Array
            ? Uint16Array<B>
            : C extends Int32Array
              ? Int32Array<B>
              : C extends Uint32Array
                ? Uint32Array<B>
                : C extends Float32Array
                  ? Float32Array<B>
                  : C extends Float64Array
                    ? Float64Array<B>
                    : C extends BigInt64Array
                      ? BigInt64Array<B>
                      : C extends BigUint64Array
                        ? BigUint64Array<B>
                        : C extends DataView
                          ? DataView<B>
                          : C extends ArrayBuffer
                            ? ArrayBuffer
                            : C

/**
 * What is read back for chunks of class `C`: the built-in class itself, over an ordinary ArrayBuffer, also where the chunks were
 * of a class derived from it or over a SharedArrayBuffer.
 */
export type Stored<C extends Chunk> = BuiltIn<C, ArrayBuffer>

/** What may be the target of a result of class `C`: the same class, and for bytes either of Buffer and Uint8Array. */
export type Target<C extends Chunk> = C extends Uint8Array ? Uint8Array : BuiltIn<C, ArrayBufferLike>

/** Elements of a payload: [offset, length]. */
export type Range = readonly [offset: number, length: number]

/**
 * Where a payload lives while it is out: `file`, in unnamed files of the scratch directory, or `swap`, in this process,
 * hinted cold, for the operating system to swap out.
 */
export type Backend = 'swap' | 'file'

/**
 * What becomes of chunks that are paged out. `auto`: a chunk that spans the whole of a detachable ArrayBuffer is detached and its
 * memory released; any other chunk is copied and left as it was. `never`: all are copied and left as they were. `required`: a
 * chunk that cannot be detached is refused with ERR_PAGEOUT_NOT_DETACHABLE before anything happens.
 */
export type Detach = 'auto' | 'never' | 'required'

/** Options of `pageout`. */
export interface PageoutOptions {
  /** Where the payload is stored. Default: the pager's backend. */
  backend?: Backend | undefined
  /** What becomes of the chunks. Default: the pager's `detach`, which is `auto` by default. */
  detach?: Detach | undefined
}

/** Options of `readAt`, `readAtMany`, `read` and `take`, instead of `target`. */
export interface TargetOptions<C extends Chunk> {
  /** Where the result is written, at its start. Default: new memory. */
  target?: Target<C> | undefined
}

/** Where `pageoutFrom` takes chunks from, one after the other: arrays, generators, Node streams, Web streams. */
export type ChunkSource<C extends Chunk> = Iterable<C | PromiseLike<C>> | AsyncIterable<C> | ReadableStream<C>

/** Options of `pageoutFrom`. */
export type CollectOptions = Omit<PageoutOptions, 'detach'>

/** Options of `toReadableStream`. */
export interface StreamOptions extends SignalOptions {
  /** Upper limit on the bytes of one chunk of the stream, which is also how far it reads ahead. Default: 256 KiB. */
  chunkBytes?: number | undefined
  /**
   * When the handle is released: `true`, when the stream was read to its end or cancelled; `'end'`, only when it was read to its
   * end, so that after a failed consumer the payload is still there; `false` (default), never.
   */
  release?: boolean | 'end' | undefined
}

declare const token: unique symbol

/**
 * What `handle.move()` returns, for `Handle.adopt` in any thread of the process: a string, so that `postMessage` and everything
 * else that copies values can carry it.
 */
export type HandleToken<C extends Chunk = Chunk> = string & { readonly [token]: C }

/** Options of `pageoutWith`, which names the backend itself. */
export type DetachOptions = Omit<PageoutOptions, 'backend'>

/** A memory budget that pagers share: a `MemoryBudget`. */
export interface SharedBudget {
  /** A string for `MemoryBudget.join` in another thread. */
  readonly token: string
  /** Upper limit on the bytes in memory. A smaller number is reached as writes and borrows allow. */
  limitBytes: number
  /** Bytes in memory now, borrowed ones included. */
  readonly residentBytes: number
}

/**
 * Options of a `Pager`.
 *
 * @example
 * const secrets = new Pager({ encryption: true })
 * const columns = new Pager({ scratchDir: '/var/tmp/columns', capacityBytes: 2 ** 34, compression: 'lz4' })
 */
export interface PagerOptions {
  /** Directory for scratch files, created with its parents and opened at once. Default: searched by the first pageout. */
  scratchDir?: string | undefined
  /** Backend of pageouts that name none. Default: `file`. */
  backend?: Backend | undefined
  /**
   * What becomes of the chunks of pageouts that do not set it. Default: `auto`. Use `never` for a cache whose values others may
   * still hold.
   */
  detach?: Detach | undefined
  /**
   * Upper limit on scratch space in use, in bytes. Default: `PAGEOUT_CAPACITY_BYTES` of the environment, and in any case no
   * more than leaves a tenth of the file system free.
   */
  capacityBytes?: number | undefined
  /** Whether the scratch directory may live in memory. Default: false. */
  allowRamBacked?: boolean | undefined
  /**
   * Upper limit on the bytes of payloads of the file backend that stay in memory while they are out: a number, `'auto'` for a share of what
   * the memory group and the machine leave free, followed as it changes, or a `MemoryBudget` that pagers share. The coldest are
   * written in the background, early, and leave when room is needed; a take of what is still there gives the very same memory
   * back. Default: 0, each pageout writes and frees.
   */
  residentBytes?: number | 'auto' | SharedBudget | undefined
  /** Whether bytes that are read back are verified by checksums. Default: `checksum`. */
  integrity?: 'checksum' | 'none' | undefined
  /**
   * Whether what lies in the scratch files is encrypted and authenticated (AEGIS-128X2), with a key that is drawn when the pager is
   * made, never leaves the process and is overwritten when the pager is closed. What was changed, swapped or put back on the disk is
   * ERR_PAGEOUT_CORRUPT, also with `integrity: 'none'`, and the target of a read that fails is filled with zeros. What is in memory is
   * not encrypted: payloads of the swap backend, and those within a memory budget. A key that cannot be drawn is an error of the
   * constructor. Default: false.
   */
  encryption?: boolean | undefined
  /**
   * Whether payloads of the file backend are compressed: `lz4`, in small frames, each by itself, with the bytes of the elements sorted
   * where that helps; a frame or payload that does not shrink is stored as it is. `storedBytes` of `stats()` says what came of it.
   * Payloads within a memory budget are compressed when they leave, and claim room for their uncompressed bytes until then.
   * Default: `none`.
   */
  compression?: 'none' | 'lz4' | undefined
  /**
   * Whether the memory of payloads of the swap backend is excluded from core dumps while they are out, however often they are
   * moved between threads; a pageout fails where that is not possible. Payloads of the file backend have no memory in the
   * process; `spareBytes` is 0 by default then, so that none of their memory is kept. Linux only. Default: false.
   */
  excludeFromCoreDumps?: boolean | undefined
  /**
   * Upper limit on the memory that stays in this thread for the results that come next, over all its pagers together: what this
   * pager gives back is kept only while the total stays within it. It counts as resident. Default: 32 MiB, or a sixteenth of
   * the memory limit if that is less.
   */
  spareBytes?: number | undefined
}

/** What a pager holds and has done. Counters start when it is made. */
export interface PagerStats {
  /** Handles that exist, in all threads. */
  handles: number
  /** Bytes of their payloads. */
  payloadBytes: number
  /** Handles of all pagers that were moved and are not adopted yet; each still counts in its own pager. */
  movingHandles: number
  /** Bytes of scratch slots in use. */
  usedBytes: number
  /**
   * Bytes that the payloads of the file backend take in their slots, after compression. What is in memory within a budget and was
   * not written yet counts in full.
   */
  storedBytes: number
  /** Upper limit on `usedBytes`; 0 until an option or an open scratch directory decides it. */
  capacityBytes: number
  /** Bytes of disk space that the scratch files hold, in use or ready for use. */
  scratchBytes: number
  /** Upper bound on the bytes of slots in use that may not be on the device yet. */
  dirtyBytes: number
  /** Upper limit on `dirtyBytes` without write-back; past it, each pageout starts writing as much as it added. */
  dirtyBudgetBytes: number
  /** Bytes whose writing was started because of that. */
  pushedBytes: number
  /** Scratch files of which the device has lost a part after it was written, as reported by the OS. */
  writeBackFailures: number
  /** Bytes of slots in use in such files: what may be lost (`handle.atRisk`). */
  atRiskBytes: number
  /** Bytes of buffers that this thread keeps for results, of all its pagers together. */
  spareBytes: number
  /** Results of this thread that used one of them instead of new memory. */
  spareHits: number
  /** The scratch directory, once one is open. */
  scratchDir: string | null
  /** Name of its file system, for instance `ext4`. */
  fileSystem: string | null
  /** Pageouts that succeeded. */
  pageouts: number
  /** Bytes that they paged out. */
  pageoutBytes: number
  /** Reads of ranges that succeeded; a call with several ranges counts once. */
  reads: number
  /** Bytes that they read. */
  readBytes: number
  /** Takes that succeeded. */
  takes: number
  /** Bytes that they read. */
  takeBytes: number
  /** Bytes of payloads of the file backend that are in memory within the budget, borrowed ones included, in all threads. */
  residentBytes: number
  /** Bytes of those that are borrowed. */
  borrowedBytes: number
  /** The limit of the pager's budget; 0 without. */
  residentLimitBytes: number
  /** Reads, borrows and takes of the file backend that memory served. This counter and those below need a budget. */
  residentHits: number
  /** Those that the disk served; borrows that share a read count once. */
  residentMisses: number
  /** Payloads that left memory for lack of room. */
  evictions: number
  /** Those of them whose copy on disk was good already when they came into memory. */
  evictionsWithoutWrite: number
  /** Payloads that were taken or released before they were written. */
  writesElided: number
  /** Writes in the background that failed; their payloads are in memory, and are tried again. */
  backgroundWriteFailures: number
  /** Payloads that were changed while they were borrowed, against the rule. */
  changedBorrows: number
  /** Bytes of swap space that the machine has. Without any, the swap backend frees nothing. */
  swapBytes: number
  /** Bytes of it that are free. */
  swapFreeBytes: number
}

/** The context of events of the tracing channels `pageout:pageout`, `pageout:read` and `pageout:take`. Never the payload. */
export interface TraceContext {
  /** Bytes that are paged out or requested; of `pageoutFrom`, those that have arrived so far. */
  readonly byteLength: number
  /** Where the payload lives. */
  readonly backend: Backend
}

/** Options of a promise form. */
export interface SignalOptions {
  /** Aborts the call: its promise rejects with an AbortError at once, and the handle stays as it was. */
  signal?: AbortSignal | undefined
}

/** Options of `borrow`. */
export interface BorrowOptions extends SignalOptions {
  /**
   * Whether to wait, in order, until there is room in the memory budget, where all of it is borrowed; otherwise that is
   * ERR_PAGEOUT_BUDGET. Only the promise form can wait. Who waits while holding a borrow may wait for ever: pass a `signal`.
   * Default: false.
   */
  wait?: boolean | undefined
}
