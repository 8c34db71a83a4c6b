/** Signals of callers, asked and listened to in ways that run no code of theirs. */

import { inherits, method, property } from './builtin.js'

const abortedOf = property<boolean>(AbortSignal.prototype, 'aborted')
/** The reason of an aborted signal. */
export const reasonOf = property<unknown>(AbortSignal.prototype, 'reason')

type Listening = (signal: object, event: 'abort', listener: (event: Event) => void) => void
/** Calls `listener` when the signal is aborted. */
export const listen: Listening = method(EventTarget.prototype, 'addEventListener')
/** Takes that back. */
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
