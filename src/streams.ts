/** Payloads as streams of bytes. */

import { ReadableStream as ByteStream, type ReadableByteStreamController } from 'node:stream/web'
import { abortSignal, isTrue, optionsBag, wholeNumber } from './arguments.js'
import { readBytes } from './async.js'
import type { Engine, Requested } from './engine.js'
import { abortError } from './errors.js'
import type { Handle } from './handle.js'
import { onAbort } from './lane.js'
import { isAborted } from './signal.js'
import type { Chunk, StreamOptions } from './types.js'

/** Long enough that a chunk costs what its bytes cost, short enough that reading ahead by one is nothing. */
const CHUNK_BYTES = 256 * 1024
const CHUNK_BYTES_MAX = 2 ** 30

/** The bytes of a payload as a stream, which reads ahead by one chunk. */
export function toReadableStream(
  engine: Engine,
  handle: Handle<Chunk>,
  given: StreamOptions | undefined,
): ReadableStream<Uint8Array> {
  const { chunkBytes: chosen, release } = optionsBag(given)
  const signal = abortSignal(given)
  const chunkBytes = chosen === undefined ? CHUNK_BYTES : wholeNumber(chosen, 'options.chunkBytes', 1, CHUNK_BYTES_MAX)
  const isReleased = release !== undefined && isTrue(release, 'options.release')
  engine.payload(handle)
  const source = new PayloadBytes(engine, handle, { chunkBytes, isReleased, signal })
  return new ByteStream(source, { highWaterMark: chunkBytes }) as ReadableStream<Uint8Array>
}

interface Options {
  readonly chunkBytes: number
  readonly isReleased: boolean
  readonly signal: AbortSignal | undefined
}

/** What the stream asks. An error leaves the handle whole. */
class PayloadBytes {
  readonly type = 'bytes'
  readonly #engine: Engine
  readonly #handle: Handle<Chunk>
  readonly #options: Options
  #position = 0
  #forget = () => {}

  constructor(engine: Engine, handle: Handle<Chunk>, options: Options) {
    this.#engine = engine
    this.#handle = handle
    this.#options = options
  }

  start(controller: ReadableByteStreamController): void {
    const { signal } = this.#options
    if (isAborted(signal)) this.#fail(controller, abortError(signal))
    else if (signal) this.#forget = onAbort(signal, () => this.#fail(controller, abortError(signal)))
    if (!isAborted(signal) && this.#handle.byteLength === 0) this.#end(controller)
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    // A reader that brought its own memory has given it up: nobody else knows it until it is handed out.
    const { byobRequest } = controller
    const view = byobRequest?.view
    try {
      const requested = this.#next(view?.byteLength)
      const { byteLength } = requested.request
      const into = view ? new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, byteLength) : undefined
      const bytes = await readBytes(this.#engine, requested, into, this.#options.signal)
      this.#position += byteLength
      if (byobRequest) byobRequest.respond(byteLength)
      else controller.enqueue(bytes)
      if (this.#position === this.#handle.byteLength) this.#end(controller)
    } catch (error) {
      this.#fail(controller, error)
    }
  }

  cancel(): void {
    this.#close()
  }

  /** The next bytes, as many as fit a chunk and whatever memory a reader brought. */
  #next(roomBytes = Number.POSITIVE_INFINITY): Requested {
    const payload = this.#engine.payload(this.#handle)
    const byteLength = Math.min(this.#options.chunkBytes, roomBytes, payload.byteLength - this.#position)
    return { payload, request: { bytes: Float64Array.of(this.#position, byteLength), byteLength } }
  }

  #fail(controller: ReadableByteStreamController, error: unknown): void {
    this.#forget()
    controller.error(error)
  }

  #end(controller: ReadableByteStreamController): void {
    // Throws when a reader waits with elements that are wider than what is left.
    controller.close()
    // Reads that brought their own memory and still wait are told by this alone.
    controller.byobRequest?.respond(0)
    this.#close()
  }

  #close(): void {
    this.#forget()
    if (this.#options.isReleased) this.#handle[Symbol.dispose]()
  }
}
