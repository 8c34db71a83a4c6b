/**
 * The verbs that do their work off the JavaScript thread.
 *
 * Arguments are checked, and the memory that another thread will touch is out of the caller's reach, before a verb gives
 * its promise. What the addon fills is private until it is whole, so an abort can reject at once and leave the work to
 * end by itself.
 */

import * as native from '../index.js'
import { isEmptied, type Part } from './chunk.js'
import { type Engine, fromAddon, type Outgoing, privateCopies, type Requested } from './engine.js'
import { abortError, isSystemFailure, type Result } from './errors.js'
import type { Handle, Payload } from './handle.js'
import { run, unlessAborted } from './lane.js'
import { fresh } from './memory.js'
import { isAborted } from './signal.js'
import { readKept, takeKept } from './sync.js'
import { tracedPromise } from './tracing.js'
import type { Chunk } from './types.js'

type Signal = AbortSignal | undefined

/** Puts checked chunks out. Once the job has started, an abort comes too late: the payload goes out. */
export async function pageout<C extends Chunk>(engine: Engine, outgoing: Outgoing, signal: Signal): Promise<Handle<C>> {
  return await tracedPromise('pageout', outgoing.byteLength, outgoing.backend, () => putOut(engine, outgoing, signal))
}

async function putOut<C extends Chunk>(engine: Engine, outgoing: Outgoing, signal: Signal): Promise<Handle<C>> {
  engine.refuseChanged(outgoing)
  if (isAborted(signal)) throw abortError(signal)
  if (outgoing.backend === 'swap') return engine.keep(outgoing)
  const buffers = privateCopies(outgoing)
  const ticket = await store(engine, outgoing.parts, buffers, signal)
  for (const buffer of buffers) engine.spares.giveBack(buffer)
  return engine.handle(outgoing, ticket)
}

/** Writes the memory of chunks out; an error carries the chunks. */
async function store(
  engine: Engine,
  parts: readonly Part[],
  buffers: readonly ArrayBuffer[],
  signal: Signal,
): Promise<number> {
  try {
    const views = buffers.map(buffer => new Uint8Array(buffer))
    return await run(() => fromAddon(native.pageoutAsync(engine.ref, views)), signal)
  } catch (error) {
    throw withChunks(error, parts, buffers)
  }
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
export async function read<C extends Chunk>(
  engine: Engine,
  requested: Requested,
  target: C | undefined,
  signal: Signal,
): Promise<C> {
  const { payload, request } = requested
  const step = () => readRanges(engine, requested, target, signal)
  return await tracedPromise('read', request.byteLength, payload.backend, step)
}

async function readRanges<C extends Chunk>(
  engine: Engine,
  { payload, request }: Requested,
  target: C | undefined,
  signal: Signal,
): Promise<C> {
  engine.refuseUnusable(payload)
  const kept = engine.keptOf(payload)
  if (kept) {
    if (isAborted(signal)) throw abortError(signal)
    // Now, and not when a job has its turn: a take gives this very memory to the caller.
    return readKept(engine, payload, kept, request, target)
  }
  const { bytes, byteLength } = request
  return await shared(engine, payload, ticket =>
    whole<C>(engine, payload.kind, byteLength, target, signal, into =>
      fromAddon(native.readAsync(engine.ref, ticket, bytes, into)),
    ),
  )
}

/** Takes the payload of a handle. */
export async function take<C extends Chunk>(
  engine: Engine,
  handle: Handle<C>,
  target: C | undefined,
  signal: Signal,
): Promise<C> {
  const payload = engine.payload(handle)
  const step = () => takeBack(engine, payload, target, signal)
  return await tracedPromise('take', payload.byteLength, payload.backend, step)
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
  payload.isBeingTaken = true
  try {
    const result = await shared(engine, payload, ticket => {
      const peek = (into: Uint8Array) => fromAddon(native.peekAsync(engine.ref, ticket, into))
      return whole<C>(engine, kind, byteLength, target, signal, peek)
    })
    engine.finishTake(payload)
    return result
  } finally {
    payload.isBeingTaken = false
  }
}

/** Runs a job with a ticket of its own, so that the payload is there until it ends, whatever becomes of the handle. */
async function shared<T>(engine: Engine, payload: Payload, job: (ticket: number) => Promise<T>): Promise<T> {
  const ticket = native.share(engine.ref, payload.ticket)
  try {
    return await job(ticket)
  } finally {
    native.free(engine.ref, ticket)
  }
}

/** Lets `fill` fill private memory, and hands it out, or copies it to the caller's target, once it is whole. */
async function whole<C extends Chunk>(
  engine: Engine,
  kind: Payload['kind'],
  byteLength: number,
  target: C | undefined,
  signal: Signal,
  fill: (into: Uint8Array) => Promise<void>,
): Promise<C> {
  if (target !== undefined) engine.landing(kind, byteLength, target)
  if (isAborted(signal)) throw abortError(signal)
  // A spare buffer is taken now, while there is one; fresh memory only has what is being filled, and not what waits.
  const spare = engine.spares.take(byteLength)
  const job = run(async () => {
    const buffer = spare ?? fresh(byteLength)
    await fill(new Uint8Array(buffer))
    return buffer
  }, signal)
  const buffer = await unlessAborted(job, signal)
  if (target === undefined) return kind.over(buffer, 0, byteLength) as C
  // The target may have been resized or detached meanwhile, so it is looked at again.
  const landing = engine.landing(kind, byteLength, target)
  landing.bytes.set(new Uint8Array(buffer))
  engine.spares.giveBack(buffer)
  return landing.result()
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
