/**
 * The verbs that do their work off the JavaScript thread.
 *
 * Arguments are checked, and the memory that another thread will touch is out of the caller's reach, before a verb gives
 * its promise. What the addon fills is private until it is whole, so an abort can reject at once and leave the work to
 * end by itself.
 */

import type { StopRef } from '../index.d.ts'
import { native } from './addon.js'
import { isEmptied, type Part } from './chunk.js'
import type { Engine, Requested } from './engine.js'
import { abortError, fromAddon, isSystemFailure, type Result } from './errors.js'
import type { Handle, Payload } from './handle.js'
import { copyRanges } from './landing.js'
import { onAbort, run, unlessAborted } from './lane.js'
import { fresh } from './memory.js'
import { type Outgoing, privateCopies } from './outgoing.js'
import { isAborted } from './signal.js'
import { isSmall, NEVER } from './small-jobs.js'
import { readKept, takeKept } from './sync.js'
import { aboutOf, tracedPromise } from './tracing.js'
import type { Chunk } from './types.js'

type Signal = AbortSignal | undefined

/** Puts checked chunks out. */
export function pageout<C extends Chunk>(engine: Engine, outgoing: Outgoing, signal: Signal): Promise<Handle<C>> {
  const step = () => putOut<C>(engine, outgoing, signal)
  return engine.pending(() => tracedPromise('pageout', aboutOf(outgoing), step))
}

async function putOut<C extends Chunk>(engine: Engine, outgoing: Outgoing, signal: Signal): Promise<Handle<C>> {
  const stop = signal ? native.makeStop() : NEVER
  // Listening may run code of the caller, so it comes before the last look at the chunks and before they are taken.
  const forget = onAbort(signal, () => native.stop(stop))
  try {
    engine.refuseChanged(outgoing)
    if (isAborted(signal)) throw abortError(signal)
    if (outgoing.backend === 'swap') return engine.keep(outgoing)
    const buffers = privateCopies(outgoing)
    const ticket = await store(engine, buffers, outgoing.byteLength, signal, stop).catch(error => {
      throw withChunks(error, outgoing.parts, buffers)
    })
    for (const buffer of buffers) engine.spares.giveBack(buffer)
    return engine.handle(outgoing, ticket)
  } finally {
    forget()
  }
}

/** Writes memory that nobody else knows out. After an abort nothing is out, however far it was. */
async function store(
  engine: Engine,
  buffers: readonly ArrayBuffer[],
  byteLength: number,
  signal: Signal,
  stop: StopRef,
): Promise<number> {
  if (!signal && isSmall(byteLength)) return await fromAddon(engine.smallPageouts.do({ buffers, byteLength }))
  try {
    const ticket = await run(() => fromAddon(native.pageoutAsync(engine.ref, viewsOf(buffers), stop)), signal)
    if (!isAborted(signal)) return ticket
    native.free(engine.ref, ticket)
  } catch (error) {
    if (!isAborted(signal)) throw error
  }
  throw abortError(signal as AbortSignal)
}

function viewsOf(buffers: readonly ArrayBuffer[]): Uint8Array[] {
  return buffers.map(buffer => new Uint8Array(buffer))
}

/** Adds to an error the chunks that did not go out: the caller's own where they still are, else their memory again. */
function withChunks(error: unknown, parts: readonly Part[], buffers: readonly ArrayBuffer[]): unknown {
  const chunks = parts.map(({ kind, chunk, buffer, byteLength }, position) => {
    const ours = buffers[position]
    return ours && byteLength > 0 && isEmptied(buffer) ? kind.over(ours, 0, byteLength) : chunk
  })
  return Object.defineProperty(error as object, 'chunks', { value: chunks, configurable: true, writable: true })
}

/** Reads checked ranges. */
export function read<C extends Chunk>(
  engine: Engine,
  requested: Requested,
  target: C | undefined,
  signal: Signal,
): Promise<C> {
  const { payload, request } = requested
  const about = { byteLength: request.byteLength, backend: payload.backend }
  const step = () => readChunk(engine, requested, target, signal)
  return engine.pending(() => tracedPromise('read', about, step))
}

/**
 * Reads checked ranges as bytes.
 *
 * @param into memory that nobody else knows, exactly as long; by default new memory
 */
export function readBytes(
  engine: Engine,
  requested: Requested,
  into: Uint8Array | undefined,
  signal: Signal,
): Promise<Uint8Array> {
  const { payload, request } = requested
  const about = { byteLength: request.byteLength, backend: payload.backend }
  const step = async () => {
    engine.refuseUnusable(payload)
    const bytes = await unlessAborted(fill(engine, requested, into, signal), signal)
    return into ?? new Uint8Array(bytes)
  }
  return engine.pending(() => tracedPromise('read', about, step))
}

