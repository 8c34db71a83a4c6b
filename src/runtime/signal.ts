/**
 * Abort signals of callers, read and listened to in ways that run no code of theirs. Where a test environment (jsdom, happy-dom)
 * replaces `AbortSignal` by a class of its own, that has no such ways, and its signals are used as they are.
 */

import { inherits, method, property } from './captured.js'
import { util } from './node.js'

/** The prototype of Node's own signals, whatever `AbortSignal` is here. Bun has no other way to it. */
const SIGNAL: object = util.transferableAbortController
  ? Object.getPrototypeOf(util.transferableAbortController().signal)
  : AbortSignal.prototype
const TARGET: object = Object.getPrototypeOf(SIGNAL)

const abortedOf = property<boolean>(SIGNAL, 'aborted')
const reasonOf = property<unknown>(SIGNAL, 'reason')

type Listener = (event: Event) => void
type Listening = (signal: object, event: 'abort', listener: Listener) => void
const add: Listening = method(TARGET, 'addEventListener')
const remove: Listening = method(TARGET, 'removeEventListener')

/** Whether a value is one of Node's own signals, and not only looks like one. */
function isOwn(value: object): boolean {
  try {
    abortedOf(value)
    return true
  } catch {
    return false
  }
}

/** Whether a value is a signal: Node's own, or of the class that a test environment has in its place. */
export function isSignal(value: unknown): value is AbortSignal {
  if (inherits(value, SIGNAL)) return isOwn(value)
  return AbortSignal.prototype !== SIGNAL && inherits(value, AbortSignal.prototype) && hasAborted(value)
}

function hasAborted(value: object): boolean {
  return 'aborted' in value && typeof value.aborted === 'boolean'
}

/** Whether a signal, where there is one, is aborted. */
export function isAborted(signal: AbortSignal | undefined): signal is AbortSignal {
  if (signal === undefined) return false
  return isOwn(signal) ? abortedOf(signal) : signal.aborted
}

/** What an aborted signal says why. */
export function abortReason(signal: AbortSignal): unknown {
  return isOwn(signal) ? reasonOf(signal) : signal.reason
}

/** Calls `listener` when the signal is aborted. */
export function listen(signal: AbortSignal, listener: Listener): void {
  if (isOwn(signal)) add(signal, 'abort', listener)
  else signal.addEventListener('abort', listener)
}

/** Removes a listener. */
export function unlisten(signal: AbortSignal, listener: Listener): void {
  if (isOwn(signal)) remove(signal, 'abort', listener)
  else signal.removeEventListener('abort', listener)
}
