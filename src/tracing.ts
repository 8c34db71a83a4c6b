/** What a process can watch of this package: tracing channels of `node:diagnostics_channel`. */

// Whole, because a Node that is too old lacks what is used of it, and would say no more than that.
import * as diagnostics from 'node:diagnostics_channel'
import type { TraceContext } from './types.js'

const CHANNELS = {
  pageout: diagnostics.tracingChannel<'pageout:pageout', TraceContext>('pageout:pageout'),
  read: diagnostics.tracingChannel<'pageout:read', TraceContext>('pageout:read'),
  take: diagnostics.tracingChannel<'pageout:take', TraceContext>('pageout:take'),
}
type Verb = keyof typeof CHANNELS

/** What is told about a payload: never the payload itself. */
export function aboutOf({ byteLength, backend }: TraceContext): TraceContext {
  return { byteLength, backend }
}

/** Whether nobody watches a channel. Bun's cannot say, so there all of them are told. */
function isUnwatched(verb: Verb): boolean {
  return CHANNELS[verb].hasSubscribers === false
}

/** Does a step of a synchronous verb. */
export function traced<T>(verb: Verb, about: TraceContext, step: () => T): T {
  if (isUnwatched(verb)) return step()
  let result: T | undefined
  // Steps give nothing back here: the channel would show it to all subscribers, and it may be the payload.
  CHANNELS[verb].traceSync(() => {
    result = step()
  }, about)
  return result as T
}

/** Does a step of a verb that gives a promise. */
export async function tracedPromise<T>(verb: Verb, about: TraceContext, step: () => Promise<T>): Promise<T> {
  if (isUnwatched(verb)) return await step()
  let result: T | undefined
  await CHANNELS[verb].tracePromise(async () => {
    result = await step()
  }, about)
  return result as T
}
