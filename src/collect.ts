/**
 * Payloads that are made while they go out: chunks come one after the other from a source, and only a few pieces of the
 * payload are in memory at a time. The chunks are copied and left as they are, because a source may use their memory again.
 */

import * as native from '../index.js'
import { bytesOf, inspectChunk, type Kind, kindNamed, type Part } from './chunk.js'
import { copied, type Engine, type Made, readableBytes } from './engine.js'
import { abortError, fromAddon, guarded, invalidArgType } from './errors.js'
import type { Handle } from './handle.js'
import { run, unlessAborted } from './lane.js'
import { fresh } from './memory.js'
import { isAborted } from './signal.js'
import { traced, tracedPromise } from './tracing.js'
import type { Backend, Chunk, ChunkSource, CollectOptions, TraceContext } from './types.js'

type Signal = AbortSignal | undefined

/** Bytes that are gathered before they go out together: as many as the addon puts out at a time. */
const PIECE_BYTES = 4 * 2 ** 20

/** Collects the chunks of a source that has them at hand. */
export function collect<C extends Chunk>(
  engine: Engine,
  source: Iterable<C>,
  options: CollectOptions | undefined,
): Handle<C> {
  const backend = engine.collecting(options)
  refuseNoSource(source, [Symbol.iterator])
  const intake = new Intake(engine)
  return traced('pageout', intake.about(backend), () => {
    const sink = backend === 'swap' ? new Kept<C>(engine) : new Direct<C>(engine)
    try {
      for (const chunk of source) sink.append(intake.next(chunk))
      return sink.finish(intake.made())
    } finally {
      sink.end()
    }
  })
}

/** Collects the chunks of a source that has them one day. */
export function collectAsync<C extends Chunk>(
  engine: Engine,
  source: ChunkSource<C>,
  options: CollectOptions | undefined,
  signal: Signal,
): Promise<Handle<C>> {
  const backend = engine.collecting(options)
  refuseNoSource(source, [Symbol.asyncIterator, Symbol.iterator])
  const intake = new Intake(engine)
  const step = async () => {
    if (isAborted(signal)) throw abortError(signal)
    const sink = backend === 'swap' ? new Kept<C>(engine) : new Staged<C>(engine, signal)
    try {
      for await (const chunk of unlessEnded(source, signal)) await sink.append(intake.next(chunk))
      return await sink.finish(intake.made())
    } finally {
      sink.end()
    }
  }
  return engine.pending(() => tracedPromise('pageout', intake.about(backend), step))
}

function refuseNoSource(source: unknown, ways: readonly symbol[]): void {
  const isObject = (typeof source === 'object' && source !== null) || typeof source === 'function'
  const isSource = isObject && ways.some(way => typeof (source as Record<symbol, unknown>)[way] === 'function')
  if (!isSource || ArrayBuffer.isView(source)) throw invalidArgType('source', 'an iterable of chunks', source)
}

/** Checks what a source gives. */
class Intake {
  readonly #engine: Engine
  #kind: Kind | undefined
  #byteLength = 0
  #count = 0

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** What tracing channels tell: the length grows while chunks come. */
  about(backend: Backend): TraceContext {
    const length = () => this.#byteLength
    return {
      backend,
      get byteLength() {
        return length()
      },
    }
  }

  /** Checks the next chunk. The source, which gave it, may have done anything meanwhile. */
  next(chunk: unknown): Part {
    this.#engine.refuseFreed()
    const name = `source[${this.#count}]`
    const part = inspectChunk(chunk, name)
    this.#kind ??= part.kind
    if (part.kind !== this.#kind) throw invalidArgType(name, `of the class of source[0], ${this.#kind.name}`, chunk)
    this.#count++
    this.#byteLength += part.byteLength
    return part
  }

  /** What has come; a source that gave nothing gave no bytes. */
  made(): Made {
    this.#engine.refuseFreed()
    return { kind: this.#kind ?? (kindNamed('Uint8Array') as Kind), byteLength: this.#byteLength }
  }
}

/** Appends to the scratch files at once. */
class Direct<C extends Chunk> {
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
class Staged<C extends Chunk> {
  readonly #engine: Engine
  readonly #signal: Signal
  readonly #ticket: number
  /** The piece that is gathered, and how much of it there is. */
  #piece: Uint8Array | undefined
  #usedBytes = 0
  /** Pieces that went out, for the next. */
  #idle: Uint8Array[] = []
  #appended: Promise<void> = Promise.resolve()

  constructor(engine: Engine, signal: Signal) {
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
class Kept<C extends Chunk> {
  readonly #engine: Engine
  readonly #buffers: ArrayBuffer[] = []

  constructor(engine: Engine) {
    this.#engine = engine
  }

  append(part: Part): void {
    this.#buffers.push(copied(part))
  }

  finish(made: Made): Handle<C> {
    return this.#engine.keepBuffers(made, () => this.#buffers)
  }

  end(): void {}
}

/** The chunks of a source until it ends, or until an abort, which does not wait for the source. */
async function* unlessEnded<C extends Chunk>(
  source: ChunkSource<C>,
  signal: Signal,
): AsyncGenerator<C, void, undefined> {
  const iterator = iteratorOf(source)
  let isOver = false
  const next = async () => {
    isOver = true
    const step = await iterator.next()
    if (step.done) return undefined
    const chunk = await step.value
    isOver = false
    return { chunk }
  }
  try {
    for (;;) {
      if (isAborted(signal)) throw abortError(signal)
      const given = await unlessAborted(next(), signal)
      if (!given) return
      yield given.chunk
    }
  } finally {
    if (!isOver || isAborted(signal)) closeSoon(iterator)
  }
}

type AnyIterator<C> = AsyncIterator<C> | Iterator<C | PromiseLike<C>>

function iteratorOf<C extends Chunk>(source: ChunkSource<C>): AnyIterator<C> {
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]()
  return source[Symbol.iterator]()
}

/** Tells a source that nobody wants more of it; how it takes that is its own affair. */
function closeSoon(iterator: AnyIterator<unknown>): void {
  const close = async () => await iterator.return?.()
  close().catch(() => {})
}
