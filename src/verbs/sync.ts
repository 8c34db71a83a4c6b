/** The synchronous verbs, each from its checks to its end. */

import { backendOf } from '../backends/choose.js'
import type { Destined, Ranges } from '../chunks/arguments.js'
import { listOf, type PageoutRequest, refuseChanged } from '../chunks/request.js'
import { clear, destination, filled } from '../chunks/target.js'
import { isSystemFailure, type Result, withChunks } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import { markReleased, type Payload } from '../model/payload.js'
import type { Chunk, PageoutOptions } from '../model/types.js'
import { type PagerCore, refuseBorrowed } from '../pager/core.js'
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
    const request = pageoutRequest(pager, chunks, list, options, named)
    return isUnwatched('pageout') ? store(pager, request) : storeTraced(pager, request)
  } catch (error) {
    throw withChunks(error, list)
  }
}

function storeTraced(pager: PagerCore, request: PageoutRequest): Handle<Chunk> {
  return traced('pageout', contextOf(request), () => {
    // Subscribers may have done anything.
    pager.refuseClosed()
    refuseChanged(request)
    return store(pager, request)
  })
}

function store(pager: PagerCore, request: PageoutRequest): Handle<Chunk> {
  return pager.handle(request, request.backend, backendOf(request).store(pager, request))
}

/** Reads checked ranges. */
export function read({ payload, ranges }: ReadRequest, { target }: Destined): Chunk {
  return isUnwatched('read') ? readNow(payload, ranges, target) : readTraced(payload, ranges, target)
}

function readTraced(payload: Payload, ranges: Ranges, target: unknown): Chunk {
  const context = { byteLength: ranges.byteLength, backend: payload.backend }
  return traced('read', context, () => {
    // Subscribers may have done anything.
    payload.owner.refuseUnusable(payload)
    return readNow(payload, ranges, target)
  })
}

function readNow(payload: Payload, ranges: Ranges, target: unknown): Chunk {
  const goal = destination(payload.chunkClass, ranges.byteLength, target)
  try {
    backendOf(payload).read(payload, ranges, goal.view)
  } catch (error) {
    clear(goal)
    throw error
  }
  return filled(goal)
}

/** Takes the payload of a handle. */
export function take(pager: PagerCore, handle: unknown, { target }: Destined): Chunk {
  const payload = pager.payload(handle)
  refuseBorrowed(payload)
  return isUnwatched('take') ? takeNow(payload, target) : takeTraced(payload, target)
}

function takeTraced(payload: Payload, target: unknown): Chunk {
  return traced('take', contextOf(payload), () => {
    payload.owner.refuseUnusable(payload)
    refuseBorrowed(payload)
    return takeNow(payload, target)
  })
}

function takeNow(payload: Payload, target: unknown): Chunk {
  const chunk = backendOf(payload).take(payload, target)
  markReleased(payload)
  return chunk
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
