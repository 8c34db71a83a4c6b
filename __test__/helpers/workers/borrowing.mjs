// Ends, or waits to be terminated, while it has borrowed all of a budget.
import { parentPort, workerData } from 'node:worker_threads'
import { MemoryBudget } from 'pageout'
import { borrowAll, end } from '../borrowing.mjs'

const { token, scratchDir, how } = workerData
globalThis.held = await borrowAll(MemoryBudget.join(token), scratchDir, { wait: how !== 'return' })
parentPort.postMessage('borrowed')
if (how === 'terminate') setInterval(() => {}, 1000)
else end(how)
