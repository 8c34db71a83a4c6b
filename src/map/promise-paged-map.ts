/** The map whose functions do their work off the JavaScript thread. */

import type { Destination } from '../api/verbs.js'
import type { Borrow } from '../borrows/borrow.js'
import { abortSignal, borrowArguments, destined } from '../chunks/arguments.js'
import { inspectChunk } from '../chunks/classes.js'
import { takePrivate } from '../chunks/request.js'
import { closed } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import type { BorrowOptions, Chunk, Range, SignalOptions, Stored, TargetOptions } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'
import { refuseAborted } from '../threads/abort.js'
import { borrowLater } from '../verbs/borrow.js'
import { borrowAllLater, type WorkOnAll } from '../verbs/borrow-all.js'
import * as promise from '../verbs/promise.js'
import { pageoutRequest, rangeRequest, rangesRequest, wholeRequest } from '../verbs/requests.js'
import { PagedMapControls } from './controls.js'
import { type Entries, type Entry, refuseBorrowed } from './entries.js'
import { chunkResult, isIntact, keyList, notSetBack, throwAll, withChunk, workFunction } from './functions.js'
import { openMap } from './opening.js'
import { Turns } from './turns.js'
import type { PromiseMapVerbs, PromisePagedMapOptions } from './verbs.js'

type OnEvict = (key: unknown, take: () => Promise<Chunk>) => unknown
type Signal = AbortSignal | undefined
type Work = (value: Chunk | undefined) => unknown
/** Target and signal, read once. */
type Goal = TargetOptions<Chunk> & SignalOptions

/**
 * A map of arrays within a memory budget, whose functions return promises: what is used stays in memory as long as there is room, and the
 * rest is in unnamed files. Values are borrowed for a moment, read in parts or taken; there is no `get`, since nobody could tell how long
 * what it gave is used.
 *
 * @example
 * const map = new PagedMap<string, Float64Array>({ residentBytes: 256 * 2 ** 20 })
 * await map.set('price', new Float64Array(1_000_000).fill(1.5))
 * await map.borrow('price', column => column.at(-1)) // 1.5
 * await map.readAt('price', 10, 2) // Float64Array [1.5, 1.5]
 * await map.close()
 */
export class PagedMap<K, C extends Chunk = Chunk> extends PagedMapControls<K> implements PromiseMapVerbs<K, C> {
  readonly #core: PagerCore
  readonly #entries: Entries<K>
  readonly #onEvict: OnEvict | undefined
  /** Of calls that change a key. */
  readonly #turns = new Turns<K>()

  /**
   * @param options see {@link PromisePagedMapOptions}: `residentBytes` is required
   * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE; ERR_PAGEOUT_SCRATCH_DIR or ERR_PAGEOUT_RAM_BACKED when
   * `options.scratchDir` cannot serve
   */
  constructor(options: PromisePagedMapOptions<K, C>) {
    const { core, entries, onEvict } = openMap<K, PromisePagedMapOptions<K, C>['onEvict']>(options)
    super(core, entries)
    this.#core = core
    this.#entries = entries
    this.#onEvict = onEvict as OnEvict | undefined
  }

  async set(key: K, chunk: C, options?: SignalOptions): Promise<this> {
    let own: Chunk = chunk
    let victims: readonly Entry<K>[]
    try {
      this.#core.refuseClosed()
      const signal = abortSignal(options)
      const { byteLength } = inspectChunk(chunk, 'chunk')
      if (this.#turns.isBusy(key)) {
        this.#entries.refuseTooLarge(byteLength)
        own = this.#takePrivate(chunk)
      } else {
        // Where nothing can go it is told before the chunk is taken.
        this.#entries.victims(key, byteLength)
      }
      victims = await this.#turns.take(key, signal, () => this.#store(key, own, signal))
    } catch (error) {
      throw withChunk(error, chunk, own)
    }
    await this.#evict(victims)
    return this
  }

