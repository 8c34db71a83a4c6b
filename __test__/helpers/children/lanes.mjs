/** Prints how many threads have jobs before a thread with jobs begins, while it has them, and after it was terminated. */

import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { native } from '../../../dist/addon/load.js'

const program = fileURLToPath(new URL('../workers/in-flight.mjs', import.meta.url))
const before = native.busyLanes()
const worker = new Worker(program, { workerData: { kind: 'take', how: 'wait' } })
while (native.busyLanes() === 0) await setImmediate()
const meanwhile = native.busyLanes()
await worker.terminate()
console.log(JSON.stringify({ before, meanwhile, after: native.busyLanes() }))
