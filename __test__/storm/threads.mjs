/** The threads beside a storm. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { Handle } from 'pageout'
import { Broken } from './calls.mjs'

const start = (program, workerData) =>
  new Worker(new URL(`threads/${program}`, import.meta.url), { workerData, execArgv: [] })

const SHARED_BYTES = 256 * 2 ** 10

/** A thread that writes to shared memory at full speed. */
export class Writer {
  #worker
  #shared = new SharedArrayBuffer(SHARED_BYTES)
  #isRunning = new Int32Array(this.#shared, 0, 1)

  static async start() {
    const writer = new Writer()
    writer.#worker = start('writer.mjs', { shared: writer.#shared })
    await once(writer.#worker, 'message')
    return writer
  }

  /** Lets it write; gives the memory, whose first 8 bytes are not for use. */
  begin() {
    Atomics.store(this.#isRunning, 0, 1)
    Atomics.notify(this.#isRunning, 0)
    return this.#shared
  }

  pause() {
    Atomics.store(this.#isRunning, 0, 0)
  }

  async stop() {
    await this.#worker.terminate()
  }
}

/** A thread that storms as well until it is terminated, in whatever it does at that moment. */
export class Rival {
  #worker
  #begun
  #failure

  /** @param {string} budget the token of the one that it shares */
  constructor(seed, budget) {
    this.#worker = start('rival.mjs', { seed, budget })
    this.#worker.on('error', error => {
      this.#failure = error
    })
    this.#begun = once(this.#worker, 'message').catch(() => {})
  }

  async terminate() {
    await this.#begun
    await this.#worker.terminate()
    if (this.#failure) throw new Broken(`in a thread beside: ${this.#failure.message}`, { cause: this.#failure })
  }
}

/** A thread that takes payloads whose handles were moved to it. */
export class Adopter {
  #worker = start('adopter.mjs')

  static startIfPossible() {
    return typeof Handle.adopt === 'function' ? new Adopter() : undefined
  }

  async take(token) {
    const { port1, port2 } = new MessageChannel()
    this.#worker.postMessage({ token, port: port2 }, [port2])
    const [{ chunk, error }] = await once(port1, 'message')
    port1.close()
    if (error) throw new Broken(`a moved handle could not be adopted: ${error}`)
    return chunk
  }

  async stop() {
    await this.#worker.terminate()
  }
}
