/**
 * Terminates threads that have calls in flight, one after the other, and prints what is left of them. Argument: how many
 * threads.
 */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { pageout, stats, take } from 'pageout'
import { kinds } from '../in-flight.mjs'

const program = new URL('../workers/in-flight.mjs', import.meta.url)
const mine = pageout(new Uint8Array(10_000).fill(5))
const before = stats()
for (let round = 0; round < Number(process.argv[2]); round += 1) {
  const worker = new Worker(program, { workerData: { kind: kinds[round % kinds.length] } })
  await once(worker, 'message')
  await worker.terminate()
}
const after = stats()
console.log(
  JSON.stringify({
    handles: after.handles - before.handles,
    usedBytes: after.usedBytes - before.usedBytes,
    isIntact: take(mine).every(byte => byte === 5),
  }),
)