  borrow(key: K, options?: BorrowOptions): Promise<Borrow<Stored<C>> | undefined>
  borrow<R>(key: K, work: (value: Stored<C>) => R | PromiseLike<R>, options?: BorrowOptions): Promise<R | undefined>
  borrow(key: K, work: undefined, options?: BorrowOptions): Promise<Borrow<Stored<C>> | undefined>
  async borrow(key: K, ...rest: [unknown?, unknown?]): Promise<unknown> {
    const { work, signal, wait } = borrowArguments(rest)
    const checked = [work, { signal, wait }] as const
    return await this.#visit(key, signal, entry =>
      this.#borrowing([entry], () => borrowLater(this.#core, entry.handle, checked)),
    )
  }

  async borrowAll<R>(
    keys: Iterable<K>,
    work: (...values: Stored<C>[]) => R | PromiseLike<R>,
    options?: BorrowOptions,
  ): Promise<R | undefined> {
    const list = keyList(keys)
    workFunction(work)
    const given = borrowArguments([options])
    this.#core.refuseClosed()
    return (await this.#whenFree(new Set(list), given.signal, async () => {
      const entries = list.map(key => this.#entries.use(key)).filter(entry => entry !== undefined)
      if (entries.length < list.length) return undefined
      const handles = entries.map(({ handle }) => handle)
      const use = () => borrowAllLater(this.#core, handles, work as unknown as WorkOnAll, given)
      return await this.#borrowing(entries, use)
    })) as R | undefined
  }

  async readAt(
    key: K,
    offset: number,
    length: number,
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<Stored<C> | undefined> {
    const goal = destined(target, options) as Goal
    const request = (handle: Handle<Chunk>) => rangeRequest(this.#core, handle, offset, length)
    const read = async ({ handle }: Entry<K>) => await promise.read(() => request(handle), goal, undefined)
    return (await this.#visit(key, goal.signal, read)) as Stored<C> | undefined
  }

  async readAtMany(
    key: K,
    ranges: readonly Range[],
    target?: Destination<C>,
    options?: SignalOptions,
  ): Promise<Stored<C> | undefined> {
    const goal = destined(target, options) as Goal
    const request = (handle: Handle<Chunk>) => rangesRequest(this.#core, handle, ranges)
    const read = async ({ handle }: Entry<K>) => await promise.read(() => request(handle), goal, undefined)
    return (await this.#visit(key, goal.signal, read)) as Stored<C> | undefined
  }

  async read(key: K, target?: Destination<C>, options?: SignalOptions): Promise<Stored<C> | undefined> {
    const goal = destined(target, options) as Goal
    const read = async ({ handle }: Entry<K>) =>
      await promise.read(() => wholeRequest(this.#core, handle), goal, undefined)
    return (await this.#visit(key, goal.signal, read)) as Stored<C> | undefined
  }

  async take(key: K, target?: Destination<C>, options?: SignalOptions): Promise<Stored<C> | undefined> {
    const goal = destined(target, options) as Goal
    this.#core.refuseClosed()
    return await this.#turns.take(key, goal.signal, async () => {
      const entry = this.#entries.use(key)
      if (!entry) return undefined
      const chunk = await this.#takeOut(entry, goal)
      this.#entries.remove(entry)
      return chunk as Stored<C>
    })
  }

  async update(
    key: K,
    work: (value: Stored<C> | undefined) => C | undefined | PromiseLike<C | undefined>,
    options?: SignalOptions,
  ): Promise<void> {
    workFunction(work)
    const signal = abortSignal(options)
    this.#core.refuseClosed()
    const change = () => this.#change(key, work as unknown as Work, signal)
    await this.#evict(await this.#turns.take(key, signal, change))
  }

  async delete(key: K, options?: SignalOptions): Promise<boolean> {
    const signal = abortSignal(options)
    this.#core.refuseClosed()
    return await this.#turns.take(key, signal, async () => this.#entries.delete(key))
  }

  async clear(options?: SignalOptions): Promise<void> {
    const signal = abortSignal(options)
    this.#core.refuseClosed()
    refuseAborted(signal)
    const keys = new Set([...this.#entries.keys(), ...this.#turns.keys()])
    await Promise.all([...keys].map(key => this.delete(key, options)))
  }

  async close(): Promise<void> {
    const done = this.#core.closeLater()
    this.#entries.clear()
    this.#turns.refuseAll(closed)
    await done
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Does something with the entry of a key, if there is one, when it is the turn of that. */
  async #visit<T>(key: K, signal: Signal, step: (entry: Entry<K>) => Promise<T>): Promise<T | undefined> {
    this.#core.refuseClosed()
    return await this.#turns.visit(key, signal, async () => {
      const entry = this.#entries.use(key)
      return entry && (await step(entry))
    })
  }

  /** Begins a step when no call is changing one of the keys. While it waits for one of them, calls of the others go on. */
  async #whenFree<T>(keys: ReadonlySet<K>, signal: Signal, step: () => Promise<T>): Promise<T> {
    for (;;) {
      const busy = [...keys].filter(key => this.#turns.isBusy(key))
      if (busy.length === 0) return await step()
      const others = new Set(keys)
      const [key] = busy as [K]
      others.delete(key)
      const isFree = () => [...others].every(other => !this.#turns.isBusy(other))
      const begin = async () => (isFree() ? { result: await step() } : undefined)
      const begun = await this.#turns.visit(key, signal, begin)
      if (begun) return begun.result
    }
  }

  /** Keeps the values of entries while they are about to be borrowed, whatever becomes of their keys. */
  async #borrowing<T>(entries: readonly Entry<K>[], borrow: () => Promise<T>): Promise<T> {
    for (const entry of entries) entry.borrowers++
    try {
      return await borrow()
    } finally {
      for (const entry of entries) this.#entries.endBorrowing(entry)
    }
  }

  /** Takes a chunk out of the caller's reach that has to wait for its turn. */
  #takePrivate(chunk: Chunk): Chunk {
    const request = pageoutRequest(this.#core, chunk, [chunk], undefined, undefined)
    const { buffers } = takePrivate(request)
    return request.chunkClass.over(buffers[0] as ArrayBuffer, 0, request.byteLength)
  }

  /** Makes a chunk the value of a key. What has to go for it is in the map no more, and is to be evicted. */
  async #store(key: K, chunk: Chunk, signal: Signal): Promise<readonly Entry<K>[]> {
    const handle = await promise.pageout(this.#core, chunk, signal && { signal })
    let victims: readonly Entry<K>[]
    try {
      victims = this.#entries.victims(key, handle.byteLength)
    } catch (error) {
      const again = await promise.take(this.#core, handle, undefined, undefined)
      throw withChunk(error, chunk, again)
    }
    this.#entries.put(key, handle, victims)
    return victims
  }

  async #takeOut(entry: Entry<K>, goal: Goal): Promise<Chunk> {
    refuseBorrowed(entry)
    entry.isBusy = true
    try {
      return await promise.take(this.#core, entry.handle, goal, undefined)
    } catch (error) {
      entry.isBusy = false
      throw error
    }
  }

  async #change(key: K, work: Work, signal: Signal): Promise<readonly Entry<K>[]> {
    const entry = this.#entries.use(key)
    if (!entry) return await this.#storeResult(key, await work(undefined))
    const taken = await this.#takeOut(entry, { signal })
    try {
      return await this.#storeResult(key, await work(taken))
    } catch (error) {
      throw await this.#setBack(entry, taken, error)
    }
  }

  async #storeResult(key: K, result: unknown): Promise<readonly Entry<K>[]> {
    if (result !== undefined) return await this.#store(key, chunkResult(result), undefined)
    this.#entries.delete(key)
    return []
  }

  /** Undoes that a value was taken, where that is possible. Gives the error that the update fails with. */
  async #setBack(entry: Entry<K>, taken: Chunk, error: unknown): Promise<unknown> {
    if (!isIntact(taken, entry.byteLength)) {
      this.#entries.remove(entry)
      return error
    }
    try {
      this.#entries.put(entry.key, await promise.pageout(this.#core, taken, undefined))
      return error
    } catch (failure) {
      this.#entries.remove(entry)
      return notSetBack(failure, error)
    }
  }

  async #evict(victims: readonly Entry<K>[]): Promise<void> {
    const outcomes = await Promise.allSettled(victims.map(victim => this.#tell(victim)))
    throwAll(outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason] : [])))
  }

  async #tell({ key, handle }: Entry<K>): Promise<void> {
    const onEvict = this.#onEvict
    try {
      await onEvict?.(key, async () => await promise.take(this.#core, handle, undefined, undefined))
    } finally {
      handle.release()
    }
  }
}
