/** Both forms of borrowing, and warnings of the process. */

import type { ExecutionContext } from 'ava'
import { type Backend, type Borrow, type BorrowOptions, type Chunk, type Handle, Pager, type Result } from 'pageout'
import { Pager as PromisePager } from 'pageout/promises'
import { isReached } from './collect.js'
import { newDirectory } from './places.js'

type Maybe<T> = T | Promise<T>

/** A pager of either form, whose results are awaited. */
export interface AnyPager {
  pageoutWith(backend: Backend, chunks: Chunk | readonly Chunk[]): Maybe<Handle<Chunk>>
  borrow(handle: Handle<Chunk>, work?: undefined, options?: BorrowOptions): Maybe<Borrow<Chunk>>
  borrow(handle: Handle<Chunk>, work: (value: Chunk) => unknown, options?: BorrowOptions): Maybe<unknown>
  tryBorrow(handle: Handle<Chunk>, work?: (value: Chunk) => unknown): Maybe<Result<unknown>>
  read(handle: Handle<Chunk>): Maybe<Chunk>
  readAt(handle: Handle<Chunk>, offset: number, length: number, target?: Chunk): Maybe<Chunk>
  take(handle: Handle<Chunk>): Maybe<Chunk>
  tryTake(handle: Handle<Chunk>): Maybe<Result<Chunk>>
  close(): Maybe<void>
}

/** New pagers of both forms. */
export const forms: Record<string, (t: ExecutionContext) => AnyPager> = {
  synchronous: t => opened(t, new Pager({ scratchDir: newDirectory(t) })),
  promise: t => opened(t, new PromisePager({ scratchDir: newDirectory(t) })),
}

function opened(t: ExecutionContext, pager: Pager | PromisePager): AnyPager {
  t.teardown(() => pager.close())
  return pager as unknown as AnyPager
}

export interface Warning extends Error {
  readonly code?: string
  readonly detail?: string
}

/** The warnings about borrows from now on. */
export function watchWarnings(t: ExecutionContext): {
  readonly warnings: readonly Warning[]
  arrived(count: number): Promise<boolean>
} {
  const warnings: Warning[] = []
  const note = (warning: Warning) => {
    if (warning.name === 'PageoutWarning') warnings.push(warning)
  }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  return { warnings, arrived: count => isReached(() => warnings.length >= count) }
}
