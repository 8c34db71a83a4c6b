/** What a map has under its keys: handles, the order of use, and bytes. No I/O. */

import { borrowed, outOfRange, PageoutError } from '../model/errors.js'
import { type Handle, payloadOf } from '../model/handle.js'
import { type Payload, RELEASED } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'

/** The value of a key. */
export interface Entry<K> {
  readonly key: K
  readonly handle: Handle<Chunk>
  readonly byteLength: number
  /** Calls that are about to borrow it. */
  borrowers: number
  /** Whether it is being taken, or was and has no other value yet. */
  isBusy: boolean
}

export class Entries<K> {
  readonly #core: PagerCore
  readonly #maxBytes: number | undefined
  readonly #byKey = new Map<K, Entry<K>>()
  /** The same, those that were used longest ago first; only where that matters. */
  readonly #byUse: Set<Entry<K>> | undefined
  /** Values that are in the map no more, and are freed when nobody borrows them any more. */
  readonly #leaving = new Map<Payload, Entry<K>>()
  #byteLength = 0

  constructor(core: PagerCore, maxBytes: number | undefined) {
    this.#core = core
    this.#maxBytes = maxBytes
    this.#byUse = maxBytes === undefined ? undefined : new Set()
    core.onLoanEnd = payload => this.#loanEnded(payload)
  }

  get size(): number {
    return this.#byKey.size
  }

  get byteLength(): number {
    return this.#byteLength
  }

  has(key: K): boolean {
    return this.#byKey.has(key)
  }

  keys(): IterableIterator<K> {
    return this.#byKey.keys()
  }

  find(key: K): Entry<K> | undefined {
    return this.#byKey.get(key)
  }

  /** The entry of a key, which is used now. */
  use(key: K): Entry<K> | undefined {
    const entry = this.#byKey.get(key)
    if (entry && this.#byUse?.delete(entry)) this.#byUse.add(entry)
    return entry
  }

  /** Refuses a value that no map of this size can have. */
  refuseTooLarge(byteLength: number): void {
    if (this.#maxBytes === undefined || byteLength <= this.#maxBytes) return
    throw outOfRange('chunk.byteLength', `<= ${this.#maxBytes}, the maxBytes of the map`, byteLength)
  }

  /**
   * The entries that have to go, coldest first, where a key gets a value of `byteLength`.
   *
   * @throws ERR_OUT_OF_RANGE, ERR_PAGEOUT_BUDGET
   */
  victims(key: K, byteLength: number): Entry<K>[] {
    if (this.#maxBytes === undefined || this.#byUse === undefined) return []
    this.refuseTooLarge(byteLength)
    const own = this.#byKey.get(key)
    let excess = this.#byteLength - (own?.byteLength ?? 0) + byteLength - this.#maxBytes
    const victims: Entry<K>[] = []
    for (const entry of excess > 0 ? this.#byUse : []) {
      if (entry === own || entry.isBusy || isBorrowed(entry)) continue
      victims.push(entry)
      excess -= entry.byteLength
      if (excess <= 0) break
    }
    if (excess > 0) throw this.#full(byteLength, this.#maxBytes)
    return victims
  }

  #full(requestedBytes: number, limitBytes: number): PageoutError {
    const borrowedBytes = [...this.#byKey.values()]
      .filter(entry => entry.isBusy || isBorrowed(entry))
      .reduce((sum, { byteLength }) => sum + byteLength, 0)
    const { residentBytes } = this.#core.stats()
    const message = `No room in the map: ${requestedBytes} bytes asked for, ${borrowedBytes} of ${limitBytes} are borrowed`
    const facts = { requestedBytes, borrowedBytes, residentBytes, limitBytes }
    return new PageoutError('ERR_PAGEOUT_BUDGET', message, facts)
  }

  /** Makes a payload the value of a key; `victims` are in the map no more. */
  put(key: K, handle: Handle<Chunk>, victims: readonly Entry<K>[] = []): void {
    // What was paged out while the pager closed is freed by that.
    if (this.#core.isClosed) return
    const old = this.#byKey.get(key)
    const { byteLength } = handle
    const entry: Entry<K> = { key, handle, byteLength, borrowers: 0, isBusy: false }
    if (old) this.#forget(old)
    // A key that was there keeps its place among the keys.
    this.#byKey.set(key, entry)
    this.#byUse?.add(entry)
    this.#byteLength += byteLength
    for (const victim of victims) this.remove(victim)
    if (old) this.free(old)
  }

  /** Removes an entry, whose payload is the caller's affair. Says whether it was there. */
  remove(entry: Entry<K>): boolean {
    const { key } = entry
    if (this.#byKey.get(key) !== entry) return false
    this.#byKey.delete(key)
    this.#forget(entry)
    return true
  }

  #forget(entry: Entry<K>): void {
    this.#byUse?.delete(entry)
    this.#byteLength -= entry.byteLength
  }

  /** Frees the payload of an entry that is in the map no more, as soon as nobody borrows it. */
  free(entry: Entry<K>): void {
    const payload = payloadOf(entry.handle)
    payload.lending?.retry()
    if (isBorrowed(entry)) this.#leaving.set(payload, entry)
    else entry.handle.release()
  }

  /** Removes a key and frees its payload. Says whether it was there. */
  delete(key: K): boolean {
    const entry = this.#byKey.get(key)
    if (!entry) return false
    this.remove(entry)
    this.free(entry)
    return true
  }

  /** One call less that is about to borrow an entry. */
  endBorrowing(entry: Entry<K>): void {
    entry.borrowers--
    this.#loanEnded(payloadOf(entry.handle))
  }

  /** Nobody borrows a payload any more. */
  #loanEnded(payload: Payload): void {
    const entry = this.#leaving.get(payload)
    if (entry) {
      if (isBorrowed(entry)) return
      this.#leaving.delete(payload)
      entry.handle.release()
    } else if (payload.ticket === RELEASED) {
      this.#lose(payload)
    }
  }

  /** Removes an entry whose memory a borrower has transferred elsewhere, and which is nowhere else. */
  #lose(payload: Payload): void {
    for (const entry of this.#byKey.values()) {
      if (payloadOf(entry.handle) === payload && !entry.isBusy) this.remove(entry)
    }
  }

  /** Forgets everything: the pager frees it. */
  clear(): void {
    this.#byKey.clear()
    this.#byUse?.clear()
    this.#leaving.clear()
    this.#byteLength = 0
  }
}

/** Whether somebody borrows the value of an entry, or is about to. */
function isBorrowed({ handle, borrowers }: Entry<unknown>): boolean {
  return borrowers > 0 || payloadOf(handle).lending !== undefined
}

/** Throws where the value of an entry is to be taken, and somebody borrows it. */
export function refuseBorrowed(entry: Entry<unknown>): void {
  payloadOf(entry.handle).lending?.retry()
  if (isBorrowed(entry)) throw borrowed()
}
