// What a job tells its parent while it runs.
import { setTimeout as sleep } from 'node:timers/promises'
import { nowMs } from './units.mjs'

/** Time to stand still before the first and after the last phase, so that the picture shows a level there. */
const SETTLE_MS = 300
const PROGRESS_INTERVAL_MS = 50

/**
 * @typedef {{ type: 'start', phase: string, timeMs: number }
 *   | { type: 'progress', phase: string, fraction: number }
 *   | { type: 'end', phase: string, timeMs: number }
 *   | { type: 'result', result: import('./job.mjs').Result }
 *   | { type: 'failure', message: string, code?: string }} Message
 */

/**
 * The last message. The channel stays open until it is through, then nothing keeps the process alive.
 * @param {Message} message
 */
export function sendLast(message) {
  process.send?.(message, () => process.disconnect())
}

/** @param {Message} message */
function send(message) {
  process.send?.(message)
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

/** The resident memory of this process after a moment of rest. */
export async function settledRssBytes() {
  await sleep(SETTLE_MS)
  return process.memoryUsage.rss()
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
