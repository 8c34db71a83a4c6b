/** The map whose functions return results. */

import type { Borrow } from '../borrows/borrow.js'
import { borrowArguments, destined } from '../chunks/arguments.js'
import { inspectChunk } from '../chunks/classes.js'
import { released, withChunks } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import type { BorrowOptions, Chunk, Range, Stored, Target, TargetOptions } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'
import { borrow } from '../verbs/borrow.js'
import { borrowAll, type WorkOnAll } from '../verbs/borrow-all.js'
import { rangeRequest, rangesRequest, wholeRequest } from '../verbs/requests.js'
import * as sync from '../verbs/sync.js'
import { refusePromise } from '../verbs/work.js'
import { PagedMapControls } from './controls.js'
import { type Entries, type Entry, refuseBorrowed } from './entries.js'
import { chunkResult, isIntact, keyList, notSetBack, throwAll, withChunk, workFunction } from './functions.js'
import { openMap } from './opening.js'
import type { MapVerbs, PagedMapOptions } from './verbs.js'

type OnEvict = (key: unknown, take: () => Chunk) => unknown
type Work = (value: Chunk | undefined) => unknown

/** No target. */
const NEW_MEMORY = destined(undefined)

/**
 * A map of arrays within a memory budget: what is used stays in memory as long as there is room, and the rest is in unnamed files. Values
 * are borrowed for a moment, read in parts or taken; there is no `get`, since nobody could tell how long what it gave is used.
 *
 * @example
 * const map = new PagedMap<string, Float64Array>({ residentBytes: 256 * 2 ** 20 })
 * map.set('price', new Float64Array(1_000_000).fill(1.5))
 * map.borrow('price', column => column.at(-1)) // 1.5
 * map.readAt('price', 10, 2) // Float64Array [1.5, 1.5]
 * map.close()
 */
export class PagedMap<K, C extends Chunk = Chunk> extends PagedMapControls<K> implements MapVerbs<K, C> {
  readonly #core: PagerCore
  readonly #entries: Entries<K>
  readonly #onEvict: OnEvict | undefined
  /** Keys whose update is under way. */
  readonly #changing = new Set<K>()

  /**
   * @param options see {@link PagedMapOptions}: `residentBytes` is required
   * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE; ERR_PAGEOUT_SCRATCH_DIR or ERR_PAGEOUT_RAM_BACKED when
   * `options.scratchDir` cannot serve
   */
  constructor(options: PagedMapOptions<K, C>) {
    const { core, entries, onEvict } = openMap<K, PagedMapOptions<K, C>['onEvict']>(options)
    super(core, entries)
    this.#core = core
    this.#entries = entries
    this.#onEvict = onEvict as OnEvict | undefined
  }

  set(key: K, chunk: C): this {
    let victims: readonly Entry<K>[]
    try {
      this.#refuseUnusable(key)
      victims = this.#store(key, chunk)
    } catch (error) {
      throw withChunks(error, [chunk])
    }
    this.#evict(victims)
    return this
  }

