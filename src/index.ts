/// <reference lib="esnext.disposable" preserve="true" />
/**
 * An explicit pager for cold data: page typed arrays out of memory now, read ranges of them later, or take the whole back.
 * These functions are the methods of one {@link Pager} that the whole process shares, and do their work before they return; they
 * work with the handles of any pager. `pageout/promises` has the same functions off the JavaScript thread.
 *
 * @module pageout
 */

// First, so that nothing else is tried where it cannot be loaded.
import './addon/load.js'
import { Pager } from './api/pager.js'
import type { Verbs } from './api/verbs.js'
import type { Handle } from './model/handle.js'
import type { Chunk } from './model/types.js'
import { PROCESS_WIDE, setProcessScratchDir } from './pager/core.js'

export { Pager } from './api/pager.js'
export type { Controls, Destination, PromiseVerbs, Verbs } from './api/verbs.js'
export { Borrow } from './borrows/borrow.js'
export { PageoutError, type RefusedDir, type Result } from './model/errors.js'
export { Handle } from './model/handle.js'
export type {
  Backend,
  BorrowOptions,
  Chunk,
  ChunkSource,
  CollectOptions,
  Detach,
  DetachOptions,
  HandleToken,
  PageoutOptions,
  PagerOptions,
  PagerStats,
  Range,
  SharedBudget,
  SignalOptions,
  Stored,
  StreamOptions,
  Target,
  TargetOptions,
  TraceContext,
  TypedArray,
} from './model/types.js'
export { MemoryBudget } from './pager/memory-budget.js'

const pager = new Pager(PROCESS_WIDE)

/** Pages chunks out of memory, and returns a handle. See {@link Verbs.pageout}. @function */
export const pageout: Verbs['pageout'] = (chunks, options) => pager.pageout(chunks, options)
/** As {@link pageout}, with the backend named. See {@link Verbs.pageoutWith}. @function */
export const pageoutWith: Verbs['pageoutWith'] = (backend, chunks, options) =>
  pager.pageoutWith(backend, chunks, options)
/** Collects the chunks of an iterable into one payload. See {@link Verbs.pageoutFrom}. @function */
export const pageoutFrom: Verbs['pageoutFrom'] = (source, options) => pager.pageoutFrom(source, options)
/** Reads one range of a payload. See {@link Verbs.readAt}. @function */
export const readAt: Verbs['readAt'] = (handle, offset, length, target) => pager.readAt(handle, offset, length, target)
/** Reads several ranges of a payload. See {@link Verbs.readAtMany}. @function */
export const readAtMany: Verbs['readAtMany'] = (handle, ranges, target) => pager.readAtMany(handle, ranges, target)
/** Reads a whole payload, which stays out. See {@link Verbs.read}. @function */
export const read: Verbs['read'] = (handle, target) => pager.read(handle, target)
/** Reads a whole payload and frees it. See {@link Verbs.take}. @function */
export const take: Verbs['take'] = (handle, target) => pager.take(handle, target)
/** Gives access to a whole payload in memory. See {@link Verbs.borrow}. @function */
export const borrow = ((handle: Handle<Chunk>, ...rest: []) => pager.borrow(handle, ...rest)) as Verbs['borrow']
/** As {@link borrow}, with failures of the system returned. @function */
export const tryBorrow = ((handle: Handle<Chunk>, ...rest: []) =>
  pager.tryBorrow(handle, ...rest)) as Verbs['tryBorrow']
/** As {@link pageout}, with failures of the system returned. @function */
export const tryPageout: Verbs['tryPageout'] = (chunks, options) => pager.tryPageout(chunks, options)
/** As {@link pageoutWith}, with failures of the system returned. @function */
export const tryPageoutWith: Verbs['tryPageoutWith'] = (backend, chunks, options) =>
  pager.tryPageoutWith(backend, chunks, options)
/** As {@link pageoutFrom}, with failures of the system returned. @function */
export const tryPageoutFrom: Verbs['tryPageoutFrom'] = (source, options) => pager.tryPageoutFrom(source, options)
/** As {@link readAt}, with failures of the system returned. @function */
export const tryReadAt: Verbs['tryReadAt'] = (handle, offset, length, target) =>
  pager.tryReadAt(handle, offset, length, target)
/** As {@link readAtMany}, with failures of the system returned. @function */
export const tryReadAtMany: Verbs['tryReadAtMany'] = (handle, ranges, target) =>
  pager.tryReadAtMany(handle, ranges, target)
/** As {@link read}, with failures of the system returned. @function */
export const tryRead: Verbs['tryRead'] = (handle, target) => pager.tryRead(handle, target)
/** As {@link take}, with failures of the system returned. @function */
export const tryTake: Verbs['tryTake'] = (handle, target) => pager.tryTake(handle, target)
/** The bytes of a payload as a Web stream. See {@link Verbs.toReadableStream}. @function */
export const toReadableStream: Verbs['toReadableStream'] = (handle, options) => pager.toReadableStream(handle, options)
/** Starts bringing ranges into memory: a hint. See {@link Verbs.prefetch}. @function */
export const prefetch: Verbs['prefetch'] = (handle, ranges) => pager.prefetch(handle, ranges)
/** The backend of pageouts that name none. See {@link Verbs.backend}. @function */
export const backend: Verbs['backend'] = () => pager.backend()
/** Chooses the backend of later pageouts, in all threads. See {@link Verbs.setBackend}. @function */
export const setBackend: Verbs['setBackend'] = backend => pager.setBackend(backend)
/** What the process-wide pager holds and has done. See {@link Verbs.stats}. @function */
export const stats: Verbs['stats'] = () => pager.stats()
/** Gives back what no payload uses. See {@link Verbs.trim}. @function */
export const trim: Verbs['trim'] = () => pager.trim()

/**
 * Sets the directory for scratch files of the process-wide pager, creating it with its parents. Where it already is, nothing
 * happens.
 *
 * @throws ERR_PAGEOUT_SCRATCH_DIR when it cannot serve, after which another call may succeed, or when another directory
 * is in use already; ERR_PAGEOUT_RAM_BACKED when it lives in memory
 * @example
 * setScratchDir('/mnt/scratch')
 */
export function setScratchDir(dir: string): void {
  setProcessScratchDir(dir)
}
