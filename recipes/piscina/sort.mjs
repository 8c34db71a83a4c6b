// Worker threads that share one memory budget with the main thread: datasets go to them and come back as tokens.
import { Handle, MemoryBudget, Pager } from 'pageout'
import { Piscina } from 'piscina'

export class Sorter {
  #pool
  #pager

  /** @param {{ residentBytes: number, threads: number }} options */
  constructor({ residentBytes, threads }) {
    /** What all threads have in memory of what is paged out. */
    this.budget = new MemoryBudget(residentBytes)
    this.#pager = new Pager({ residentBytes: this.budget })
    this.#pool = new Piscina({
      filename: new URL('worker.mjs', import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
      // A worker that waits by Atomics has no event loop, and frees nothing of what left the budget before its next task.
      atomics: 'disabled',
      workerData: { budget: this.budget.token },
    })
  }

  /** Pages an array out until it is sorted: its memory is the budget's, and the array is empty. */
  add(values) {
    return this.#pager.pageout(values)
  }

  /** Has a worker sort what a handle stands for; gives the handle of the result. */
  async sort(handle, options) {
    const token = handle.move()
    try {
      return Handle.adopt(await this.#pool.run(token, options))
    } catch (error) {
      reclaim(token)
      throw error
    }
  }

  stats() {
    return this.#pager.stats()
  }

  /** Waits for the tasks that run. Results stay good: their memory and files belong to whoever has the handle. */
  async close() {
    await this.#pool.close()
    this.#pager.close()
  }
}

/** Frees what was sent and never arrived: nobody else would, before the process ends. */
function reclaim(token) {
  try {
    Handle.adopt(token).release()
  } catch (error) {
    // The worker had it.
    if (error.code !== 'ERR_PAGEOUT_RELEASED') throw error
  }
}
