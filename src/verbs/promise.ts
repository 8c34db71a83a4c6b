/**
 * The verbs that do their work off the JavaScript thread, each from its checks to its end.
 *
 * Arguments are checked, and the memory that another thread will touch is out of the caller's reach, before a verb returns its
 * promise. What the addon fills is private until it is whole, so an abort can reject at once and leave the work to end by itself.
 */

import { backendOf } from '../backends/choose.js'
import { handOut } from '../backends/hand-out.js'
import { abortSignal, type Destined } from '../chunks/arguments.js'
import { listOf, refuseChanged } from '../chunks/request.js'
import { refuseBadTarget } from '../chunks/target.js'
import { isSystemFailure, type Result, withChunks } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import { markReleased, RELEASED } from '../model/payload.js'
import type { Chunk, PageoutOptions, SignalOptions } from '../model/types.js'
import { type PagerCore, refuseBorrowed } from '../pager/core.js'
import { onAbort, refuseAborted } from '../threads/abort.js'
import { pageoutRequest, type ReadRequest } from './requests.js'
import { contextOf, isUnwatched, tracedPromise } from './tracing.js'

type Signal = AbortSignal | undefined

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
    const step = async () => {
      // Listening may run code of the caller, so it comes before the last look at the chunks and before they are taken.
      const forget = onAbort(signal, () => {})
      try {
        pager.refuseClosed()
        refuseChanged(request)
        refuseAborted(signal)
        const ticket = await backendOf(request).storeLater(pager, request, signal)
        return pager.handle(request, request.backend, ticket)
      } finally {
        forget()
      }
    }
    return await pager.pending(() => tracedPromise('pageout', contextOf(request), step))
  } catch (error) {
    throw withChunks(error, list)
  }
}

/** Reads checked ranges. */
export function read({ payload, ranges }: ReadRequest, { target, signal }: Destined): Promise<Chunk> {
  const { owner, backend, chunkClass } = payload
  const step = async () => {
    owner.refuseUnusable(payload)
    refuseAborted(signal)
    refuseBadTarget(chunkClass, ranges.byteLength, target)
    return handOut(payload, await backendOf(payload).readLater(payload, ranges, undefined, signal), target)
  }
  if (isUnwatched('read')) return owner.pending(step)
  return owner.pending(() => tracedPromise('read', { byteLength: ranges.byteLength, backend }, step))
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
  const step = async () => {
    owner.refuseUnusable(payload)
    return await backendOf(payload).readLater(payload, ranges, into, signal)
  }
  return owner.pending(() => tracedPromise('read', { byteLength: ranges.byteLength, backend }, step))
}

/** Takes the payload of a handle. */
export function take(pager: PagerCore, handle: unknown, { target, signal }: Destined): Promise<Chunk> {
  const payload = pager.payload(handle)
  const { owner, chunkClass, byteLength } = payload
  refuseBorrowed(payload)
  const step = async () => {
    owner.refuseUnusable(payload)
    refuseBorrowed(payload)
    refuseAborted(signal)
    refuseBadTarget(chunkClass, byteLength, target)
    payload.isBeingTaken = true
    try {
      const chunk = await backendOf(payload).takeLater(payload, target, signal)
      markReleased(payload)
      return chunk
    } finally {
      payload.isBeingTaken = false
      if (payload.isReleaseDue && payload.ticket !== RELEASED) owner.release(payload)
    }
  }
  if (isUnwatched('take')) return owner.pending(step)
  return owner.pending(() => tracedPromise('take', contextOf(payload), step))
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
