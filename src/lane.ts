/**
 * How many jobs are on libuv's threads at a time: at most half of them, so that other work of the process, `fs` above all,
 * always finds a free one. The threads of JavaScript that have jobs share that half; each may have one. Jobs beyond that wait
 * here, and an abort takes them out again.
 */

import { native } from './addon.js'
import { abortError } from './errors.js'
import { isAborted, listen, unlisten } from './signal.js'

/** Threads that libuv has by default. */
const DEFAULT_POOL_THREADS = 4
const POOL_THREADS = Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? '', 10) || DEFAULT_POOL_THREADS
const HALF = Math.floor(POOL_THREADS / 2)

const lane = native.openLane()
const waiting: (() => void)[] = []
let running = 0

/**
 * Starts a job as soon as there is room for it.
 *
 * @throws AbortError when `signal` is aborted before the job starts, in which case it never does
 */
export async function run<T>(job: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (running === 0) native.setBusy(lane, true)
  if (hasRoom()) running++
  else await turn(signal)
  try {
    if (isAborted(signal)) throw abortError(signal)
    return await job()
  } finally {
    running--
    startWaiting()
  }
}

/** Whether one more job may run. There is room for one where none runs, so that nothing waits for ever. */
function hasRoom(): boolean {
  return running < Math.max(1, Math.floor(HALF / Math.max(1, native.busyLanes())))
}

function startWaiting(): void {
  while (waiting.length > 0 && hasRoom()) {
    running++
    waiting.shift()?.()
  }
  if (running === 0) native.setBusy(lane, false)
}

/** Waits until there is room, which is counted as taken then. */
function turn(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const start = () => {
      forget()
      resolve()
    }
    const forget = onAbort(signal, () => {
      forget()
      waiting.splice(waiting.indexOf(start), 1)
      reject(abortError(signal as AbortSignal))
    })
    waiting.push(start)
  })
}

/** Settles as `result` does, or rejects at once when `signal` is aborted; `result` goes on by itself then. */
export async function unlessAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return result
  let forget = () => {}
  const aborted = new Promise<never>((_, reject) => {
    forget = onAbort(signal, () => reject(abortError(signal)))
  })
  try {
    return await Promise.race([result, aborted])
  } finally {
    forget()
    // Whoever was told of the abort is not told of the result.
    result.catch(() => {})
  }
}

/** What is to be done when a signal is aborted: one listener for each signal, however many calls are pending with it. */
const watched = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls `react` when the signal is aborted; the function that is given back takes that back. */
export function onAbort(signal: AbortSignal | undefined, react: () => void): () => void {
  if (!signal) return () => {}
  const reactions = watched.get(signal) ?? watch(signal)
  reactions.add(react)
  return () => {
    reactions.delete(react)
    if (reactions.size === 0) unwatch(signal)
  }
}

function watch(signal: AbortSignal): Set<() => void> {
  // First, because it may fail: what Node asks of the signal there may be the caller's.
  listen(signal, 'abort', tellAll)
  const reactions = new Set<() => void>()
  watched.set(signal, reactions)
  return reactions
}

function unwatch(signal: AbortSignal): void {
  watched.delete(signal)
  unlisten(signal, 'abort', tellAll)
}

function tellAll(event: Event): void {
  const signal = event.target as AbortSignal
  for (const react of [...(watched.get(signal) ?? [])]) react()
}
