/** Tracing channels of `node:diagnostics_channel`, by which a process can observe this package. */

import type { Owner } from '../model/payload.js'
import type { TraceContext } from '../model/types.js'
import { diagnostics } from '../runtime/node.js'

const CHANNELS = {
  pageout: diagnostics.tracingChannel<'pageout:pageout', TraceContext>('pageout:pageout'),
  read: diagnostics.tracingChannel<'pageout:read', TraceContext>('pageout:read'),
  take: diagnostics.tracingChannel<'pageout:take', TraceContext>('pageout:take'),
}
type Verb = keyof typeof CHANNELS

/** The context of events about a payload: never the payload itself. */
export function contextOf({ byteLength, backend }: TraceContext): TraceContext {
  return { byteLength, backend }
}

/** True when a channel has no subscribers. Bun does not implement `hasSubscribers`, so events are always published there. */
export function isUnwatched(verb: Verb): boolean {
  return CHANNELS[verb].hasSubscribers === false
}

/** Does a step of a synchronous verb. */
export function traced<T>(verb: Verb, context: TraceContext, step: () => T): T {
  if (isUnwatched(verb)) return step()
  let result: T | undefined
  // The step returns nothing here: the channel would show it to all subscribers, and it may be the payload.
  CHANNELS[verb].traceSync(() => {
    result = step()
  }, context)
  return result as T
}

/** Does a step of a promise verb, which counts as pending until it settles. */
export async function pending<T>(owner: Owner, verb: Verb, context: TraceContext, step: () => Promise<T>): Promise<T> {
  owner.began()
  try {
    return await tracedPromise(verb, context, step)
  } finally {
    owner.ended()
  }
}

/** Does a step of a promise verb. */
export function tracedPromise<T>(verb: Verb, context: TraceContext, step: () => Promise<T>): Promise<T> {
  return isUnwatched(verb) ? step() : told(verb, context, step)
}

async function told<T>(verb: Verb, context: TraceContext, step: () => Promise<T>): Promise<T> {
  let result: T | undefined
  await CHANNELS[verb].tracePromise(async () => {
    result = await step()
  }, context)
  return result as T
}
