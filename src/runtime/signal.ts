/** Abort signals of callers, read and listened to in ways that run no code of theirs. */

import { inherits, method, property } from './captured.js'

const abortedOf = property<boolean>(AbortSignal.prototype, 'aborted')
const reasonOf = property<unknown>(AbortSignal.prototype, 'reason')

type Listening = (signal: object, event: 'abort', listener: (event: Event) => void) => void
/** Calls `listener` when the signal is aborted. */
export const listen: Listening = method(EventTarget.prototype, 'addEventListener')
/** Removes a listener. */
export const unlisten: Listening = method(EventTarget.prototype, 'removeEventListener')

/** Whether a value is a signal of this runtime, and not only looks like one. */
export function isSignal(value: unknown): value is AbortSignal {
  if (!inherits(value, AbortSignal.prototype)) return false
  try {
    abortedOf(value)
    return true
  } catch {
    return false
  }
}

/** Whether a signal, where there is one, is aborted. */
export function isAborted(signal: AbortSignal | undefined): signal is AbortSignal {
  return signal !== undefined && abortedOf(signal)
}

/** The reason of an aborted signal. */
export function abortReason(signal: AbortSignal): unknown {
  return reasonOf(signal)
}
