// Runs in the worker threads of sort.mjs.
import { Handle, MemoryBudget, Pager, take } from 'pageout'
import { workerData } from 'piscina'

// What this thread pages out counts in the budget of the main thread.
const pager = new Pager({ residentBytes: MemoryBudget.join(workerData.budget) })

/** Sorts a dataset that arrives as a token, and returns the token of the result. */
export default function sort(token) {
  const values = take(Handle.adopt(token))
  return pager.pageout(values.sort()).move()
}
