/** The checks that synchronous and promise verbs share, before anything happens. */

import {
  backendName,
  detachName,
  manyRanges,
  optionsBag,
  type Ranges,
  singleRange,
  wholeOf,
} from '../chunks/arguments.js'
import { commonClass, inspectChunks, lengthOfAll, type PageoutRequest, refuseNotDetachable } from '../chunks/request.js'
import { lengthOf, type Payload } from '../model/payload.js'
import type { Backend, CollectOptions, PageoutOptions } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'

/** Checked ranges of a payload that may be used. */
export interface ReadRequest {
  readonly payload: Payload
  readonly ranges: Ranges
}

/**
 * Checks a pageout.
 *
 * @param list the chunks, each read once
 * @param named the backend of verbs that name it themselves
 */
export function pageoutRequest(
  pager: PagerCore,
  chunks: unknown,
  list: readonly unknown[],
  options: PageoutOptions | undefined,
  named: { readonly backend: unknown } | undefined,
): PageoutRequest {
  pager.refuseClosed()
  // Options first and chunks last: reading options may run code of the caller, which may change the chunks.
  const bag = optionsBag(options)
  const { detach: chosen } = bag
  const detach = chosen === undefined ? pager.detach : detachName(chosen, 'options.detach')
  const backend = named ? backendName(named.backend, 'backend') : chosenBackend(pager, bag.backend)
  const parts = inspectChunks(chunks, list)
  const chunkClass = commonClass(parts)
  // The caller's code, if any ran, is done.
  pager.refuseClosed()
  if (detach === 'required') parts.forEach(refuseNotDetachable)
  pager.prepare()
  return { chunkClass, parts, byteLength: lengthOfAll(parts), backend, detach }
}

/** The checked backend of a payload that is about to be collected. */
export function collectBackend(pager: PagerCore, options: CollectOptions | undefined): Backend {
  pager.refuseClosed()
  const backend = chosenBackend(pager, optionsBag(options).backend)
  // The caller's code, if any ran, is done.
  pager.refuseClosed()
  pager.prepare()
  return backend
}

function chosenBackend(pager: PagerCore, option: Backend | undefined): Backend {
  return option === undefined ? pager.backend : backendName(option, 'options.backend')
}

/** One range of a handle's payload. */
export function rangeRequest(pager: PagerCore, handle: unknown, offset: unknown, length: unknown): ReadRequest {
  const payload = pager.payload(handle)
  return { payload, ranges: singleRange(offset, length, payload.chunkClass, lengthOf(payload)) }
}

/** Several ranges of a handle's payload. */
export function rangesRequest(pager: PagerCore, handle: unknown, given: unknown): ReadRequest {
  const { chunkClass, byteLength } = pager.payload(handle)
  const ranges = manyRanges(given, chunkClass, byteLength / chunkClass.elementBytes)
  // Reading the ranges may have run code of the caller, which may have done anything with the handle.
  return { payload: pager.payload(handle), ranges }
}

/** All of a handle's payload. */
export function wholeRequest(pager: PagerCore, handle: unknown): ReadRequest {
  const payload = pager.payload(handle)
  return { payload, ranges: wholeOf(payload) }
}
