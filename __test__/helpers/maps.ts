/** Both forms of maps, whose results are awaited. */

import type { ExecutionContext } from 'ava'
import type { Borrow, BorrowOptions, Chunk, PageoutError, PagerStats, Range } from 'pageout'
import { PagedMap } from 'pageout/map'
import { PagedMap as PromisePagedMap } from 'pageout/map/promises'
import { KIB, MIB } from './chunks.js'
import { newDirectory } from './places.js'
import { until } from './until.js'

type Maybe<T> = T | Promise<T>

/** A map of either form. */
export interface AnyMap {
  readonly size: number
  readonly byteLength: number
  set(key: unknown, chunk: Chunk): Maybe<unknown>
  borrow(key: unknown, work?: undefined, options?: BorrowOptions): Maybe<Borrow<Chunk> | undefined>
  borrow(key: unknown, work: (value: Chunk) => unknown, options?: BorrowOptions): Maybe<unknown>
  borrowAll(keys: Iterable<unknown>, work: (...values: Chunk[]) => unknown): Maybe<unknown>
  readAt(key: unknown, offset: number, length: number, target?: Chunk): Maybe<Chunk | undefined>
  readAtMany(key: unknown, ranges: readonly Range[], target?: Chunk): Maybe<Chunk | undefined>
  read(key: unknown, target?: Chunk): Maybe<Chunk | undefined>
  take(key: unknown, target?: Chunk): Maybe<Chunk | undefined>
  update(key: unknown, work: (value: Chunk | undefined) => unknown): Maybe<void>
  has(key: unknown): boolean
  delete(key: unknown): Maybe<boolean>
  clear(): Maybe<void>
  keys(): IterableIterator<unknown>
  prefetch(...keys: unknown[]): void
  stats(): PagerStats
  close(): Maybe<void>
}

/** Options of either form. */
export interface AnyOptions {
  residentBytes?: unknown
  maxBytes?: unknown
  onEvict?: unknown
  [name: string]: unknown
}

export const BUDGET = MIB

type Form = (t: ExecutionContext, options?: AnyOptions) => AnyMap

/** New maps of both forms, with a budget of {@link BUDGET}. */
export const forms: Record<string, Form> = {
  synchronous: (t, options) => opened(t, new PagedMap(withDefaults(t, options)) as unknown as AnyMap),
  promise: (t, options) => opened(t, new PromisePagedMap(withDefaults(t, options)) as unknown as AnyMap),
}

function withDefaults(t: ExecutionContext, options: AnyOptions = {}): { residentBytes: number } {
  return { residentBytes: BUDGET, scratchDir: newDirectory(t), ...options } as { residentBytes: number }
}

function opened(t: ExecutionContext, map: AnyMap): AnyMap {
  t.teardown(() => map.close())
  return map
}

/** A new synchronous map of bytes. */
export function newMap(t: ExecutionContext, options?: AnyOptions): PagedMap<unknown, Uint8Array> {
  return forms.synchronous?.(t, options) as unknown as PagedMap<unknown, Uint8Array>
}

/** A new map of promises and bytes. */
export function newPromiseMap(t: ExecutionContext, options?: AnyOptions): PromisePagedMap<unknown, Uint8Array> {
  return forms.promise?.(t, options) as unknown as PromisePagedMap<unknown, Uint8Array>
}

/** What a call of either form throws or rejects with. */
export async function failureOf(call: () => unknown): Promise<PageoutError> {
  try {
    await call()
  } catch (error) {
    return error as PageoutError
  }
  throw new Error('the call did not fail')
}

/** Waits until nothing of a map is left: no payload, no memory, no space. */
export async function untilEmpty(t: ExecutionContext, map: { stats(): PagerStats }): Promise<void> {
  const left = () => {
    const { handles, payloadBytes, usedBytes, residentBytes, borrowedBytes } = map.stats()
    return { handles, payloadBytes, usedBytes, residentBytes, borrowedBytes }
  }
  await until(t, () => Object.values(left()).every(number => number === 0), left)
}

export const PIECE = 64 * KIB

/** Sets a value that is on disk and not in memory: all of the budget is borrowed at that moment. Nothing else is in memory then. */
export async function setOnDisk(map: AnyMap, key: unknown, chunk: Uint8Array): Promise<void> {
  const full = Symbol('full')
  await map.set(full, new Uint8Array(map.stats().residentLimitBytes))
  const borrowed = (await map.borrow(full)) as Borrow
  await map.set(key, chunk)
  borrowed.release()
  await map.delete(full)
}

/** The only chunk that an error gives back. */
export function chunkOfError({ chunks }: PageoutError): Uint8Array {
  if (chunks?.length !== 1) throw new Error(`the error has ${chunks?.length} chunks`)
  return chunks[0] as Uint8Array
}
