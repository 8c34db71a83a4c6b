/** What maps of both forms do at once. */

import { backendOf } from '../backends/choose.js'
import { wholeOf } from '../chunks/arguments.js'
import { payloadOf } from '../model/handle.js'
import type { PagerStats } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'
import { markAsUncloneable, util } from '../runtime/node.js'
import type { Entries } from './entries.js'
import type { MapControls } from './verbs.js'

/** The part of a map that is the same whether its functions return results or promises. */
export abstract class PagedMapControls<K> implements MapControls<K> {
  readonly #core: PagerCore
  readonly #entries: Entries<K>

  /** @internal */
  constructor(core: PagerCore, entries: Entries<K>) {
    this.#core = core
    this.#entries = entries
    markAsUncloneable(this)
  }

  get size(): number {
    return this.#entries.size
  }

  get byteLength(): number {
    return this.#entries.byteLength
  }

  has(key: K): boolean {
    return this.#entries.has(key)
  }

  keys(): IterableIterator<K> {
    return this.#entries.keys()
  }

  prefetch(...keys: readonly K[]): void {
    this.#core.refuseClosed()
    for (const key of keys) {
      const entry = this.#entries.find(key)
      if (!entry || entry.isBusy) continue
      const payload = payloadOf(entry.handle)
      backendOf(payload).prefetch(payload, wholeOf(payload))
    }
  }

  stats(): PagerStats {
    return this.#core.stats()
  }

  /** @internal What `console.log` shows: no keys and no values. */
  [util.inspect.custom](): string {
    if (this.#core.isClosed) return 'PagedMap { closed }'
    const { residentBytes, residentLimitBytes } = this.stats()
    const { size, byteLength } = this
    return `PagedMap ${util.inspect({ size, byteLength, residentBytes, residentLimitBytes })}`
  }
}
