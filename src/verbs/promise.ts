/**
 * The verbs that do their work off the JavaScript thread, each from its checks to its end.
 *
 * Arguments are checked, and the memory that another thread will touch is out of the caller's reach, before a verb returns its
 * promise. What the addon fills is private until it is whole, so an abort can reject at once and leave the work to end by itself.
 */

import { backendOf } from '../backends/choose.js'
import { handOut, withheld } from '../backends/hand-out.js'
import { abortSignal, destined, type Ranges } from '../chunks/arguments.js'
import { listOf, type PageoutRequest, refuseChanged } from '../chunks/request.js'
import { refuseBadTarget } from '../chunks/target.js'
import { isSystemFailure, type Result, withChunks } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import { markReleased, type Payload, RELEASED } from '../model/payload.js'
import type { Chunk, PageoutOptions, SignalOptions, TargetOptions } from '../model/types.js'
import { type PagerCore, refuseBorrowed } from '../pager/core.js'
import { onAbort, refuseAborted } from '../threads/abort.js'
import { pageoutRequest, type ReadRequest } from './requests.js'
import { contextOf, isUnwatched, pending, tracedPromise } from './tracing.js'

type Signal = AbortSignal | undefined

/** What stands in the place of a target. */
type Given = Chunk | (TargetOptions<Chunk> & SignalOptions) | undefined

/** Pages chunks out; `named` holds the backend of verbs that name it themselves. */
export async function pageout(
  pager: PagerCore,
  chunks: unknown,
  options: (PageoutOptions & SignalOptions) | undefined,
  named?: { readonly backend: unknown },
): Promise<Handle<Chunk>> {
  const list = listOf(chunks)
  try {
    const signal = abortSignal(options)
    const request = pageoutRequest(pager, chunks, list, options, named)
    // Listening may run code of the caller, so it comes before the last look at the chunks and before they are taken.
    const forget = onAbort(signal, nothing)
    pager.began()
    try {
      const ticket = isUnwatched('pageout') ? store(pager, request, signal) : storeTraced(pager, request, signal)
      return pager.handle(request, request.backend, await ticket)
    } finally {
      forget()
      pager.ended()
    }
  } catch (error) {
    throw withChunks(error, list)
  }
}

function nothing(): void {}

function store(pager: PagerCore, request: PageoutRequest, signal: Signal): Promise<number> {
  pager.refuseClosed()
  refuseChanged(request)
  refuseAborted(signal)
  return backendOf(request).storeLater(pager, request, signal)
}

function storeTraced(pager: PagerCore, request: PageoutRequest, signal: Signal): Promise<number> {
  return tracedPromise('pageout', contextOf(request), () => store(pager, request, signal))
}

/** Reads what `check` finds to be right. */
export async function read(check: () => ReadRequest, given: Given, options: SignalOptions | undefined): Promise<Chunk> {
  const { target, signal } = destined(given, options)
  const { payload, ranges } = check()
  const { owner } = payload
  owner.began()
  try {
    if (!isUnwatched('read')) return await readTraced(payload, ranges, target, signal)
    return handOut(payload, await readPrivate(payload, ranges, target, signal), target)
  } catch (error) {
    throw withheld(payload, ranges.byteLength, target, error)
  } finally {
    owner.ended()
  }
}

function readPrivate(payload: Payload, ranges: Ranges, target: unknown, signal: Signal): Promise<Uint8Array> {
  payload.owner.refuseUnusable(payload)
  refuseAborted(signal)
  refuseBadTarget(payload.chunkClass, ranges.byteLength, target)
  return backendOf(payload).readLater(payload, ranges, undefined, signal)
}

function readTraced(payload: Payload, ranges: Ranges, target: unknown, signal: Signal): Promise<Chunk> {
  const { backend } = payload
  return tracedPromise('read', { byteLength: ranges.byteLength, backend }, async () =>
    handOut(payload, await readPrivate(payload, ranges, target, signal), target),
  )
}

/**
 * Reads checked ranges as bytes.
 *
 * @param into private memory of exactly their length; by default new memory
 */
export function readBytes(
  { payload, ranges }: ReadRequest,
  into: Uint8Array | undefined,
  signal: Signal,
): Promise<Uint8Array> {
  const { owner, backend } = payload
  const step = () => {
    owner.refuseUnusable(payload)
    return backendOf(payload).readLater(payload, ranges, into, signal)
  }
  return pending(owner, 'read', { byteLength: ranges.byteLength, backend }, step)
}

/** Takes the payload of a handle. */
export async function take(
  pager: PagerCore,
  handle: unknown,
  given: Given,
  options: SignalOptions | undefined,
): Promise<Chunk> {
  const { target, signal } = destined(given, options)
  const payload = pager.payload(handle)
  const { owner } = payload
  refuseBorrowed(payload)
  owner.began()
  try {
    return await (isUnwatched('take') ? takeNow(payload, target, signal) : takeTraced(payload, target, signal))
  } finally {
    owner.ended()
  }
}

async function takeNow(payload: Payload, target: unknown, signal: Signal): Promise<Chunk> {
  const { owner, chunkClass, byteLength } = payload
  owner.refuseUnusable(payload)
  refuseBorrowed(payload)
  refuseAborted(signal)
  refuseBadTarget(chunkClass, byteLength, target)
  payload.isBeingTaken = true
  try {
    const chunk = await backendOf(payload).takeLater(payload, target, signal)
    markReleased(payload)
    return chunk
  } catch (error) {
    throw withheld(payload, byteLength, target, error)
  } finally {
    payload.isBeingTaken = false
    if (payload.isReleaseDue && payload.ticket !== RELEASED) owner.release(payload)
  }
}

function takeTraced(payload: Payload, target: unknown, signal: Signal): Promise<Chunk> {
  return tracedPromise('take', contextOf(payload), () => takeNow(payload, target, signal))
}

/** Runs a verb; a failure of the system is returned, anything else rejects. */
export async function attempt<V>(verb: Promise<V>): Promise<Result<V>> {
  try {
    return { ok: true, value: await verb }
  } catch (error) {
    if (isSystemFailure(error)) return { ok: false, error }
    throw error
  }
}
