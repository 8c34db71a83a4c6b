// The child's side: what it tells its parent while it runs.
import { once } from 'node:events'
import { nowMs } from './units.mjs'

const PROGRESS_INTERVAL_MS = 50

/**
 * @typedef {{ type: 'ready' }
 *   | { type: 'start', phase: string, timeMs: number }
 *   | { type: 'progress', phase: string, fraction: number }
 *   | { type: 'end', phase: string, timeMs: number }
 *   | { type: 'result', result: any }
 *   | { type: 'failure', message: string, code?: string }} Message
 */

/** @param {Message} message */
function send(message) {
  process.send?.(message)
}

/**
 * Runs the job of this process, which its last argument describes, as soon as the parent says so.
 * @param {(job: any) => unknown} job its result is what the parent gets
 */
export async function runJob(job) {
  send({ type: 'ready' })
  await once(process, 'message')
  try {
    const result = await job(JSON.parse(process.argv[2]))
    sendLast({ type: 'result', result })
  } catch (error) {
    const { message, stack = message, code } = /** @type {NodeJS.ErrnoException} */ (error)
    sendLast({ type: 'failure', message: code ? message : stack, code })
  }
}

/**
 * The last message. The channel stays open until it is through, then nothing keeps the process alive.
 * @param {Message} message
 */
function sendLast(message) {
  process.send?.(message, () => process.disconnect())
}

/**
 * @template T
 * @param {string} phase
 * @param {(progress: (done: number, total: number) => void) => T} work
 * @returns {Promise<Awaited<T>>}
 */
export async function runPhase(phase, work) {
  send({ type: 'start', phase, timeMs: nowMs() })
  const result = await work(progressSender(phase))
  send({ type: 'end', phase, timeMs: nowMs() })
  return result
}

/** @param {string} phase */
function progressSender(phase) {
  let sentMs = -Infinity
  return (/** @type {number} */ done, /** @type {number} */ total) => {
    if (nowMs() - sentMs < PROGRESS_INTERVAL_MS) return
    sentMs = nowMs()
    send({ type: 'progress', phase, fraction: done / total })
  }
}
