/** Uses the package in a thread of its own, leaves handles behind, and says what came back. */

import { parentPort, workerData } from 'node:worker_threads'
import { backend, Pager, pageout, pageoutWith, readAt, setBackend, stats, take } from 'pageout'

const { bytes, left, chosen, waits } = workerData
if (chosen) setBackend(chosen)
const copy = bytes.slice()
const handle = pageout(copy)
const slice = readAt(handle, 10, 20)
const pager = new Pager()
const own = pager.pageout(Float64Array.of(1.5, 2.5))
globalThis.leftBehind = [
  Array.from({ length: left }, () => pageoutWith('file', bytes.slice())),
  Array.from({ length: left }, () => pageoutWith('swap', bytes.slice())),
  pager,
  own,
]
const report = {
  isDetached: copy.length === 0,
  slice,
  own: pager.readAt(own, 0, 2),
  whole: take(handle),
  backend: backend(),
  handles: stats().handles,
}
parentPort.postMessage(report)
if (waits) setInterval(() => {}, 1000)
