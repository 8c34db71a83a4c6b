// Payloads of one length by number, more of them than there is room for in memory. Either they are looked at and never change,
// or each look changes them.
import { LRUCache } from 'lru-cache'
import { Pager } from '../dist/index.js'
import { LMDB, loadLmdb } from './lmdb.mjs'
import { FILE_PER_PAYLOAD, MAKERS, OPEN_FILE, PAGEOUT_BUDGET, PAGEOUT_BUDGET_UNCHECKED } from './stores.mjs'

/** @typedef {import('./types.js').Cache} Cache */
/** @typedef {import('./types.js').Place & { residentBytes: number, isChanging: boolean }} Place */
/** @typedef {import('./types.js').Store} Store */

/** The cache that most programs have, above the stores that what leaves it goes to. */
const SPILLS = [FILE_PER_PAYLOAD, OPEN_FILE, LMDB]
const lruOver = (/** @type {string} */ store) => `lru-cache over ${store}`

export const CACHES = [PAGEOUT_BUDGET, PAGEOUT_BUDGET_UNCHECKED, ...SPILLS.map(lruOver)]
export const LRU_OVER_FILES = lruOver(FILE_PER_PAYLOAD)
export const LRU_OVER_LMDB = lruOver(LMDB)

/**
 * Opens the cache of a name; none where there is no LMDB for it.
 *
 * @param {string} name
 * @param {Place} place
 * @returns {Promise<Cache | undefined>}
 */
export async function openCache(name, place) {
  if (name === PAGEOUT_BUDGET) return budgeted(name, place, {})
  if (name === PAGEOUT_BUDGET_UNCHECKED) return budgeted(name, place, { integrity: 'none' })
  const { makers } = await loadLmdb()
  const spill = SPILLS.find(store => lruOver(store) === name) ?? ''
  const store = { ...MAKERS, ...makers }[spill]?.(place)
  return store && new Spilling(name, store, place)
}

/**
 * @param {string} name
 * @param {Place} place
 * @param {import('../dist/index.js').PagerOptions} options
 * @returns {Cache}
 */
function budgeted(name, { folder, residentBytes, isChanging }, options) {
  const pager = new Pager({ scratchDir: folder, residentBytes, ...options })
  /** @type {import('../dist/index.js').Handle<Uint8Array>[]} */
  const handles = []
  const handleOf = (/** @type {number} */ number) => /** @type {(typeof handles)[number]} */ (handles[number])
  return {
    name,
    add: bytes => handles.push(pager.pageout(bytes)),
    look: isChanging ? trip : (number, work) => pager.borrow(handleOf(number), work),
    hits: () => pager.stats().residentHits,
    close: () => pager.close(),
  }

  /**
   * @template T
   * @param {number} number
   * @param {(bytes: Uint8Array) => T} work
   */
  function trip(number, work) {
    const bytes = pager.take(handleOf(number))
    const result = work(bytes)
    handles[number] = pager.pageout(bytes)
    return result
  }
}

/**
 * The least recently used leaves for a store. Where payloads do not change the store keeps it: what leaves once more is there already.
 *
 * @implements {Cache}
 */
class Spilling {
  #store
  #count = 0
  #hits = 0
  /** What the store knows payloads by that left. @type {unknown[]} */
  #handles = []
  /** @type {LRUCache<number, Uint8Array>} */
  #inMemory
  /** @type {(number: number) => Uint8Array} */
  #read

  /**
   * @param {string} name
   * @param {Store} store
   * @param {Place} place
   */
  constructor(name, store, { residentBytes, payloadBytes, isChanging }) {
    this.name = name
    this.#store = store
    store.prepare?.()
    const dispose = (/** @type {Uint8Array} */ bytes, /** @type {number} */ number) => {
      this.#handles[number] ??= store.out(bytes)
    }
    this.#inMemory = new LRUCache({ max: residentBytes / payloadBytes, dispose })
    this.#read = isChanging ? number => this.#takeBack(number) : number => this.#readStored(number)
  }

  /** @param {Uint8Array} bytes */
  add(bytes) {
    this.#inMemory.set(this.#count++, bytes)
  }

  /**
   * @template T
   * @param {number} number
   * @param {(bytes: Uint8Array) => T} work
   */
  look(number, work) {
    const found = this.#inMemory.get(number)
    if (found) {
      this.#hits++
      return work(found)
    }
    const bytes = this.#read(number)
    this.#inMemory.set(number, bytes)
    return work(bytes)
  }

  /** @param {number} number */
  #readStored(number) {
    return /** @type {Required<Store>} */ (this.#store).read(this.#handles[number])
  }

  /** @param {number} number */
  #takeBack(number) {
    const bytes = this.#store.back(this.#handles[number])
    this.#handles[number] = undefined
    return bytes
  }

  hits() {
    return this.#hits
  }

  close() {
    return this.#store.close()
  }
}
