/**
 * Payloads that are made while they go out: chunks come one after the other from a source, and only a few pieces of the
 * payload are in memory at a time. The chunks are copied and left as they are, because a source may use their memory again.
 */

import { inspectChunk, type Kind, kindNamed, type Part } from './chunk.js'
import type { Engine } from './engine.js'
import { abortError, invalidArgType } from './errors.js'
import type { Handle } from './handle.js'
import { unlessAborted } from './lane.js'
import type { Made } from './outgoing.js'
import { isAborted } from './signal.js'
import { Direct, Kept, Staged } from './sinks.js'
import { traced, tracedPromise } from './tracing.js'
import type { Backend, Chunk, ChunkSource, CollectOptions, TraceContext } from './types.js'

type Signal = AbortSignal | undefined

/** Collects the chunks of a source that has them at hand. */
export function collect<C extends Chunk>(
  engine: Engine,
  source: Iterable<C>,
  options: CollectOptions | undefined,
): Handle<C> {
  const backend = engine.collecting(options)
  refuseNoSource(source, [Symbol.iterator])
  const intake = new Intake(engine)
  return traced('pageout', intake.about(backend), () => {
    const sink = backend === 'swap' ? new Kept<C>(engine) : new Direct<C>(engine)
    try {
      for (const chunk of source) sink.append(intake.next(chunk))
      return sink.finish(intake.made())
    } finally {
      sink.end()
    }
  })
}

/** Collects the chunks of a source that has them one day. */
export function collectAsync<C extends Chunk>(
  engine: Engine,
  source: ChunkSource<C>,
  options: CollectOptions | undefined,
  signal: Signal,
): Promise<Handle<C>> {
  const backend = engine.collecting(options)
  refuseNoSource(source, [Symbol.asyncIterator, Symbol.iterator])
  const intake = new Intake(engine)
  const step = async () => {
    if (isAborted(signal)) throw abortError(signal)
    const sink = backend === 'swap' ? new Kept<C>(engine) : new Staged<C>(engine, signal)
    try {
      for await (const chunk of unlessEnded(source, signal)) await sink.append(intake.next(chunk))
      return await sink.finish(intake.made())
    } finally {
      sink.end()
    }
  }
  return engine.pending(() => tracedPromise('pageout', intake.about(backend), step))
}

function refuseNoSource(source: unknown, ways: readonly symbol[]): void {
  const isObject = (typeof source === 'object' && source !== null) || typeof source === 'function'
  const isSource = isObject && ways.some(way => typeof (source as Record<symbol, unknown>)[way] === 'function')
  if (!isSource || ArrayBuffer.isView(source)) throw invalidArgType('source', 'an iterable of chunks', source)
}

/** Checks what a source gives. */
class Intake {
  readonly #engine: Engine
  #kind: Kind | undefined
  #byteLength = 0
  #count = 0

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** What tracing channels tell: the length grows while chunks come. */
  about(backend: Backend): TraceContext {
    const length = () => this.#byteLength
    return {
      backend,
      get byteLength() {
        return length()
      },
    }
  }

  /** Checks the next chunk. The source, which gave it, may have done anything meanwhile. */
  next(chunk: unknown): Part {
    this.#engine.refuseFreed()
    const name = `source[${this.#count}]`
    const part = inspectChunk(chunk, name)
    this.#kind ??= part.kind
    if (part.kind !== this.#kind) throw invalidArgType(name, `of the class of source[0], ${this.#kind.name}`, chunk)
    this.#count++
    this.#byteLength += part.byteLength
    return part
  }

  /** What has come; a source that gave nothing gave no bytes. */
  made(): Made {
    this.#engine.refuseFreed()
    return { kind: this.#kind ?? (kindNamed('Uint8Array') as Kind), byteLength: this.#byteLength }
  }
}

/** The chunks of a source until it ends, or until an abort, which does not wait for the source. */
async function* unlessEnded<C extends Chunk>(
  source: ChunkSource<C>,
  signal: Signal,
): AsyncGenerator<C, void, undefined> {
  const iterator = iteratorOf(source)
  let isOver = false
  const next = async () => {
    isOver = true
    const step = await iterator.next()
    if (step.done) return undefined
    const chunk = await step.value
    isOver = false
    return { chunk }
  }
  try {
    for (;;) {
      if (isAborted(signal)) throw abortError(signal)
      const given = await unlessAborted(next(), signal)
      if (!given) return
      yield given.chunk
    }
  } finally {
    if (!isOver || isAborted(signal)) closeSoon(iterator)
  }
}

type AnyIterator<C> = AsyncIterator<C> | Iterator<C | PromiseLike<C>>

function iteratorOf<C extends Chunk>(source: ChunkSource<C>): AnyIterator<C> {
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]()
  return source[Symbol.iterator]()
}

/** Tells a source that nobody wants more of it; how it takes that is its own affair. */
function closeSoon(iterator: AnyIterator<unknown>): void {
  const close = async () => await iterator.return?.()
  close().catch(() => {})
}
