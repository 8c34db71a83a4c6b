/** Watches that a storm goes on. One that stands still says where, what it waits for, and what its threads do. */

import { Worker } from 'node:worker_threads'

/** An interleaving takes milliseconds, and some 20 s where it waits for work that was given up. */
const STILL_AFTER_MS = 40_000
/** One that takes this long waits for what never comes. */
const STUCK_AFTER_MS = 120_000

/** Where a storm is. */
export const STAGES = [
  'the start',
  'an interleaving',
  'maps',
  'the end of a thread beside',
  'what a batch left behind',
  'the end',
]

export class Watch {
  #worker
  /** Beats, the place in `STAGES`, and the interleaving, for a thread that looks while this one stands. */
  #numbers = new Int32Array(new SharedArrayBuffer(12))
  #explain = () => 'nothing'

  /** @param {{ stillAfterMs?: number, stuckAfterMs?: number }} [limits] of one stage */
  constructor({ stillAfterMs = STILL_AFTER_MS, stuckAfterMs = STUCK_AFTER_MS } = {}) {
    const workerData = { numbers: this.#numbers, stages: STAGES, stillAfterMs, stuckAfterMs }
    this.#worker = new Worker(new URL('threads/watcher.mjs', import.meta.url), { workerData, execArgv: [] })
    this.#worker.on('message', () => console.error('it waits for:', this.#explain()))
    this.#worker.unref()
  }

  /**
   * The next stage begins.
   *
   * @param {string} stage one of `STAGES`
   * @param {() => unknown} explain what it waits for, asked when it does not end
   */
  enter(stage, interleaving, explain = () => 'nothing') {
    this.#explain = explain
    Atomics.store(this.#numbers, 1, STAGES.indexOf(stage))
    Atomics.store(this.#numbers, 2, interleaving)
    Atomics.add(this.#numbers, 0, 1)
  }

  async stop() {
    await this.#worker.terminate()
  }
}