async function readChunk<C extends Chunk>(
  engine: Engine,
  requested: Requested,
  target: C | undefined,
  signal: Signal,
): Promise<C> {
  const { payload, request } = requested
  engine.refuseUnusable(payload)
  if (isAborted(signal)) throw abortError(signal)
  const kept = engine.keptOf(payload)
  // Now, and not when a job has its turn: a take gives this very memory to the caller.
  if (kept) return readKept(engine, payload, kept, request, target)
  if (target !== undefined) engine.landing(payload.kind, request.byteLength, target)
  const buffer = await unlessAborted(fill(engine, requested, undefined, signal), signal)
  return handOut(engine, payload, buffer, request.byteLength, target)
}

/** Fills memory that nobody else knows, `into` or a new buffer, with what was requested. */
async function fill(
  engine: Engine,
  { payload, request }: Requested,
  into: Uint8Array | undefined,
  signal: Signal,
): Promise<ArrayBuffer> {
  const { bytes: ranges, byteLength } = request
  const kept = engine.keptOf(payload)
  if (kept) {
    const view = into ?? new Uint8Array(engine.spares.take(byteLength) ?? fresh(byteLength))
    copyRanges(kept, ranges, view)
    native.countRead(engine.ref, byteLength)
    return view.buffer as ArrayBuffer
  }
  return await shared(engine, payload, ticket => {
    if (!into && isSmall(byteLength)) {
      const spare = engine.spares.take(byteLength)
      return fromAddon(engine.smallReads.do({ ticket, ranges, byteLength, isPeek: false, spare }))
    }
    const readInto = (view: Uint8Array) => native.readAsync(engine.ref, ticket, ranges, view)
    return filled(engine, byteLength, into, readInto, signal)
  })
}

/** Lets a job fill memory that nobody else knows. */
async function filled(
  engine: Engine,
  byteLength: number,
  into: Uint8Array | undefined,
  job: (into: Uint8Array) => Promise<void>,
  signal: Signal,
): Promise<ArrayBuffer> {
  // A spare buffer is taken now, while there is one; fresh memory only has what is being filled, and not what waits.
  const spare = into ? undefined : engine.spares.take(byteLength)
  return await run(async () => {
    const view = into ?? new Uint8Array(spare ?? fresh(byteLength))
    await fromAddon(job(view))
    return view.buffer as ArrayBuffer
  }, signal)
}

/** The chunk that is in a buffer, or the caller's target with a copy of it. */
function handOut<C extends Chunk>(
  engine: Engine,
  { kind }: Payload,
  buffer: ArrayBuffer,
  byteLength: number,
  target: C | undefined,
): C {
  if (target === undefined) return kind.over(buffer, 0, byteLength) as C
  // The target may have been resized or detached meanwhile, so it is looked at again.
  const landing = engine.landing(kind, byteLength, target)
  landing.bytes.set(new Uint8Array(buffer))
  engine.spares.giveBack(buffer)
  return landing.result()
}

/** Takes the payload of a handle. */
export function take<C extends Chunk>(
  engine: Engine,
  handle: Handle<C>,
  target: C | undefined,
  signal: Signal,
): Promise<C> {
  const payload = engine.payload(handle)
  const step = () => takeBack(engine, payload, target, signal)
  return engine.pending(() => tracedPromise('take', aboutOf(payload), step))
}

async function takeBack<C extends Chunk>(
  engine: Engine,
  payload: Payload,
  target: C | undefined,
  signal: Signal,
): Promise<C> {
  engine.refuseUnusable(payload)
  if (isAborted(signal)) throw abortError(signal)
  const kept = engine.keptOf(payload)
  if (kept) return takeKept(engine, payload, kept, target)
  const { kind, byteLength } = payload
  if (target !== undefined) engine.landing(kind, byteLength, target)
  payload.isBeingTaken = true
  try {
    const whole = shared(engine, payload, ticket => {
      if (isSmall(byteLength)) {
        const ranges = Float64Array.of(0, byteLength)
        const spare = engine.spares.take(byteLength)
        return fromAddon(engine.smallReads.do({ ticket, ranges, byteLength, isPeek: true, spare }))
      }
      const peek = (view: Uint8Array) => native.peekAsync(engine.ref, ticket, view)
      return filled(engine, byteLength, undefined, peek, signal)
    })
    const chunk = handOut(engine, payload, await unlessAborted(whole, signal), byteLength, target)
    engine.finishTake(payload)
    return chunk
  } finally {
    payload.isBeingTaken = false
  }
}

/** Runs a job with a ticket of its own, so that the payload is there until it ends, whatever becomes of the handle. */
async function shared<T>(engine: Engine, payload: Payload, job: (ticket: number) => Promise<T>): Promise<T> {
  const ticket = native.share(engine.ref, payload.ticket)
  try {
    return await job(ticket)
  } catch (error) {
    // Closing a pager at once frees the tickets of what still waits: that is no mistake of ours.
    engine.refuseFreed()
    throw error
  } finally {
    native.free(engine.ref, ticket)
  }
}

/** Runs a verb; a failure of the system comes back as a value, anything else rejects. */
export async function attempt<V>(verb: Promise<V>): Promise<Result<V>> {
  try {
    return { ok: true, value: await verb }
  } catch (error) {
    if (isSystemFailure(error)) return { ok: false, error }
    throw error
  }
}
