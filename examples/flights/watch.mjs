// Runs a job in a child process and records its resident memory until it ends.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readRssBytes } from './rss.mjs'
import { nowMs } from './units.mjs'

const JOB_PATH = fileURLToPath(new URL('job.mjs', import.meta.url))
const SAMPLE_INTERVAL_MS = 20

/**
 * The same for both jobs: a small JavaScript heap. Without it the garbage of the Parquet decoder, which is the same in
 * both, makes up most of what can be seen, and a different part of it in each run.
 */
const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=32']

/** @typedef {import('./job.mjs').Job} Job */
/** @typedef {import('./phases.mjs').Message} Message */
/** @typedef {{ timeMs: number, rssBytes: number }} Sample */
/** @typedef {{ phase: string, startMs: number, endMs: number }} Span */

/**
 * All times of a recording count from its start.
 * @typedef {object} Recording
 * @property {Job} job
 * @property {number} endMs
 * @property {Sample[]} samples
 * @property {Span[]} spans
 * @property {[timeMs: number, heldBytes: number][]} held
 * @property {import('./job.mjs').Result} result
 */

/** A job that came to a bad end by an error of its own. */
export class JobError extends Error {
  /**
   * @param {string} message
   * @param {string} [code]
   */
  constructor(message, code) {
    super(message)
    this.code = code
  }
}

/**
 * @param {Job} job
 * @param {(message: Message, rssBytes: number) => void} listener
 * @returns {Promise<Recording>}
 */
export async function watchJob(job, listener) {
  const startMs = nowMs()
  const child = fork(JOB_PATH, [JSON.stringify(job)], { execArgv: NODE_FLAGS, serialization: 'advanced' })
  const exit = once(child, 'exit')
  const samples = /** @type {Sample[]} */ ([])
  const messages = /** @type {Message[]} */ ([])
  child.on('message', (/** @type {Message} */ message) => {
    messages.push(message)
    listener(message, samples.at(-1)?.rssBytes ?? 0)
  })
  await sampleWhileConnected(child, startMs, samples)
  const [status, signal] = await exit
  const result = resultOf(messages, status ?? signal)
  const endMs = result.endMs - startMs
  const held = result.heldHistory.map(([timeMs, bytes]) => /** @type {[number, number]} */ ([timeMs - startMs, bytes]))
  return {
    job,
    endMs,
    samples: samples.filter(({ timeMs }) => timeMs < endMs),
    spans: spansOf(messages, startMs),
    held,
    result,
  }
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} startMs
 * @param {Sample[]} samples
 */
async function sampleWhileConnected(child, startMs, samples) {
  while (child.connected) {
    const timeMs = nowMs() - startMs
    const rssBytes = await readRssBytes(/** @type {number} */ (child.pid))
    if (rssBytes) samples.push({ timeMs, rssBytes })
    await sleep(SAMPLE_INTERVAL_MS)
  }
}

/**
 * @param {Message[]} messages
 * @param {number | string} status
 */
function resultOf(messages, status) {
  const last = messages.at(-1)
  if (last?.type === 'result') return last.result
  if (last?.type === 'failure') throw new JobError(last.message, last.code)
  throw new JobError(`the process ended (${status}) without a result`)
}

/**
 * @param {Message[]} messages
 * @param {number} startMs
 * @returns {Span[]}
 */
function spansOf(messages, startMs) {
  const starts = messages.filter(message => message.type === 'start')
  const ends = messages.filter(message => message.type === 'end')
  return starts.map(({ phase, timeMs }, index) => ({
    phase,
    startMs: timeMs - startMs,
    endMs: ends[index].timeMs - startMs,
  }))
}
