/**
 * Payloads that are made while they are paged out: chunks come one after the other from a source, and only a few pieces of the
 * payload are in memory at a time. The chunks are copied and left as they are, because a source may use their memory again.
 */

import { abortSignal } from '../chunks/arguments.js'
import { inspectChunk, isSameFamily, type Part, UINT8_ARRAY } from '../chunks/classes.js'
import { invalidArgType } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import type { ChunkClass, PayloadShape } from '../model/payload.js'
import type { Backend, Chunk, ChunkSource, CollectOptions, SignalOptions, TraceContext } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'
import { refuseAborted, unlessAborted } from '../threads/abort.js'
import { FileCollector, StagedFileCollector, SwapCollector } from './collectors.js'
import { collectBackend } from './requests.js'
import { readerOf, refuseNoSource } from './sources.js'
import { pending, traced } from './tracing.js'

/** Collects the chunks of an iterable. */
export function collect(pager: PagerCore, source: Iterable<Chunk>, options: CollectOptions | undefined): Handle<Chunk> {
  const backend = collectBackend(pager, options)
  refuseNoSource(source, [Symbol.iterator])
  const intake = new Intake(pager)
  return traced('pageout', intake.context(backend), () => {
    const collector = backend === 'swap' ? new SwapCollector(pager) : new FileCollector(pager)
    try {
      for (const chunk of source) collector.append(intake.next(chunk))
      return pager.handle(intake.shape(), backend, collector.finish(intake.shape()))
    } finally {
      collector.end()
    }
  })
}

/** Collects chunks from an asynchronous source. */
export async function collectLater(
  pager: PagerCore,
  source: ChunkSource<Chunk>,
  options: (CollectOptions & SignalOptions) | undefined,
): Promise<Handle<Chunk>> {
  const signal = abortSignal(options)
  const backend = collectBackend(pager, options)
  refuseNoSource(source, [Symbol.asyncIterator, Symbol.iterator])
  const intake = new Intake(pager)
  const step = async () => {
    refuseAborted(signal)
    const collector = backend === 'swap' ? new SwapCollector(pager) : new StagedFileCollector(pager, signal)
    try {
      for await (const chunk of unlessAbortedChunks(source, signal)) await collector.append(intake.next(chunk))
      const ticket = await collector.finish(intake.shape())
      return pager.handle(intake.shape(), backend, ticket)
    } finally {
      collector.end()
    }
  }
  return await pending(pager, 'pageout', intake.context(backend), step)
}

/** Checks the chunks of a source. */
class Intake {
  readonly #pager: PagerCore
  #chunkClass: ChunkClass | undefined
  #byteLength = 0
  #count = 0

  constructor(pager: PagerCore) {
    this.#pager = pager
  }

  /** The context of tracing channels: its length grows while chunks come. */
  context(backend: Backend): TraceContext {
    const length = () => this.#byteLength
    return {
      backend,
      get byteLength() {
        return length()
      },
    }
  }

  /** Checks the next chunk. The source may have done anything meanwhile. */
  next(chunk: unknown): Part {
    this.#pager.refuseFreed()
    const name = `source[${this.#count}]`
    const part = inspectChunk(chunk, name)
    this.#chunkClass ??= part.chunkClass
    if (!isSameFamily(part.chunkClass, this.#chunkClass)) {
      throw invalidArgType(name, `of the class of source[0], ${this.#chunkClass.name}`, chunk)
    }
    this.#count++
    this.#byteLength += part.byteLength
    return part
  }

  /** What was collected; a source without chunks makes an empty payload of bytes. */
  shape(): PayloadShape {
    this.#pager.refuseFreed()
    return { chunkClass: this.#chunkClass ?? UINT8_ARRAY, byteLength: this.#byteLength }
  }
}

/** The chunks of a source until it ends. Stopping before that, or aborting, gives the source up. */
async function* unlessAbortedChunks(
  source: ChunkSource<Chunk>,
  signal: AbortSignal | undefined,
): AsyncGenerator<unknown, void, undefined> {
  const reader = readerOf(source)
  let isAtEnd = false
  let reason: unknown
  try {
    for (;;) {
      refuseAborted(signal)
      const given = await unlessAborted(reader.next(), signal)
      isAtEnd = given === undefined
      if (!given) return
      yield given.chunk
    }
  } catch (error) {
    reason = error
    throw error
  } finally {
    if (!isAtEnd) reader.giveUp(reason)
  }
}
