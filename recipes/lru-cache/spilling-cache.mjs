import { LRUCache } from 'lru-cache'
import { Pager } from 'pageout'

const sizeCalculation = ({ byteLength }) => Math.max(byteLength, 1)

/**
 * An lru-cache of typed arrays with a second tier on the disk: what the first tier evicts is paged out, and a `get` takes it back.
 * A key is in one tier at a time.
 */
export class SpillingCache {
  #hot
  #cold
  #pager
  #coldBytes
  #onSpillError

  /**
   * @param {object} options of lru-cache, for the first tier; of its `ttl` a value that is paged out keeps what is left
   * @param {number} options.maxSize bytes in memory
   * @param {number} options.coldBytes bytes on the disk
   * @param {Pager} [options.pager] by default one that copies, so that arrays that callers hold stay whole
   * @param {(error: Error, key: unknown) => void} [options.onSpillError] an evicted value could not be paged out, and is gone
   */
  constructor({ coldBytes, pager = new Pager({ detach: 'never' }), onSpillError = warn, ...options }) {
    const { ttlAutopurge, ttlResolution, perf } = options
    this.#pager = pager
    this.#coldBytes = coldBytes
    this.#onSpillError = onSpillError
    this.#hot = new LRUCache({
      sizeCalculation,
      ...options,
      dispose: (value, key, reason) => this.#spill(value, key, reason),
      onInsert: (_, key) => this.#cold.delete(key), // also what `fetch` has fetched
    })
    this.#cold = new LRUCache({
      ...{ ttlAutopurge, ttlResolution, perf },
      maxSize: coldBytes,
      sizeCalculation,
      dispose: handle => handle.release(), // for any reason; does nothing where the value was taken
    })
  }

  get(key, options) {
    this.#promote(key)
    return this.#hot.get(key, options)
  }

  fetch(key, options) {
    this.#promote(key)
    return this.#hot.fetch(key, options)
  }

  set(key, value, options) {
    this.#cold.delete(key)
    this.#hot.set(key, value, options)
    return this
  }

  has(key) {
    return this.#hot.has(key) || this.#cold.has(key)
  }

  delete(key) {
    const wasCold = this.#cold.delete(key)
    return this.#hot.delete(key) || wasCold
  }

  clear() {
    this.#hot.clear()
    this.#cold.clear()
  }

  #spill(value, key, reason) {
    // set: it was replaced. delete, expire, fetch: it is not wanted any more.
    if (reason !== 'evict') return
    const ttl = this.#hot.getRemainingTTL(key)
    // A tier does not keep what is longer than itself, and calls no `dispose` for it.
    if (ttl <= 0 || value.byteLength > this.#coldBytes) return
    const paged = this.#pager.tryPageout(value)
    if (paged.ok) this.#cold.set(key, paged.value, lifetime(ttl))
    else this.#onSpillError(paged.error, key)
  }

  #promote(key) {
    const handle = this.#cold.get(key)
    if (handle === undefined) return
    const ttl = this.#cold.getRemainingTTL(key)
    let value
    try {
      value = this.#pager.take(handle)
    } finally {
      this.#cold.delete(key) // also what could not be read, and before `set` evicts others to here
    }
    this.#hot.set(key, value, lifetime(ttl))
  }
}

const lifetime = ttl => (ttl === Number.POSITIVE_INFINITY ? {} : { ttl })
const warn = error => process.emitWarning(error)
