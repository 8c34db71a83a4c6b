// The parent's side: runs a job in a process of its own, and records its memory until it ends.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { nowMs } from './units.mjs'

const KIB = 2 ** 10
const SAMPLE_INTERVAL_MS = 20

/** @typedef {import('./phases.mjs').Message} Message */
/** @typedef {{ timeMs: number, rssBytes: number, ownBytes: number, peakBytes: number }} Sample `ownBytes`: without files */
/** @typedef {{ phase: string, startMs: number, endMs: number }} Span */

/**
 * All times of a recording count from its start.
 * @typedef {object} Recording
 * @property {number} endMs
 * @property {Sample[]} samples
 * @property {Span[]} spans those that ended
 * @property {number} fraction how much of the last phase was done
 * @property {number | NodeJS.Signals} status of the process
 * @property {any} result undefined where the process ended without
 */

/** What a job may use: here as much as there is. */
export class NoLimit {
  /** @type {string[]} the command that runs the job's command */
  prefix = []

  /**
   * Called when the process has started, before the job begins.
   * @param {number} _pid
   */
  onReady(_pid) {}

  /**
   * Called now and then.
   * @param {number} _rssBytes
   * @param {() => void} _stop ends the process
   */
  onSample(_rssBytes, _stop) {}
}

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
 * @param {string} path of the job's module
 * @param {unknown} job what it gets
 * @param {(message: Message, rssBytes: number) => void} listener
 * @param {{ nodeFlags?: string[], limit?: NoLimit, stderr?: 'inherit' | 'ignore' }} [options]
 * @returns {Promise<Recording>}
 */
export async function watchJob(path, job, listener, options = {}) {
  const { nodeFlags = [], limit = new NoLimit(), stderr = 'inherit' } = options
  const [command, ...args] = [...limit.prefix, process.execPath, ...nodeFlags, path, JSON.stringify(job)]
  const startMs = nowMs()
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', stderr, 'ipc'], serialization: 'advanced' })
  const exit = once(child, 'exit')
  const samples = /** @type {Sample[]} */ ([])
  const messages = /** @type {Message[]} */ ([])
  child.on('message', (/** @type {Message} */ message) => {
    if (message.type === 'ready') begin(child, limit)
    messages.push(message)
    listener(message, samples.at(-1)?.rssBytes ?? 0)
  })
  // Until all messages are here, which may be after the exit.
  await sampleWhileConnected(child, startMs, samples, limit)
  const [code, signal] = await exit
  return recording(messages, samples, startMs, code ?? signal)
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {NoLimit} limit
 */
function begin(child, limit) {
  limit.onReady(/** @type {number} */ (child.pid))
  child.send('go')
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} startMs
 * @param {Sample[]} samples
 * @param {NoLimit} limit
 */
async function sampleWhileConnected(child, startMs, samples, limit) {
  while (child.connected) {
    const timeMs = nowMs() - startMs
    const memory = await readMemory(/** @type {number} */ (child.pid))
    if (memory.rssBytes) {
      samples.push({ timeMs, ...memory })
      limit.onSample(memory.rssBytes, () => child.kill('SIGKILL'))
    }
    await sleep(SAMPLE_INTERVAL_MS)
  }
}

/** The resident memory of another process, now and at most so far; 0 when it is gone. */
const readMemory = process.platform === 'linux' ? memoryFromProc : memoryFromPs

/** @param {number} pid */
async function memoryFromProc(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '')
  const [rssBytes, ownBytes, peakBytes] = ['VmRSS', 'RssAnon', 'VmHWM'].map(name => kibOf(status, name) * KIB)
  return { rssBytes, ownBytes, peakBytes }
}

/**
 * @param {string} status a file of the system
 * @param {string} name
 */
export function kibOf(status, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0)
}

/** @param {number} pid */
async function memoryFromPs(pid) {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]).catch(() => ({ stdout: '' }))
  const rssBytes = Number(stdout) * KIB
  return { rssBytes, ownBytes: rssBytes, peakBytes: rssBytes }
}

/**
 * @param {Message[]} messages
 * @param {Sample[]} samples
 * @param {number} startMs
 * @param {number | NodeJS.Signals} status
 * @returns {Recording}
 */
function recording(messages, samples, startMs, status) {
  const last = messages.at(-1)
  if (last?.type === 'failure') throw new JobError(last.message, last.code)
  const spans = spansOf(messages, startMs)
  return {
    endMs: last?.type === 'result' ? (spans.at(-1)?.endMs ?? 0) : nowMs() - startMs,
    samples,
    spans,
    fraction: last?.type === 'progress' ? last.fraction : 0,
    status,
    result: last?.type === 'result' ? last.result : undefined,
  }
}

/**
 * The result of a job that has to have one.
 * @param {Recording} recording
 */
export function resultOf({ result, status }) {
  if (result === undefined) throw new JobError(`the process ended (${status}) without a result`)
  return result
}

/** @param {Recording} recording */
export function peakRssBytes({ samples }) {
  return Math.max(...samples.map(({ peakBytes }) => peakBytes))
}

/**
 * @param {Message[]} messages
 * @param {number} startMs
 * @returns {Span[]}
 */
function spansOf(messages, startMs) {
  const starts = messages.filter(message => message.type === 'start')
  return messages
    .filter(message => message.type === 'end')
    .map(({ phase, timeMs }, index) => ({ phase, startMs: starts[index].timeMs - startMs, endMs: timeMs - startMs }))
}
