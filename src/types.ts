/** The types of the package: what goes in, what comes out, and what can be chosen. */

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

/** A piece of the caller's memory. A Buffer is one: it is a Uint8Array, and this needs no types of Node to say so. */
export type Chunk = TypedArray | DataView | ArrayBuffer

/** Elements of a payload: [offset, length]. */
export type Range = readonly [offset: number, length: number]

/**
 * Where a payload lives while it is out: `file`, in unnamed files of the scratch directory, or `swap`, in this process,
 * hinted cold, for the operating system to swap out.
 */
export type Backend = 'swap' | 'file'

/** Options of `pageout`. */
export interface PageoutOptions {
  /** Where the payload goes. Default: the pager's backend. */
  backend?: Backend
  /**
   * What becomes of the chunks. `auto` (default): a chunk that is all of a detachable ArrayBuffer is detached and its
   * memory given back; others are left as they are. `never`: all are left as they are. `required`: a chunk that cannot
   * be detached is refused with ERR_PAGEOUT_NOT_DETACHABLE before anything happens.
   */
  detach?: 'auto' | 'never' | 'required'
}

/** What chunks come from, one after the other: arrays, generators, streams of Node and of the Web. */
export type ChunkSource<C extends Chunk> = Iterable<C | PromiseLike<C>> | AsyncIterable<C> | ReadableStream<C>

/** Options of `pageoutFrom`. */
export type CollectOptions = Omit<PageoutOptions, 'detach'>

/** Options of `toReadableStream`. */
export interface StreamOptions extends SignalOptions {
  /** Most bytes of one chunk of the stream, which is also how far it reads ahead. Default: 256 KiB. */
  chunkBytes?: number
  /** Whether the handle is disposed of when the stream was read to its end or cancelled. Default: false. */
  release?: boolean
}

declare const token: unique symbol

/**
 * What `handle.move()` gives, for `Handle.adopt` in any thread of the process: a string, so that it goes through
 * `postMessage` and whatever else copies values.
 */
export type HandleToken<C extends Chunk = Chunk> = string & { readonly [token]: C }

/** Options of `pageoutWith`, which names the backend itself. */
export type DetachOptions = Omit<PageoutOptions, 'backend'>

/** Options of a `Pager`. */
export interface PagerOptions {
  /** Directory for scratch files, created with its parents and opened at once. Default: searched by the first pageout. */
  scratchDir?: string
  /** Backend of `pageout`. Default: `file`. */
  backend?: Backend
  /**
   * Upper limit on scratch space in use, in bytes. Default: what `PAGEOUT_CAPACITY_BYTES` says, and in any case no more than leaves
   * a tenth of the file system free.
   */
  capacityBytes?: number
  /** Whether the scratch directory may live in memory. Default: false. */
  allowRamBacked?: boolean
  /** Whether bytes that are read back are verified by checksums. Default: `checksum`. */
  integrity?: 'checksum' | 'none'
  /**
   * Whether the memory of payloads of the swap backend is kept out of core dumps while they are out; a pageout fails where
   * that cannot be had. Payloads of the file backend have no memory in the process; `spareBytes` is 0 by default then, so
   * that none of what they had is kept. Linux only. Default: false.
   */
  excludeFromCoreDumps?: boolean
  /**
   * Most bytes of buffers kept for results of the same length, in each thread. The operating system may take their pages
   * at any time; until then they count as resident. Default: 32 MiB, or a sixteenth of the memory limit if that is less.
   */
  spareBytes?: number
}

/** What a pager holds and has done. Counters run from its beginning. */
export interface PagerStats {
  /** Handles that exist, in all threads. */
  handles: number
  /** Bytes of their payloads. */
  payloadBytes: number
  /** Handles of all pagers that `move()` has sent and nobody has adopted yet; each still counts in its own pager. */
  movingHandles: number
  /** Bytes of scratch slots in use. */
  usedBytes: number
  /** The most that `usedBytes` may become; 0 while neither an option nor an open scratch directory decides it. */
  capacityBytes: number
  /** Bytes of disk space that the scratch files hold, in use or ready for use. */
  scratchBytes: number
  /** Bytes of slots in use that the device may not have yet, counted from above. */
  dirtyBytes: number
  /** Most of them that are left alone; past that, each pageout starts writing as much as it added. */
  dirtyBudgetBytes: number
  /** Bytes whose writing was started because of that. */
  pushedBytes: number
  /** Scratch files of which the device has lost something after it was written, as far as the system has said so. */
  writeBackFailures: number
  /** Bytes of slots in use in such files: what may be lost (`handle.atRisk`). */
  atRiskBytes: number
  /** Bytes of buffers that this thread keeps for results. */
  spareBytes: number
  /** Results of this thread that found a buffer among them, and so needed no fresh memory. */
  spareHits: number
  /** The scratch directory, once one is open. */
  scratchDir: string | null
  /** Name of its file system, for instance `ext4`. */
  fileSystem: string | null
  /** Pageouts that succeeded. */
  pageouts: number
  /** Bytes they put out. */
  pageoutBytes: number
  /** Reads of ranges that succeeded; a call with several ranges counts once. */
  reads: number
  /** Bytes they brought back. */
  readBytes: number
  /** Takes that succeeded. */
  takes: number
  /** Bytes they brought back. */
  takeBytes: number
  /** Bytes of swap space that the machine has. Without any, the swap backend frees nothing. */
  swapBytes: number
  /** Bytes of it that are free. */
  swapFreeBytes: number
}

/** What an event of the tracing channels `pageout:pageout`, `pageout:read` and `pageout:take` tells. Never the payload. */
export interface TraceContext {
  /** Bytes that go out, or that are asked for; of `pageoutFrom`, those that have come so far. */
  readonly byteLength: number
  /** Where the payload lives. */
  readonly backend: Backend
}

/** Options of a promise form. */
export interface SignalOptions {
  /** Aborts the call: its promise rejects with an AbortError at once, and the handle stays as it was. */
  signal?: AbortSignal
}
