/** What the caller holds for a payload that is out. */

import type { Kind } from './chunk.js'
import { invalidArgType } from './errors.js'
import type { Backend, Chunk, HandleToken } from './types.js'

/** Who owns a payload: the part of a pager that a handle knows. */
interface Owner {
  /** Frees the payload's place. */
  free(payload: Payload): void
  /** Whether the device has lost something of a file that the payload lies in. */
  isAtRisk(payload: Payload): boolean
  /** Sends the payload away; the token stands for it. */
  send(payload: Payload): string
}

/** The inside of a handle, for the pager that made it. */
export interface Payload {
  readonly owner: Owner
  readonly kind: Kind
  readonly byteLength: number
  readonly backend: Backend
  /** Stands for the payload in the addon; -1 once the handle was taken or disposed of. */
  ticket: number
  /** Whether a take is pending. */
  isBeingTaken: boolean
}

const RELEASED = -1
/** What only this module has: handles are made by pageout. */
const KEY = Symbol('pageout')

let make: (payload: Payload) => Handle<Chunk>
let open: (handle: Handle<Chunk>) => Payload
let isHandle: (value: unknown) => value is Handle<Chunk>
let adopt: (token: unknown) => Handle<Chunk>

/**
 * A payload that is out of memory, made by `pageout` only. Disposing of it, or dropping the last reference to it, frees
 * the payload's place.
 *
 * @example
 * using handle = pageout(new Float64Array(1_000_000))
 * handle.length // 1000000
 */
export class Handle<out C extends Chunk = Chunk> {
  readonly #payload: Payload
  /** The class that comes back; for the compiler only. */
  declare protected readonly chunk?: C

  static {
    make = payload => new Handle(payload, KEY)
    open = handle => handle.#payload
    isHandle = (value): value is Handle<Chunk> => typeof value === 'object' && value !== null && #payload in value
  }

  private constructor(payload: Payload, key: symbol) {
    if (key !== KEY) throw invalidArgType('payload', 'made by pageout; handles cannot be constructed', payload)
    this.#payload = payload
  }

  /** Elements of the payload; bytes for Buffer, DataView and ArrayBuffer. */
  get length(): number {
    return lengthOf(this.#payload)
  }

  /** Bytes of the payload. */
  get byteLength(): number {
    return this.#payload.byteLength
  }

  /** Where the payload lives. It never changes. */
  get backend(): Backend {
    return this.#payload.backend
  }

  /** Whether the payload was taken or disposed of. */
  get released(): boolean {
    return this.#payload.ticket === RELEASED
  }

  /**
   * Whether the system has said that the device could not write all of a file that the payload lies in. Its bytes may be
   * lost, or the system may still have them in memory: to take such a payload back soon is the best chance. Always false
   * for the swap backend and a released handle. What is lost is found in any case, by its checksum, when it is read.
   */
  get atRisk(): boolean {
    return !this.released && this.#payload.owner.isAtRisk(this.#payload)
  }

  /**
   * Sends the payload to whoever adopts the token, in this or another thread; its bytes stay where they are (the swap
   * backend copies them). This handle is released. A payload whose token nobody adopts keeps its place until the process
   * ends.
   *
   * @returns a token for {@link Handle.adopt}, good for one use
   * @throws ERR_PAGEOUT_RELEASED, ERR_PAGEOUT_CLOSED
   * @example
   * worker.postMessage(handle.move())
   */
  move(): HandleToken<C> {
    return this.#payload.owner.send(this.#payload) as HandleToken<C>
  }

  /**
   * Makes a handle of this thread for the payload that {@link Handle.move} sent away. It works with the functions of the
   * package, whatever pager it was made by; there its bytes stay counted.
   *
   * @throws ERR_PAGEOUT_RELEASED when the token was used before or is of another process, ERR_INVALID_ARG_TYPE and
   * ERR_INVALID_ARG_VALUE when it is none
   * @example
   * parentPort.once('message', token => {
   *   using handle = Handle.adopt<Float64Array>(token)
   * })
   */
  static adopt<C extends Chunk>(token: HandleToken<C>): Handle<C> {
    return adopt(token) as Handle<C>
  }

  /** Frees the payload's place. More than once is the same as once. */
  [Symbol.dispose](): void {
    if (!this.released) this.#payload.owner.free(this.#payload)
  }
}

/** Says how handles are adopted in this thread. */
export function adoptBy(how: (token: unknown) => Handle<Chunk>): void {
  adopt = how
}

/** Makes the handle of a payload. */
export function handleOf<C extends Chunk>(payload: Payload): Handle<C> {
  return make(payload) as Handle<C>
}

/** The inside of a handle. */
export function payloadOf(value: unknown): Payload {
  if (!isHandle(value)) throw invalidArgType('handle', 'a Handle that pageout made', value)
  return open(value)
}

/** Elements of a payload. */
export function lengthOf(payload: Payload): number {
  return payload.byteLength / payload.kind.elementBytes
}

/** The payload's place is free: the handle is of no use any more. */
export function markReleased(payload: Payload): void {
  payload.ticket = RELEASED
}
