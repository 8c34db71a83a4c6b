/**
 * The ES module face of `pageout`: the names of the CommonJS module, written out so that every tool finds them. There is one copy
 * of the code in a process, whether it is imported, required or both.
 *
 * @packageDocumentation
 */

// First, so that an error of the loader can be caught.
import './addon/first.mjs'

export type {
  Backend,
  BorrowOptions,
  Chunk,
  ChunkSource,
  CollectOptions,
  Controls,
  Destination,
  Detach,
  DetachOptions,
  HandleToken,
  PageoutOptions,
  PagerOptions,
  PagerStats,
  PromiseVerbs,
  Range,
  RefusedDir,
  Result,
  SharedBudget,
  SignalOptions,
  Stored,
  StreamOptions,
  Target,
  TargetOptions,
  TraceContext,
  TypedArray,
  Verbs,
} from './index.js'
export {
  Borrow,
  backend,
  borrow,
  Handle,
  MemoryBudget,
  PageoutError,
  Pager,
  pageout,
  pageoutFrom,
  pageoutWith,
  prefetch,
  read,
  readAt,
  readAtMany,
  setBackend,
  setScratchDir,
  stats,
  take,
  toReadableStream,
  trim,
  tryBorrow,
  tryPageout,
  tryPageoutFrom,
  tryPageoutWith,
  tryRead,
  tryReadAt,
  tryReadAtMany,
  tryTake,
} from './index.js'
