/** Sources of chunks for promise collecting: read one chunk at a time, and given up at once, also while a chunk is awaited. */

import { invalidArgType } from '../model/errors.js'
import type { Chunk, ChunkSource } from '../model/types.js'

/** A source that is being read. */
export interface SourceReader {
  /** The next chunk; undefined at the end. */
  next(): Promise<{ readonly chunk: unknown } | undefined>
  /** Ends the source early, and waits for nothing. Its errors are ignored. */
  giveUp(reason: unknown): void
}

/** Refuses what no chunks can be taken from. */
export function refuseNoSource(source: unknown, ways: readonly symbol[]): void {
  const isObject = (typeof source === 'object' && source !== null) || typeof source === 'function'
  const isSource = isObject && ways.some(way => typeof (source as Record<symbol, unknown>)[way] === 'function')
  if (!isSource || ArrayBuffer.isView(source)) throw invalidArgType('source', 'an iterable of chunks', source)
}

/** Begins to read a source. */
export function readerOf(source: ChunkSource<Chunk>): SourceReader {
  if (isWebStream(source)) return webReader(source)
  if (isNodeStream(source)) return nodeReader(source)
  if (Symbol.asyncIterator in source) return iteratorReader(source[Symbol.asyncIterator]())
  return iteratorReader(source[Symbol.iterator]())
}

function isWebStream(source: object): source is ReadableStream<Chunk> {
  return 'getReader' in source && typeof source.getReader === 'function' && 'locked' in source
}

/** A Web stream. Its own iterator would wait for the pending chunk before it cancels. */
function webReader(stream: ReadableStream<Chunk>): SourceReader {
  const reader = stream.getReader()
  return {
    async next() {
      const { done, value } = await reader.read()
      if (!done) return { chunk: value }
      reader.releaseLock()
      return undefined
    },
    giveUp(reason) {
      reader.cancel(reason).catch(ignore)
      reader.releaseLock()
    },
  }
}

interface NodeStream {
  destroy(): void
  [Symbol.asyncIterator](): AsyncIterator<unknown>
}

function isNodeStream(source: object): source is NodeStream {
  const has = (name: string) => typeof (source as Record<string, unknown>)[name] === 'function'
  return Symbol.asyncIterator in source && has('destroy') && has('pipe') && has('on')
}

/** A Node stream, of whichever package. Its iterator too would wait before it destroys the stream. */
function nodeReader(stream: NodeStream): SourceReader {
  const iterator = stream[Symbol.asyncIterator]()
  return { next: () => step(iterator), giveUp: () => stream.destroy() }
}

type AnyIterator = AsyncIterator<unknown> | Iterator<unknown>

function iteratorReader(iterator: AnyIterator): SourceReader {
  /** An iterator that threw or ended is over. One with a pending `next()` is not: it may never settle. */
  let isOver = false
  return {
    async next() {
      const given = await step(iterator).catch(error => {
        isOver = true
        throw error
      })
      isOver = given === undefined
      // A value of a synchronous iterator may be a promise, and reject: the iterator itself is not over then.
      return given && { chunk: await given.chunk }
    },
    giveUp() {
      const close = async () => await iterator.return?.()
      if (!isOver) close().catch(ignore)
    },
  }
}

async function step(iterator: AnyIterator): Promise<{ readonly chunk: unknown } | undefined> {
  const given = await iterator.next()
  return given.done ? undefined : { chunk: given.value }
}

function ignore(): void {}
