// Ends while another thread or nobody has a payload that came into memory of this one after it was moved.
import { setImmediate } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { MemoryBudget, Pager } from 'pageout'
import * as promises from 'pageout/promises'

const { native } = await import('../../../dist/addon/load.js')
const { token, scratchDir, how } = workerData
const budget = MemoryBudget.join(token)
const pager = new Pager({ scratchDir, residentBytes: budget })
const handle = pager.pageout(new Uint8Array(budget.limitBytes).fill(1))
// It leaves for another one.
const other = pager.pageout(new Uint8Array(budget.limitBytes).fill(2))
pager.borrow(other, () => {})
other.release()

const { bringAsync } = native
let arrival
native.bringAsync = (...args) => {
  arrival = setImmediate().then(() => bringAsync(...args))
  return arrival
}
if (how === 'prefetch') pager.prefetch(handle)
else void promises.borrow(handle).catch(() => {})
while (!arrival) await null
const sent = handle.move()
await arrival
await setImmediate()
parentPort.postMessage(sent)
setInterval(() => {}, 1000)
