/** Reactions to abort signals: one listener for each signal, however many calls are pending with it. */

import { abortError } from '../model/errors.js'
import { isAborted, listen, unlisten } from '../runtime/signal.js'

/** What is done when a signal is aborted. */
const watched = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls `react` when the signal is aborted; the function that is returned undoes that. */
export function onAbort(signal: AbortSignal | undefined, react: () => void): () => void {
  if (!signal) return nothing
  const reactions = watched.get(signal) ?? watch(signal)
  reactions.add(react)
  return () => {
    // More than once is the same as once: others may be waiting for the signal by then.
    if (reactions.delete(react) && reactions.size === 0) unwatch(signal)
  }
}

function nothing(): void {}

function watch(signal: AbortSignal): Set<() => void> {
  // First, because it may fail: Node reads properties of the signal there, which may be the caller's code.
  listen(signal, reactAll)
  const reactions = new Set<() => void>()
  watched.set(signal, reactions)
  return reactions
}

function unwatch(signal: AbortSignal): void {
  watched.delete(signal)
  unlisten(signal, reactAll)
}

function reactAll(event: Event): void {
  const signal = event.target as AbortSignal
  for (const react of [...(watched.get(signal) ?? [])]) react()
}

/** Throws where the signal is aborted. */
export function refuseAborted(signal: AbortSignal | undefined): void {
  if (isAborted(signal)) throw abortError(signal)
}

/** Settles as `result` does, or rejects at once when `signal` is aborted; `result` goes on by itself then. */
export function unlessAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return signal ? orAborted(result, signal) : result
}

async function orAborted<T>(result: Promise<T>, signal: AbortSignal): Promise<T> {
  let forget = nothing
  try {
    const aborted = new Promise<never>((_, reject) => {
      forget = onAbort(signal, () => reject(abortError(signal)))
    })
    // The code that started `result`, or that ran while listening began, may have aborted: then no event follows.
    refuseAborted(signal)
    return await Promise.race([result, aborted])
  } finally {
    forget()
    // After an abort the result is not reported.
    result.catch(nothing)
  }
}
