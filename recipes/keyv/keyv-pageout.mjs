import { PagedMap } from 'pageout/map/promises'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * A storage adapter of Keyv: values that are used stay in memory within a budget, and all others are in unnamed files, which are
 * gone when the process ends.
 */
export class KeyvPageout {
  #values

  /**
   * @param {PagedMap<string, Uint8Array> | ConstructorParameters<typeof PagedMap>[0]} values a map, which several adapters may
   * share, or the options of one: `residentBytes`, and `maxBytes` where old values may go
   */
  constructor(values) {
    this.opts = { dialect: 'pageout' }
    this.#values = values instanceof PagedMap ? values : new PagedMap(values)
  }

  /** Keyv sets it, and gives keys that begin with it. */
  namespace

  async get(key) {
    // The text is made while the value is borrowed: the bytes themselves are not copied.
    return this.#values.borrow(key, bytes => decoder.decode(bytes), { wait: true })
  }

  async set(key, value) {
    if (typeof value !== 'string') throw new TypeError('a value is no string: Keyv needs its serialize option')
    await this.#values.set(key, encoder.encode(value))
    return true
  }

  async delete(key) {
    return this.#values.delete(key)
  }

  async clear() {
    if (!this.namespace) return this.#values.clear()
    const prefix = `${this.namespace}:`
    const keys = [...this.#values.keys()].filter(key => key.startsWith(prefix))
    await Promise.all(keys.map(key => this.#values.delete(key)))
  }

  async disconnect() {
    await this.#values.close()
  }
}
