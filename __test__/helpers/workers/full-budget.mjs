// Fills the budget that it is told of with its own payloads, and frees none of their memory until it is woken. Where nothing wakes
// it, it is busy for `busyMs`, and then waits in its event loop.

import { parentPort, workerData } from 'node:worker_threads'
import { MemoryBudget, Pager } from 'pageout'

const { token, scratchDir, wake, busyMs = 0 } = workerData
const budget = MemoryBudget.join(token)
const pager = new Pager({ scratchDir, residentBytes: budget })
const handles = []
while (budget.residentBytes < budget.limitBytes) handles.push(pager.pageout(new Uint8Array(64 * 1024)))
parentPort.postMessage(handles.length)
if (wake) {
  Atomics.wait(new Int32Array(wake), 0, 0)
  pager.close()
} else {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyMs)
  parentPort.once('message', () => pager.close())
}