  borrow(key: K, options?: BorrowOptions): Borrow<Stored<C>> | undefined
  borrow<R>(key: K, work: (value: Stored<C>) => R, options?: BorrowOptions): R | undefined
  borrow(key: K, work: undefined, options?: BorrowOptions): Borrow<Stored<C>> | undefined
  borrow(key: K, ...rest: [unknown?, unknown?]): unknown {
    const entry = this.#use(key)
    if (entry) return borrow(this.#core, entry.handle, rest)
    borrowArguments(rest)
    return undefined
  }

  borrowAll<R>(keys: Iterable<K>, work: (...values: Stored<C>[]) => R): R | undefined {
    const list = keyList(keys)
    workFunction(work)
    this.#core.refuseClosed()
    const entries = list.map(key => this.#use(key)).filter(entry => entry !== undefined)
    if (entries.length < list.length) return undefined
    const handles = entries.map(({ handle }) => handle)
    return borrowAll(this.#core, handles, work as unknown as WorkOnAll) as R
  }

  readAt(key: K, offset: number, length: number, target?: Target<C> | TargetOptions<C>): Stored<C> | undefined {
    const goal = destined(target)
    const entry = this.#use(key)
    return entry && (sync.read(rangeRequest(this.#core, entry.handle, offset, length), goal) as Stored<C>)
  }

  readAtMany(key: K, ranges: readonly Range[], target?: Target<C> | TargetOptions<C>): Stored<C> | undefined {
    const goal = destined(target)
    const entry = this.#use(key)
    return entry && (sync.read(rangesRequest(this.#core, entry.handle, ranges), goal) as Stored<C>)
  }

  read(key: K, target?: Target<C> | TargetOptions<C>): Stored<C> | undefined {
    const goal = destined(target)
    const entry = this.#use(key)
    return entry && (sync.read(wholeRequest(this.#core, entry.handle), goal) as Stored<C>)
  }

  take(key: K, target?: Target<C> | TargetOptions<C>): Stored<C> | undefined {
    const goal = destined(target)
    const entry = this.#use(key)
    if (!entry) return undefined
    refuseBorrowed(entry)
    const chunk = sync.take(this.#core, entry.handle, goal)
    this.#entries.remove(entry)
    return chunk as Stored<C>
  }

  update(key: K, work: (value: Stored<C> | undefined) => C | undefined): void {
    this.#refuseUnusable(key)
    workFunction(work)
    let victims: readonly Entry<K>[]
    this.#changing.add(key)
    try {
      victims = this.#change(key, work as unknown as Work)
    } finally {
      this.#changing.delete(key)
    }
    this.#evict(victims)
  }

  delete(key: K): boolean {
    this.#refuseUnusable(key)
    return this.#entries.delete(key)
  }

  clear(): void {
    for (const key of this.#changing) this.#refuseUnusable(key)
    this.#core.refuseClosed()
    for (const key of [...this.#entries.keys()]) this.#entries.delete(key)
  }

  close(): void {
    this.#core.close()
    this.#entries.clear()
  }

  /** As {@link close}. */
  [Symbol.dispose](): void {
    this.close()
  }

  #refuseUnusable(key: K): void {
    this.#core.refuseClosed()
    if (this.#changing.has(key)) throw released()
  }

  #use(key: K): Entry<K> | undefined {
    this.#refuseUnusable(key)
    return this.#entries.use(key)
  }

  /** Makes a chunk the value of a key. What has to go for it is in the map no more, and is to be evicted. */
  #store(key: K, chunk: Chunk): readonly Entry<K>[] {
    try {
      const { byteLength } = inspectChunk(chunk, 'chunk')
      // Where nothing can go it is told before the chunk is taken.
      this.#entries.victims(key, byteLength)
      return this.#put(key, chunk, sync.pageout(this.#core, chunk, undefined))
    } catch (error) {
      throw withChunks(error, [chunk])
    }
  }

  /** Subscribers of the tracing channel of a pageout may have done anything to the map. */
  #put(key: K, chunk: Chunk, handle: Handle<Chunk>): readonly Entry<K>[] {
    let victims: readonly Entry<K>[]
    try {
      victims = this.#entries.victims(key, handle.byteLength)
    } catch (error) {
      throw withChunk(error, chunk, sync.take(this.#core, handle, NEW_MEMORY))
    }
    this.#entries.put(key, handle, victims)
    return victims
  }

  #change(key: K, work: Work): readonly Entry<K>[] {
    const entry = this.#entries.use(key)
    if (!entry) return this.#storeResult(key, work(undefined))
    refuseBorrowed(entry)
    const taken = sync.take(this.#core, entry.handle, NEW_MEMORY)
    entry.isBusy = true
    try {
      return this.#storeResult(key, work(taken))
    } catch (error) {
      throw this.#setBack(entry, taken, error)
    }
  }

  #storeResult(key: K, result: unknown): readonly Entry<K>[] {
    refusePromise(result, 'work', 'the value is set when it returns')
    if (result !== undefined) return this.#store(key, chunkResult(result))
    this.#entries.delete(key)
    return []
  }

  /** Undoes that a value was taken, where that is possible. Gives the error that the update fails with. */
  #setBack(entry: Entry<K>, taken: Chunk, error: unknown): unknown {
    if (!isIntact(taken, entry.byteLength)) {
      this.#entries.remove(entry)
      return error
    }
    try {
      this.#entries.put(entry.key, sync.pageout(this.#core, taken, undefined))
      return error
    } catch (failure) {
      this.#entries.remove(entry)
      return notSetBack(failure, error)
    }
  }

  #evict(victims: readonly Entry<K>[]): void {
    const errors: unknown[] = []
    for (const { key, handle } of victims) {
      try {
        this.#tell(key, handle)
      } catch (error) {
        errors.push(error)
      } finally {
        handle.release()
      }
    }
    throwAll(errors)
  }

  #tell(key: K, handle: Handle<Chunk>): void {
    const onEvict = this.#onEvict
    const result = onEvict?.(key, () => sync.take(this.#core, handle, NEW_MEMORY))
    refusePromise(result, 'onEvict', 'the value is freed when it returns')
  }
}
