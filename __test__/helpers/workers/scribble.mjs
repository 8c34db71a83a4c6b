/** Writes to shared memory until it is told to stop. */

import { parentPort, workerData } from 'node:worker_threads'

const bytes = new Uint8Array(workerData.shared, 4)
const stop = new Int32Array(workerData.shared, 0, 1)
parentPort.postMessage('begun')
for (let round = 0; Atomics.load(stop, 0) === 0; round += 1) bytes.fill(round)
parentPort.postMessage('stopped')
