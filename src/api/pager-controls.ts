/** Functions that both classes of pagers have, and that return at once. */

import { backendOf } from '../backends/choose.js'
import type { Handle } from '../model/handle.js'
import type { Backend, Chunk, PagerStats, Range, StreamOptions } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'
import { markAsUncloneable, util } from '../runtime/node.js'
import { rangesRequest, wholeRequest } from '../verbs/requests.js'
import { toReadableStream } from '../verbs/streams.js'
import type { Controls } from './verbs.js'

/** The part of a pager that is the same whether its verbs return results or promises. */
export abstract class PagerControls implements Controls {
  readonly #core: PagerCore

  /** @internal */
  constructor(core: PagerCore) {
    this.#core = core
    markAsUncloneable(this)
  }

  prefetch<C extends Chunk>(handle: Handle<C>, ranges?: readonly Range[]): void {
    const request = ranges === undefined ? wholeRequest(this.#core, handle) : rangesRequest(this.#core, handle, ranges)
    backendOf(request.payload).prefetch(request.payload, request.ranges)
  }

  toReadableStream(handle: Handle<Chunk>, options?: StreamOptions): ReadableStream<Uint8Array> {
    return toReadableStream(this.#core, handle, options)
  }

  backend(): Backend {
    return this.#core.backend
  }

  setBackend(backend: Backend): void {
    this.#core.backend = backend
  }

  stats(): PagerStats {
    return this.#core.stats()
  }

  trim(): void {
    this.#core.trim()
  }

  /** @internal What `console.log` shows. */
  [util.inspect.custom](): string {
    if (this.#core.isClosed) return 'Pager { closed }'
    const { scratchDir, fileSystem, handles, payloadBytes, usedBytes, capacityBytes } = this.stats()
    const backend = this.backend()
    return `Pager ${util.inspect({ backend, scratchDir, fileSystem, handles, payloadBytes, usedBytes, capacityBytes })}`
  }
}
