/** Payloads as streams of bytes. */

import type { ReadableByteStreamController } from 'node:stream/web'
import { abortSignal, oneOf, optionsBag, wholeNumber } from '../chunks/arguments.js'
import { abortError, invalidArgType } from '../model/errors.js'
import { type Handle, payloadOf } from '../model/handle.js'
import type { Chunk, StreamOptions } from '../model/types.js'
import { type PagerCore, refuseBorrowed } from '../pager/core.js'
import { webStreams } from '../runtime/node.js'
import { isAborted } from '../runtime/signal.js'
import { onAbort } from '../threads/abort.js'
import { readBytes } from './promise.js'
import type { ReadRequest } from './requests.js'

/** Long enough that a chunk costs what its bytes cost, short enough that reading ahead by one is nothing. */
const CHUNK_BYTES = 256 * 1024
const CHUNK_BYTES_MAX = 2 ** 30

/** The bytes of a payload as a stream, which reads ahead by one chunk. */
export function toReadableStream(
  pager: PagerCore,
  handle: Handle<Chunk>,
  given: StreamOptions | undefined,
): ReadableStream<Uint8Array> {
  const { chunkBytes: chosen, release: releaseOption } = optionsBag(given)
  const signal = abortSignal(given)
  const chunkBytes = chosen === undefined ? CHUNK_BYTES : wholeNumber(chosen, 'options.chunkBytes', 1, CHUNK_BYTES_MAX)
  const release = releaseOption === undefined ? false : releaseName(releaseOption)
  pager.payload(handle)
  const source = new PayloadBytes(pager, handle, { chunkBytes, release, signal })
  return new webStreams.ReadableStream(source, { highWaterMark: chunkBytes }) as ReadableStream<Uint8Array>
}

function releaseName(value: unknown): boolean | 'end' {
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') return oneOf(value, 'options.release', ['end'] as const)
  throw invalidArgType('options.release', "of type boolean, or 'end'", value)
}

interface Options {
  readonly chunkBytes: number
  readonly release: boolean | 'end'
  readonly signal: AbortSignal | undefined
}

/**
 * How an abort fails a stream. A signal may live as long as the process: it must not keep alive the stream, the handle
 * and so the payload of a stream that was dropped half read.
 */
function failWeakly(source: PayloadBytes, signal: AbortSignal): () => void {
  const weak = new WeakRef(source)
  return () => weak.deref()?.abort(signal)
}

/** Removes the listener of a stream that was dropped from its signal. */
const DROPPED = new FinalizationRegistry<() => void>(forget => forget())

/** The source of the stream. An error leaves the handle whole. */
class PayloadBytes {
  readonly type = 'bytes'
  readonly #pager: PagerCore
  readonly #handle: Handle<Chunk>
  readonly #options: Options
  #controller: ReadableByteStreamController | undefined
  #position = 0
  #forget = () => {}

  constructor(pager: PagerCore, handle: Handle<Chunk>, options: Options) {
    this.#pager = pager
    this.#handle = handle
    this.#options = options
  }

  start(controller: ReadableByteStreamController): void {
    const { signal } = this.#options
    this.#controller = controller
    if (isAborted(signal)) this.#fail(controller, abortError(signal))
    else if (signal) this.#forget = onAbort(signal, failWeakly(this, signal))
    if (!isAborted(signal) && this.#handle.byteLength === 0) this.#end(controller)
    DROPPED.register(this, this.#forget)
  }

  /** Fails the stream, whose signal was aborted. */
  abort(signal: AbortSignal): void {
    if (this.#controller) this.#fail(this.#controller, abortError(signal))
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    try {
      if (this.#position < this.#handle.byteLength) await this.#give(controller)
      // What was read ahead waits in the stream: it is read to its end when a reader has got the last of it, which asks once more.
      const isAllHandedOut = controller.desiredSize === this.#options.chunkBytes
      if (this.#position === this.#handle.byteLength && isAllHandedOut) this.#end(controller)
    } catch (error) {
      this.#fail(controller, error)
    }
  }

  /** Reads the next chunk. */
  async #give(controller: ReadableByteStreamController): Promise<void> {
    // The memory that a reader supplied is detached from it: no one else can reach it until it is handed out.
    const { byobRequest } = controller
    const view = byobRequest?.view
    const request = this.#next(view?.byteLength)
    const { byteLength } = request.ranges
    const into = view ? new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, byteLength) : undefined
    const bytes = await readBytes(request, into, this.#options.signal)
    this.#position += byteLength
    if (byobRequest) byobRequest.respond(byteLength)
    else controller.enqueue(bytes)
  }

  cancel(): void {
    this.#close(this.#options.release === true)
  }

  /** The next bytes, as many as fit a chunk and the memory that a reader supplied. */
  #next(roomBytes = Number.POSITIVE_INFINITY): ReadRequest {
    const payload = this.#pager.payload(this.#handle)
    const byteLength = Math.min(this.#options.chunkBytes, roomBytes, payload.byteLength - this.#position)
    return { payload, ranges: { bytes: [this.#position, byteLength], byteLength } }
  }

  #fail(controller: ReadableByteStreamController, error: unknown): void {
    this.#forget()
    controller.error(error)
  }

  #end(controller: ReadableByteStreamController): void {
    if (this.#options.release !== false) refuseBorrowed(payloadOf(this.#handle))
    // Throws when a reader waits with elements that are wider than what is left.
    controller.close()
    // Only this ends reads that supplied their own memory and still wait.
    controller.byobRequest?.respond(0)
    this.#close(this.#options.release !== false)
  }

  #close(isReleased: boolean): void {
    this.#forget()
    if (isReleased) this.#handle.release()
  }
}
