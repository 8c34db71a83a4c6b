/** The verbs that have done their work when they return. */

import { native } from './addon.js'
import type { Request } from './arguments.js'
import { isEmptied, move } from './chunk.js'
import type { Engine, Requested } from './engine.js'
import { guarded, isSystemFailure, type Result } from './errors.js'
import { type Handle, markReleased, type Payload } from './handle.js'
import { copyRanges } from './landing.js'
import { type Outgoing, readableBytes } from './outgoing.js'
import { aboutOf, traced } from './tracing.js'
import type { Chunk } from './types.js'

/** Puts checked chunks out. */
export function pageout<C extends Chunk>(engine: Engine, outgoing: Outgoing): Handle<C> {
  return traced('pageout', aboutOf(outgoing), () => putOut(engine, outgoing))
}

function putOut<C extends Chunk>(engine: Engine, outgoing: Outgoing): Handle<C> {
  engine.refuseChanged(outgoing)
  if (outgoing.backend === 'swap') return engine.keep(outgoing)
  const views = outgoing.parts.map(readableBytes)
  const [only] = views.length === 1 ? views : []
  const ticket = guarded(() => (only ? native.pageoutOne(engine.ref, only) : native.pageout(engine.ref, views)))
  giveBack(engine, outgoing)
  return engine.handle(outgoing, ticket)
}

/** Gives back the memory of chunks that are out, as far as they can be detached. */
function giveBack(engine: Engine, { parts, detach }: Outgoing): void {
  if (detach === 'never') return
  for (const part of parts) {
    // A chunk that was named twice is gone the second time.
    const moved = part.isWhole && !isEmptied(part.buffer) ? move(part.buffer as ArrayBuffer) : undefined
    if (moved) engine.spares.giveBack(moved)
  }
}

/** Reads checked ranges. */
export function read<C extends Chunk>(engine: Engine, requested: Requested, target: C | undefined): C {
  const { payload, request } = requested
  const about = { byteLength: request.byteLength, backend: payload.backend }
  return traced('read', about, () => readRanges(engine, requested, target))
}

function readRanges<C extends Chunk>(engine: Engine, { payload, request }: Requested, target: C | undefined): C {
  engine.refuseUnusable(payload)
  const kept = engine.keptOf(payload)
  if (kept) return readKept(engine, payload, kept, request, target)
  const { bytes, byteLength } = request
  const landing = engine.landing<C>(payload.kind, byteLength, target)
  const [offset = 0] = bytes
  guarded(() => {
    if (bytes.length === 2) native.read(engine.ref, payload.ticket, offset, landing.bytes)
    else native.readMany(engine.ref, payload.ticket, bytes, landing.bytes)
  })
  return landing.result()
}

/** Reads a payload of the swap backend. */
export function readKept<C extends Chunk>(
  engine: Engine,
  payload: Payload,
  kept: readonly ArrayBuffer[],
  { bytes, byteLength }: Request,
  target: C | undefined,
): C {
  const landing = engine.landing<C>(payload.kind, byteLength, target)
  copyRanges(kept, bytes, landing.bytes)
  native.countRead(engine.ref, byteLength)
  return landing.result()
}

/** Takes the payload of a handle. */
export function take<C extends Chunk>(engine: Engine, handle: Handle<C>, target: C | undefined): C {
  const payload = engine.payload(handle)
  return traced('take', aboutOf(payload), () => takeBack(engine, payload, target))
}

function takeBack<C extends Chunk>(engine: Engine, payload: Payload, target: C | undefined): C {
  engine.refuseUnusable(payload)
  const kept = engine.keptOf(payload)
  if (kept) return takeKept(engine, payload, kept, target)
  const landing = engine.landing<C>(payload.kind, payload.byteLength, target)
  guarded(() => native.take(engine.ref, payload.ticket, landing.bytes))
  markReleased(payload)
  return landing.result()
}

/** Takes a payload of the swap backend; one that is a single piece of memory is that memory itself. */
export function takeKept<C extends Chunk>(
  engine: Engine,
  payload: Payload,
  kept: readonly ArrayBuffer[],
  target: C | undefined,
): C {
  const [only] = kept.length === 1 && target === undefined ? kept : []
  const landing = only ? undefined : engine.landing<C>(payload.kind, payload.byteLength, target)
  if (landing) copyRanges(kept, [0, payload.byteLength], landing.bytes)
  engine.finishTake(payload, only)
  return landing ? landing.result() : (payload.kind.over(only as ArrayBuffer, 0, payload.byteLength) as C)
}

/** Runs a verb; a failure of the system comes back as a value, a wrong argument is thrown. */
export function attempt<V>(verb: () => V): Result<V> {
  try {
    return { ok: true, value: verb() }
  } catch (error) {
    if (isSystemFailure(error)) return { ok: false, error }
    throw error
  }
}
