/** Whose turn it is among the calls of one key: they change it one after the other, in the order in which they came. */

import { refuseAborted, unlessAborted } from '../threads/abort.js'

/** A call that waits for its turn. */
interface Waiting {
  isBegun: boolean
  readonly begin: () => void
  readonly refuse: (error: Error) => void
}

export class Turns<K> {
  /** Those who wait, for each key of which it is somebody's turn. */
  readonly #queues = new Map<K, Set<Waiting>>()

  /** Whether calls of a key have to wait. */
  isBusy(key: K): boolean {
    return this.#queues.has(key)
  }

  /** The keys of which it is somebody's turn. */
  keys(): Iterable<K> {
    return this.#queues.keys()
  }

  /** Does a step that no other of the same key overlaps. It begins at once where there is none. */
  async take<T>(key: K, signal: AbortSignal | undefined, step: () => Promise<T>): Promise<T> {
    refuseAborted(signal)
    if (this.#queues.has(key)) await this.#wait(key, signal)
    else this.#queues.set(key, new Set())
    try {
      return await step()
    } finally {
      this.#end(key)
    }
  }

  /** Begins a step when those that came before are over. Those that come later do not wait for it. */
  async visit<T>(key: K, signal: AbortSignal | undefined, step: () => Promise<T>): Promise<T> {
    refuseAborted(signal)
    if (!this.#queues.has(key)) return await step()
    await this.#wait(key, signal)
    let pending: Promise<T>
    try {
      pending = step()
    } finally {
      this.#end(key)
    }
    return await pending
  }

  /** Refuses all who wait. Whose turn it is now goes on. */
  refuseAll(error: () => Error): void {
    for (const queue of this.#queues.values()) {
      for (const { refuse } of queue) refuse(error())
      queue.clear()
    }
  }

  async #wait(key: K, signal: AbortSignal | undefined): Promise<void> {
    const queue = this.#queues.get(key) as Set<Waiting>
    const { promise, waiting } = newWaiting()
    queue.add(waiting)
    try {
      await unlessAborted(promise, signal)
    } catch (error) {
      // An abort may come in the moment in which the turn did.
      if (waiting.isBegun) this.#end(key)
      else queue.delete(waiting)
      throw error
    }
  }

  #end(key: K): void {
    const queue = this.#queues.get(key) as Set<Waiting>
    const [next] = queue
    if (next) {
      queue.delete(next)
      next.isBegun = true
      next.begin()
    } else {
      this.#queues.delete(key)
    }
  }
}

function newWaiting(): { promise: Promise<void>; waiting: Waiting } {
  let waiting: Waiting | undefined
  const promise = new Promise<void>((begin, refuse) => {
    waiting = { isBegun: false, begin, refuse }
  })
  return { promise, waiting: waiting as unknown as Waiting }
}
