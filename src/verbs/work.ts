/** What callers' functions must not return. */

import { bufferOf } from '../chunks/classes.js'
import { invalidReturnValue } from '../model/errors.js'
import { util } from '../runtime/node.js'

/** Refuses a view of borrowed memory, which is empty when its borrow is over. */
export function refuseView(result: unknown, buffer: ArrayBufferLike | undefined): void {
  if (bufferOf(result) !== buffer) return
  throw invalidReturnValue('work', 'must not be a view of the borrowed memory, which is empty now', result)
}

/** Refuses a promise where nobody waits for it. Whoever gets this error knows; how the promise ends is of no interest. */
export function refusePromise(result: unknown, callback: string, why: string): void {
  if (!isThenable(result)) return
  if (util.types.isPromise(result)) Promise.prototype.then.call(result, undefined, () => {})
  throw invalidReturnValue(callback, `must not be a promise: ${why}`, result)
}

function isThenable(value: unknown): boolean {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function'
  return isObject && 'then' in value && typeof value.then === 'function'
}
