/** Prints how many threads have jobs before a thread with jobs begins, while it has them, and after it was terminated. */

import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { busyLanes } from '../../../index.js'

const program = fileURLToPath(new URL('../workers/in-flight.mjs', import.meta.url))
const before = busyLanes()
const worker = new Worker(program, { workerData: { kind: 'take', how: 'wait' } })
while (busyLanes() === 0) await setImmediate()
const meanwhile = busyLanes()
await worker.terminate()
console.log(JSON.stringify({ before, meanwhile, after: busyLanes() }))
