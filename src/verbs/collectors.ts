/** Where collected chunks go: three ways to make one payload of them. `end` is always called, also after `finish`. */

import { native } from '../addon/load.js'
import { hintCold, keep, preparation } from '../backends/swap.js'
import { bytesOf, hasChanged, type Part } from '../chunks/classes.js'
import { copied, readable } from '../chunks/request.js'
import { freeBuffer, giveBack } from '../memory/freeing.js'
import { allocate, spareFor } from '../memory/results.js'
import { abortError, fromAddon, guarded, invalidArgValue } from '../model/errors.js'
import { type Owner, type PayloadShape, RELEASED } from '../model/payload.js'
import { isAborted } from '../runtime/signal.js'
import { unlessAborted } from '../threads/abort.js'
import { run } from '../threads/pool-share.js'

/** Bytes that are gathered before they are written together: as many as the addon writes at a time. */
const PIECE_BYTES = 4 * 2 ** 20

/** Appends to the scratch files at once, from where the chunks are. */
export class FileCollector {
  readonly #owner: Owner
  readonly #collected: Collected

  constructor(owner: Owner) {
    this.#owner = owner
    this.#collected = new Collected(owner)
  }

  append(part: Part): void {
    const bytes = readable(part)
    this.#collected.begin(part)
    guarded(() => native.collectAppend(this.#owner.ref, this.#collected.ticket, bytes))
  }

  /** Ends collecting, and returns the payload's ticket. */
  finish(shape: PayloadShape): number {
    this.#collected.begin(shape)
    return guarded(() => native.collectFinish(this.#owner.ref, this.#collected.ticket))
  }

  /** Frees what was not finished. */
  end(): void {
    this.#collected.end()
  }
}

/** A payload that is collected in the addon, from the first chunk on, which says how long its elements are. */
class Collected {
  readonly #owner: Owner
  /** {@link RELEASED} before the first chunk. */
  ticket = RELEASED

  constructor(owner: Owner) {
    this.#owner = owner
  }

  begin({ chunkClass }: Pick<PayloadShape, 'chunkClass'>): void {
    if (this.ticket === RELEASED) this.ticket = guarded(() => native.collect(this.#owner.ref, chunkClass.elementBytes))
  }

  end(): void {
    native.free(this.#owner.ref, this.ticket)
  }
}

/**
 * Gathers pieces in private memory, and appends one off the JavaScript thread while the next is gathered. It holds three pieces
 * at most, however long a chunk is.
 */
export class StagedFileCollector {
  readonly #owner: Owner
  readonly #signal: AbortSignal | undefined
  readonly #collected: Collected
  /** The piece that is gathered, and how much of it there is. */
  #piece: Uint8Array | undefined
  #usedBytes = 0
  /** Pieces that were written, for the next. */
  #idle: Uint8Array[] = []
  #appended: Promise<void> = Promise.resolve()

  constructor(owner: Owner, signal: AbortSignal | undefined) {
    this.#owner = owner
    this.#signal = signal
    this.#collected = new Collected(owner)
  }

  /** Copies a chunk piece by piece, before the source is asked for the next. */
  async append(part: Part): Promise<void> {
    this.#collected.begin(part)
    for (let start = 0; start < part.byteLength; ) {
      // What ran while a piece was written may have taken the chunk's memory away.
      if (hasChanged(part)) {
        throw invalidArgValue('source', 'must leave a chunk as it is until it is asked for the next', part.chunk)
      }
      start += this.#gather(bytesOf(part).subarray(start))
      if (this.#piece && this.#usedBytes === PIECE_BYTES) await this.#write(this.#piece)
    }
  }

  async finish(shape: PayloadShape): Promise<number> {
    if (this.#piece) await this.#write(this.#piece)
    await unlessAborted(this.#appended, this.#signal)
    this.#collected.begin(shape)
    const { ref } = this.#owner
    const ticket = await run(() => fromAddon(native.collectFinishAsync(ref, this.#collected.ticket)), this.#signal)
    if (!isAborted(this.#signal)) return ticket
    native.free(ref, ticket)
    throw abortError(this.#signal)
  }

  /** Frees what was not finished. */
  end(): void {
    this.#collected.end()
    for (const piece of this.#idle) giveBack(piece.buffer as ArrayBuffer, this.#owner.spareBytes)
    this.#idle = []
  }

  /** Copies bytes behind those that are gathered, as many as the piece takes; returns how many. */
  #gather(bytes: Uint8Array): number {
    this.#piece ??= this.#idle.pop() ?? new Uint8Array(spareFor(PIECE_BYTES) ?? allocate(PIECE_BYTES))
    const some = bytes.subarray(0, PIECE_BYTES - this.#usedBytes)
    this.#piece.set(some, this.#usedBytes)
    this.#usedBytes += some.length
    return some.length
  }

  /** Starts to append the gathered piece once the piece before it is written. */
  async #write(piece: Uint8Array): Promise<void> {
    const bytes = piece.subarray(0, this.#usedBytes)
    this.#piece = undefined
    this.#usedBytes = 0
    await unlessAborted(this.#appended, this.#signal)
    this.#appended = this.#append(piece, bytes)
    // A failure is reported to the next that waits for it; after an abort no one may wait.
    this.#appended.catch(() => {})
  }

  async #append(piece: Uint8Array, bytes: Uint8Array): Promise<void> {
    const job = () => fromAddon(native.collectAppendAsync(this.#owner.ref, this.#collected.ticket, bytes))
    await run(job, this.#signal)
    this.#idle.push(piece)
  }
}

/** Keeps copies in memory: the swap backend. */
export class SwapCollector {
  readonly #owner: Owner
  #buffers: ArrayBuffer[] = []

  constructor(owner: Owner) {
    this.#owner = owner
  }

  append(part: Part): void {
    const buffer = copied(part)
    preparation(this.#owner.excludes)?.prepare(new Uint8Array(buffer))
    this.#buffers.push(buffer)
  }

  finish({ byteLength }: PayloadShape): number {
    const owner = this.#owner
    const ticket = guarded(() => native.keep(owner.ref, byteLength))
    hintCold(keep(owner, ticket, this.#buffers, owner.excludes))
    this.#buffers = []
    return ticket
  }

  /** Frees what was not finished. */
  end(): void {
    for (const buffer of this.#buffers) freeBuffer(buffer, this.#owner.excludes, this.#owner.spareBytes)
  }
}
