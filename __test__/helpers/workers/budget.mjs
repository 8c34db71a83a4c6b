// Joins a budget, fills it, and waits to be terminated with payloads in memory.
import { parentPort, workerData } from 'node:worker_threads'
import { MemoryBudget, Pager } from 'pageout'

const budget = MemoryBudget.join(workerData.token)
const pager = new Pager({ residentBytes: budget, scratchDir: workerData.scratchDir })
const handles = Array.from({ length: 50 }, (_, seed) => pager.pageout(new Uint8Array(64 * 1024).fill(seed)))
const isRight = handles.every((handle, seed) => pager.readAt(handle, 65_535, 1)[0] === seed)
parentPort?.postMessage({ isRight, limitBytes: budget.limitBytes })
setInterval(() => {
  for (const [seed, handle] of handles.entries()) handles[seed] = pager.pageout(pager.take(handle))
}, 0)
