/** Where collected chunks go: three ways to make one payload of them. Each has `append`, `finish`, and `end` in any case. */

import { native } from './addon.js'
import { bytesOf, type Part } from './chunk.js'
import type { Engine } from './engine.js'
import { abortError, fromAddon, guarded } from './errors.js'
import type { Handle } from './handle.js'
import { run } from './lane.js'
import { fresh } from './memory.js'
import { copied, type Made, readableBytes } from './outgoing.js'
import { isAborted } from './signal.js'
import type { Chunk } from './types.js'

/** Bytes that are gathered before they go out together: as many as the addon puts out at a time. */
const PIECE_BYTES = 4 * 2 ** 20

/** Appends to the scratch files at once. */
export class Direct<C extends Chunk> {
  readonly #engine: Engine
  readonly #ticket: number

  constructor(engine: Engine) {
    this.#engine = engine
    this.#ticket = guarded(() => native.collect(engine.ref))
  }

  append(part: Part): void {
    const bytes = readableBytes(part)
    guarded(() => native.collectAppend(this.#engine.ref, this.#ticket, bytes))
  }

  finish(made: Made): Handle<C> {
    const ticket = guarded(() => native.collectFinish(this.#engine.ref, this.#ticket))
    return this.#engine.handle(made, ticket)
  }

  /** Frees what was not finished. */
  end(): void {
    native.free(this.#engine.ref, this.#ticket)
  }
}

/** Gathers pieces in memory of its own, and appends one off the JavaScript thread while the next is gathered. */
export class Staged<C extends Chunk> {
  readonly #engine: Engine
  readonly #signal: AbortSignal | undefined
  readonly #ticket: number
  /** The piece that is gathered, and how much of it there is. */
  #piece: Uint8Array | undefined
  #usedBytes = 0
  /** Pieces that went out, for the next. */
  #idle: Uint8Array[] = []
  #appended: Promise<void> = Promise.resolve()

  constructor(engine: Engine, signal: AbortSignal | undefined) {
    this.#engine = engine
    this.#signal = signal
    this.#ticket = guarded(() => native.collect(engine.ref))
  }

  async append(part: Part): Promise<void> {
    // All of the chunk is copied before anything is waited for, because then its memory is the source's again.
    for (const piece of this.#gather(bytesOf(part))) await this.#putOut(piece, PIECE_BYTES)
  }

  async finish(made: Made): Promise<Handle<C>> {
    if (this.#piece) await this.#putOut(this.#piece, this.#usedBytes)
    await this.#appended
    const { ref } = this.#engine
    const ticket = await run(() => fromAddon(native.collectFinishAsync(ref, this.#ticket)), this.#signal)
    if (!isAborted(this.#signal)) return this.#engine.handle(made, ticket)
    native.free(ref, ticket)
    throw abortError(this.#signal)
  }

  /** Frees what was not finished. */
  end(): void {
    native.free(this.#engine.ref, this.#ticket)
    for (const piece of this.#idle) this.#engine.spares.giveBack(piece.buffer as ArrayBuffer)
    this.#idle = []
  }

  /** Copies bytes behind those that are gathered; gives the pieces that are complete. */
  #gather(bytes: Uint8Array): Uint8Array[] {
    const complete: Uint8Array[] = []
    for (let start = 0; start < bytes.length; ) {
      this.#piece ??= this.#idle.pop() ?? this.#newPiece()
      const some = bytes.subarray(start, start + PIECE_BYTES - this.#usedBytes)
      this.#piece.set(some, this.#usedBytes)
      this.#usedBytes += some.length
      start += some.length
      if (this.#usedBytes < PIECE_BYTES) break
      complete.push(this.#piece)
      this.#piece = undefined
      this.#usedBytes = 0
    }
    return complete
  }

  #newPiece(): Uint8Array {
    return new Uint8Array(this.#engine.spares.take(PIECE_BYTES) ?? fresh(PIECE_BYTES))
  }

  /** Starts to append the beginning of a piece once the piece before it is out. */
  async #putOut(piece: Uint8Array, byteLength: number): Promise<void> {
    await this.#appended
    this.#appended = this.#appendAsync(piece, byteLength)
    // Whoever waits for it next is told; nobody may be left to wait after an abort.
    this.#appended.catch(() => {})
  }

  async #appendAsync(piece: Uint8Array, byteLength: number): Promise<void> {
    const bytes = piece.subarray(0, byteLength)
    const job = () => fromAddon(native.collectAppendAsync(this.#engine.ref, this.#ticket, bytes))
    await run(job, this.#signal)
    this.#idle.push(piece)
  }
}

/** Keeps copies in memory: the swap backend. */
export class Kept<C extends Chunk> {
  readonly #engine: Engine
  readonly #buffers: ArrayBuffer[] = []

  constructor(engine: Engine) {
    this.#engine = engine
  }

  append(part: Part): void {
    const buffer = copied(part)
    this.#engine.exclude(new Uint8Array(buffer))
    this.#buffers.push(buffer)
  }

  finish(made: Made): Handle<C> {
    return this.#engine.keepBuffers(made, () => this.#buffers)
  }

  end(): void {}
}
