/** What the caller holds for a payload that is out. */

import type { Kind } from './chunk.js'
import { invalidArgType } from './errors.js'
import type { Backend, Chunk } from './types.js'

/** Who owns a payload: the part of a pager that a handle knows. */
interface Owner {
  /** Frees the payload's place. */
  free(payload: Payload): void
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

  /** Frees the payload's place. More than once is the same as once. */
  [Symbol.dispose](): void {
    if (!this.released) this.#payload.owner.free(this.#payload)
  }
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
