// Ends while another thread or nobody has a payload that came into memory of this one after it was moved.
import { setImmediate } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import * as promises from 'pageout/promises'
import { stored } from '../borrowing.mjs'

const { native } = await import('../../../dist/addon/load.js')
const { how } = workerData
const { pager, handle } = stored(workerData)
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
