/** Writes to shared memory while its first word is not zero. */

import { parentPort, workerData } from 'node:worker_threads'

const isRunning = new Int32Array(workerData.shared, 0, 1)
const bytes = new Uint8Array(workerData.shared, 8)
parentPort.postMessage('begun')
for (let round = 0; ; round += 1) {
  Atomics.wait(isRunning, 0, 0)
  bytes.fill(round)
}
