/** What the caller holds for a payload that is out. */

import { markAsUncloneable, util } from '../runtime/node.js'
import { invalidArgType } from './errors.js'
import { lengthOf, type Payload, RELEASED } from './payload.js'
import type { Backend, Chunk, HandleToken } from './types.js'

/** Known to this module alone, so that no one else can construct a handle. */
const KEY = Symbol('pageout')

let make: (payload: Payload) => Handle<Chunk>
let open: (handle: Handle<Chunk>) => Payload
let isHandle: (value: unknown) => value is Handle<Chunk>
let adopt: (token: unknown) => Handle<Chunk>

/**
 * A payload that is out of memory, made by `pageout` only. Releasing it, or dropping the last reference to it, frees the
 * payload's slots.
 *
 * A handle belongs to its thread: {@link Handle.move} sends its payload to another. Cloning or posting it is a DataCloneError
 * where the runtime supports it (Node 22.10 and later).
 *
 * @example
 * const handle = pageout(new Float64Array(1_000_000))
 * handle.length // 1000000
 * handle.type // 'Float64Array'
 * handle.release()
 */
export class Handle<out C extends Chunk = Chunk> {
  readonly #payload: Payload
  /** The class that is read back; for the compiler only. */
  declare protected readonly chunk?: C

  static {
    make = payload => new Handle(payload, KEY)
    open = handle => handle.#payload
    isHandle = (value): value is Handle<Chunk> => typeof value === 'object' && value !== null && #payload in value
  }

  private constructor(payload: Payload, key: symbol) {
    if (key !== KEY) throw invalidArgType('payload', 'made by pageout; handles cannot be constructed', payload)
    this.#payload = payload
    markAsUncloneable(this)
  }

  /** Elements of the payload; bytes for Buffer, DataView and ArrayBuffer. */
  get length(): number {
    return lengthOf(this.#payload)
  }

  /** Bytes of the payload. */
  get byteLength(): number {
    return this.#payload.byteLength
  }

  /** Name of the class that is read back, for instance `Float64Array`. */
  get type(): string {
    return this.#payload.chunkClass.name
  }

  /** Where the payload is. It never changes. */
  get backend(): Backend {
    return this.#payload.backend
  }

  /** Whether the payload was taken, released or moved, or its pager was closed. */
  get released(): boolean {
    const { ticket, isReleaseDue, owner } = this.#payload
    return ticket === RELEASED || isReleaseDue || owner.isClosed
  }

  /**
   * Whether the OS has reported that the device could not write all of a file that the payload lies in. Its bytes may be
   * lost, or may still be in the page cache: take such a payload back soon. Always false for the swap backend and a released
   * handle. Lost bytes are detected in any case, by their checksum, when they are read.
   */
  get atRisk(): boolean {
    return !this.released && this.#payload.owner.isAtRisk(this.#payload)
  }

  /**
   * Sends the payload to the thread that adopts the token, this one or another; its bytes stay where they are (the swap
   * backend copies them). This handle is released. A payload whose token is never adopted stays allocated until the process exits.
   *
   * @returns a token for {@link Handle.adopt}, good for one use
   * @throws ERR_PAGEOUT_RELEASED, ERR_PAGEOUT_CLOSED, ERR_PAGEOUT_BORROWED
   * @example
   * worker.postMessage(handle.move())
   */
  move(): HandleToken<C> {
    return this.#payload.owner.move(this.#payload) as HandleToken<C>
  }

  /**
   * Makes a handle of this thread for the payload that {@link Handle.move} sent away. It works with the functions of the
   * package, whatever pager it was made by. Scratch space stays counted there; memory of the swap backend is counted in the
   * pager of the process from then on.
   *
   * @throws ERR_PAGEOUT_RELEASED when the token was used before or is of another process, ERR_INVALID_ARG_TYPE and
   * ERR_INVALID_ARG_VALUE when it is none
   * @example
   * parentPort.once('message', token => {
   *   const handle = Handle.adopt(token)
   *   console.log(readAt(handle, 0, 10))
   *   handle.release()
   * })
   */
  static adopt<C extends Chunk>(token: HandleToken<C>): Handle<C> {
    return adopt(token) as Handle<C>
  }

  /**
   * Frees the payload's slots or memory. Calling it again does nothing.
   *
   * @throws ERR_PAGEOUT_BORROWED
   */
  release(): void {
    if (!this.released) this.#payload.owner.release(this.#payload)
  }

  /** As {@link release}. */
  [Symbol.dispose](): void {
    this.release()
  }

  /** @internal What `console.log` shows: never the payload. */
  [util.inspect.custom](): string {
    const { type, length, byteLength, backend } = this
    return `Handle<${type}> ${util.inspect({ length, byteLength, backend, state: this.#state() })}`
  }

  #state(): string {
    const { isBeingTaken, lending } = this.#payload
    if (this.released) return 'released'
    if (isBeingTaken) return 'being taken'
    return lending ? 'borrowed' : 'out'
  }
}

/** @internal Sets how handles are adopted in this thread. */
export function adoptBy(how: (token: unknown) => Handle<Chunk>): void {
  adopt = how
}

/** @internal Makes the handle of a payload: types of the addon, to which this leads, are not published. */
export function handleOf<C extends Chunk>(payload: Payload): Handle<C> {
  return make(payload) as Handle<C>
}

/** @internal The inside of a handle. */
export function payloadOf(value: unknown): Payload {
  if (!isHandle(value)) throw invalidArgType('handle', 'a Handle that pageout made', value)
  return open(value)
}
