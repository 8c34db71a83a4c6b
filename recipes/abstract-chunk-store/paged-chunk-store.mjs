import { callbackify } from 'node:util'
import { PagedMap } from 'pageout/map/promises'

/**
 * A chunk store, as WebTorrent takes them: some chunks are in memory, all others in unnamed files, which are gone when the process
 * ends.
 */
export class PagedChunkStore {
  #chunks
  #length

  /**
   * @param {number} chunkLength
   * @param {object} [options] of which other libraries give many more
   * @param {number} [options.length] bytes of all chunks together, where the last one may be shorter
   * @param {import('pageout/map').MapOptions['residentBytes']} [options.residentBytes] how much of it may be in memory
   * @param {string} [options.scratchDir]
   */
  constructor(chunkLength, { length = Number.POSITIVE_INFINITY, residentBytes = 64 * 2 ** 20, scratchDir } = {}) {
    if (!(chunkLength > 0)) throw new RangeError(`chunkLength is ${chunkLength}`)
    this.chunkLength = chunkLength
    this.#length = length
    // Whoever puts a chunk may go on using it, as the caches of WebTorrent do: so it is copied.
    this.#chunks = new PagedMap({ residentBytes, scratchDir, detach: 'never' })
  }

  put(index, chunk, callback = ignore) {
    settle(this.#put(index, chunk), callback)
  }

  get(index, options, callback = ignore) {
    if (typeof options === 'function') return this.get(index, null, options)
    settle(this.#get(index, options ?? {}), callback)
  }

  close(callback = ignore) {
    settle(this.#chunks.close(), callback)
  }

  destroy(callback) {
    this.close(callback) // nothing outlives the store
  }

  async #put(index, chunk) {
    const length = this.#lengthOf(index)
    if (chunk.length !== length) throw new RangeError(`chunk ${index} has ${chunk.length} bytes instead of ${length}`)
    await this.#chunks.set(index, chunk)
  }

  /** Calls with the same index take effect in order: this waits for a chunk that is being put. */
  async #get(index, { offset = 0, length = this.#lengthOf(index) - offset }) {
    const bytes = await this.#chunks.readAt(index, offset, length)
    if (bytes === undefined) throw Object.assign(new Error(`there is no chunk ${index}`), { notFound: true })
    return bytes
  }

  #lengthOf(index) {
    return Math.min(this.chunkLength, this.#length - index * this.chunkLength)
  }
}

/** Calls back with what a promise settles to, such that what the callback throws is no rejection but an uncaught exception. */
const settle = (promise, callback) => callbackify(() => promise)(callback)
const ignore = () => {}
