/** What both classes of pagers have: what needs no waiting. */

import type { Engine } from './engine.js'
import type { Handle } from './handle.js'
import { toReadableStream } from './streams.js'
import type { Backend, Chunk, PagerStats, Range, StreamOptions } from './types.js'

/** The part of a pager that is the same whether its verbs return results or promises. */
export abstract class PagerControls {
  readonly #engine: Engine

  /** @internal */
  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Starts bringing ranges into memory, for a read that comes soon. A hint: it reads nothing itself.
   *
   * @param ranges by default the whole payload
   */
  prefetch<C extends Chunk>(handle: Handle<C>, ranges?: readonly Range[]): void {
    this.#engine.prefetch(handle, ranges)
  }

  /** As the function of the same name of `pageout`. */
  toReadableStream(handle: Handle<Chunk>, options?: StreamOptions): ReadableStream<Uint8Array> {
    return toReadableStream(this.#engine, handle, options)
  }

  /** The backend of pageouts that name none. */
  backend(): Backend {
    return this.#engine.backend
  }

  /** Chooses the backend of later pageouts. Handles that exist keep theirs. */
  setBackend(backend: Backend): void {
    this.#engine.backend = backend
  }

  /** What the pager holds and has done, at this moment. */
  stats(): PagerStats {
    return this.#engine.stats()
  }

  /** Gives back spare buffers and scratch space that no payload uses. */
  trim(): void {
    this.#engine.trim()
  }
}
