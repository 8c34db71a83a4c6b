/** The synchronous verbs, each from its checks to its end. */

import { backendOf } from '../backends/choose.js'
import type { Destined } from '../chunks/arguments.js'
import { listOf, type PageoutRequest, refuseChanged } from '../chunks/request.js'
import { destination } from '../chunks/target.js'
import { isSystemFailure, type Result, withChunks } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import { markReleased } from '../model/payload.js'
import type { Chunk, PageoutOptions } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'
import { pageoutRequest, type ReadRequest } from './requests.js'
import { contextOf, isUnwatched, traced } from './tracing.js'

/** Pages chunks out; `named` holds the backend of verbs that name it themselves. */
export function pageout(
  pager: PagerCore,
  chunks: unknown,
  options: PageoutOptions | undefined,
  named?: { readonly backend: unknown },
): Handle<Chunk> {
  const list = listOf(chunks)
  try {
    const request = pageoutRequest(pager, { chunks, list, options, named })
    if (isUnwatched('pageout')) return store(pager, request)
    return traced('pageout', contextOf(request), () => {
      // Subscribers may have done anything.
      pager.refuseClosed()
      refuseChanged(request)
      return store(pager, request)
    })
  } catch (error) {
    throw withChunks(error, () => list)
  }
}

function store(pager: PagerCore, request: PageoutRequest): Handle<Chunk> {
  return pager.handle(request, request.backend, backendOf(request).store(pager, request))
}

/** Reads checked ranges. */
export function read({ payload, ranges }: ReadRequest, { target }: Destined): Chunk {
  const step = () => {
    payload.owner.refuseUnusable(payload)
    const { bytes, result } = destination(payload.chunkClass, ranges.byteLength, target)
    backendOf(payload).read(payload, ranges, bytes)
    return result()
  }
  return traced('read', { byteLength: ranges.byteLength, backend: payload.backend }, step)
}

/** Takes the payload of a handle. */
export function take(pager: PagerCore, handle: unknown, { target }: Destined): Chunk {
  const payload = pager.payload(handle)
  const step = () => {
    payload.owner.refuseUnusable(payload)
    const chunk = backendOf(payload).take(payload, target)
    markReleased(payload)
    return chunk
  }
  return traced('take', contextOf(payload), step)
}

/** Runs a verb; a failure of the system is returned, anything else is thrown. */
export function attempt<V>(verb: () => V): Result<V> {
  try {
    return { ok: true, value: verb() }
  } catch (error) {
    if (isSystemFailure(error)) return { ok: false, error }
    throw error
  }
}
