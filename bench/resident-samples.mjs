// The resident memory of this process, looked at each millisecond by a thread that does nothing else.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

const EACH_MS = 1
/** Where in the shared numbers the thread is told to end. */
const STOP = 0
/** Where the most that was seen is. */
const MOST = 1
/** What it is counted in, so that 32 bits are enough. */
const UNIT_BYTES = 4096

/** Samples until it is stopped. */
export class ResidentSamples {
  #shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
  #worker = new Worker(new URL(import.meta.url), { workerData: this.#shared })

  /** Settles when the first sample was made. */
  async started() {
    await new Promise(resolve => this.#worker.once('message', resolve))
  }

  /** The most bytes that were seen so far. */
  get mostBytes() {
    return Atomics.load(this.#shared, MOST) * UNIT_BYTES
  }

  async stop() {
    Atomics.store(this.#shared, STOP, 1)
    await new Promise(resolve => this.#worker.once('exit', resolve))
  }
}

if (!isMainThread && workerData instanceof Int32Array) sample(workerData)

/** @param {Int32Array} shared */
function sample(shared) {
  parentPort?.postMessage(undefined)
  while (Atomics.wait(shared, STOP, 0, EACH_MS) === 'timed-out') {
    Atomics.store(shared, MOST, Math.max(Atomics.load(shared, MOST), process.memoryUsage.rss() / UNIT_BYTES))
  }
}
