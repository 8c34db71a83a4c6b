/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The functions of `pageout`, off the JavaScript thread: the same names and arguments, promises instead of results, and
 * `{ signal }` as the last argument. Both entry points share one pager, one `Handle` and one `PageoutError`.
 *
 * @module pageout/promises
 */

// First, so that nothing else is tried where it cannot be loaded.
import './addon/load.js'
import { Pager } from './api/promise-pager.js'
import type { PromiseVerbs } from './api/verbs.js'
import type { Handle } from './model/handle.js'
import type { Chunk } from './model/types.js'
import { PROCESS_WIDE } from './pager/core.js'

export { Pager } from './api/promise-pager.js'
export type { Controls, Destination, PromiseVerbs, Verbs } from './api/verbs.js'
export { Borrow } from './borrows/borrow.js'
export { backend, prefetch, setBackend, setScratchDir, stats, toReadableStream, trim } from './index.js'
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

/** Pages chunks out of memory; resolves to a handle. See {@link PromiseVerbs.pageout}. @function */
export const pageout: PromiseVerbs['pageout'] = (chunks, options) => pager.pageout(chunks, options)
/** As {@link pageout}, with the backend named. See {@link PromiseVerbs.pageoutWith}. @function */
export const pageoutWith: PromiseVerbs['pageoutWith'] = (backend, chunks, options) =>
  pager.pageoutWith(backend, chunks, options)
/** Collects the chunks of a source into one payload. See {@link PromiseVerbs.pageoutFrom}. @function */
export const pageoutFrom: PromiseVerbs['pageoutFrom'] = (source, options) => pager.pageoutFrom(source, options)
/** Reads one range of a payload. See {@link PromiseVerbs.readAt}. @function */
export const readAt: PromiseVerbs['readAt'] = (handle, offset, length, target, options) =>
  pager.readAt(handle, offset, length, target, options)
/** Reads several ranges of a payload. See {@link PromiseVerbs.readAtMany}. @function */
export const readAtMany: PromiseVerbs['readAtMany'] = (handle, ranges, target, options) =>
  pager.readAtMany(handle, ranges, target, options)
/** Reads a whole payload, which stays out. See {@link PromiseVerbs.read}. @function */
export const read: PromiseVerbs['read'] = (handle, target, options) => pager.read(handle, target, options)
/** Reads a whole payload and frees it. See {@link PromiseVerbs.take}. @function */
export const take: PromiseVerbs['take'] = (handle, target, options) => pager.take(handle, target, options)
/** Gives access to a whole payload in memory. See {@link PromiseVerbs.borrow}. @function */
export const borrow = ((handle: Handle<Chunk>, ...rest: []) => pager.borrow(handle, ...rest)) as PromiseVerbs['borrow']
/** As {@link borrow}, with failures of the system returned. @function */
export const tryBorrow = ((handle: Handle<Chunk>, ...rest: []) =>
  pager.tryBorrow(handle, ...rest)) as PromiseVerbs['tryBorrow']
/** As {@link pageout}, with failures of the system returned. @function */
export const tryPageout: PromiseVerbs['tryPageout'] = (chunks, options) => pager.tryPageout(chunks, options)
/** As {@link pageoutWith}, with failures of the system returned. @function */
export const tryPageoutWith: PromiseVerbs['tryPageoutWith'] = (backend, chunks, options) =>
  pager.tryPageoutWith(backend, chunks, options)
/** As {@link pageoutFrom}, with failures of the system returned. @function */
export const tryPageoutFrom: PromiseVerbs['tryPageoutFrom'] = (source, options) => pager.tryPageoutFrom(source, options)
/** As {@link readAt}, with failures of the system returned. @function */
export const tryReadAt: PromiseVerbs['tryReadAt'] = (handle, offset, length, target, options) =>
  pager.tryReadAt(handle, offset, length, target, options)
/** As {@link readAtMany}, with failures of the system returned. @function */
export const tryReadAtMany: PromiseVerbs['tryReadAtMany'] = (handle, ranges, target, options) =>
  pager.tryReadAtMany(handle, ranges, target, options)
/** As {@link read}, with failures of the system returned. @function */
export const tryRead: PromiseVerbs['tryRead'] = (handle, target, options) => pager.tryRead(handle, target, options)
/** As {@link take}, with failures of the system returned. @function */
export const tryTake: PromiseVerbs['tryTake'] = (handle, target, options) => pager.tryTake(handle, target, options)
