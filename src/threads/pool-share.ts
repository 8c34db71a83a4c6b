/**
 * This package's share of libuv's threads: jobs take at most half of them, so that other work of the process, `fs` above all,
 * always finds a free one. The threads of JavaScript that have jobs share that half; each may have one. Jobs beyond that wait
 * here, and an abort takes them out again.
 */

import { native } from '../addon/load.js'
import { abortError } from '../model/errors.js'
import { onAbort, refuseAborted } from './abort.js'

/** Threads that libuv has by default. */
const DEFAULT_POOL_THREADS = 4
const POOL_THREADS = Number.parseInt(process.env.UV_THREADPOOL_SIZE ?? '', 10) || DEFAULT_POOL_THREADS
const HALF = Math.floor(POOL_THREADS / 2)

const lane = native.openLane()
/** What starts each job that waits, in the order in which they came. */
const waiting = new Set<() => void>()
let running = 0

/**
 * Starts a job as soon as there is room for it.
 *
 * @throws AbortError when `signal` is aborted before the job starts, in which case it never does
 */
export async function run<T>(job: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const room = enter(signal)
  if (room) await room
  try {
    refuseAborted(signal)
    return await job()
  } finally {
    leave()
  }
}

/** Takes room for a job. Nothing where there is some, else a promise of it; {@link leave} gives it back. */
export function enter(signal: AbortSignal | undefined): Promise<void> | undefined {
  // Who waits for room is told of an abort that comes, and not of one that came before.
  refuseAborted(signal)
  if (running === 0) native.setBusy(lane, true)
  if (!hasRoom()) return turn(signal)
  running++
  return undefined
}

/** Whether one more job may run. There is room for one where none runs, so that nothing waits for ever. */
function hasRoom(): boolean {
  return running === 0 || running < Math.floor(HALF / Math.max(1, native.busyLanes()))
}

/** Gives the room of a job that is over to those that wait. */
export function leave(): void {
  running--
  for (const start of waiting) {
    if (!hasRoom()) return
    waiting.delete(start)
    running++
    start()
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
      waiting.delete(start)
      reject(abortError(signal as AbortSignal))
    })
    waiting.add(start)
  })
}
