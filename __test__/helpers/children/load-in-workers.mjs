/**
 * Loads the package in many threads at once, over and over, and not in this one, which does it at the end. Prints what the
 * threads made of their payloads. Arguments: the URL of the entry point, how many threads, how many times.
 */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

const [entry, threads, rounds] = process.argv.slice(2)
const program = `
  const { parentPort, workerData } = require('node:worker_threads')
  import(${JSON.stringify(entry)}).then(async ({ Handle, pageout, take }) => {
    const received = workerData.token && take(Handle.adopt(workerData.token))[0]
    const sum = take(pageout(Uint8Array.of(workerData.number, 1))).reduce((sum, byte) => sum + byte)
    parentPort.postMessage({ sum, received, token: pageout(Uint8Array.of(workerData.number)).move() })
  })`

/** Each thread takes the payload that one of the round before has sent, whose thread is gone by now. */
let sent = []
let right = 0
for (let round = 0; round < Number(rounds); round++) {
  const begun = Array.from({ length: Number(threads) }, async (_, number) => {
    const worker = new Worker(program, { eval: true, execArgv: [], workerData: { number, token: sent[number] } })
    const [[report], [code]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
    if (code === 0 && report.sum === number + 1 && report.received === (round === 0 ? undefined : number)) right++
    return report.token
  })
  sent = await Promise.all(begun)
}
const { Handle, stats, take } = await import(entry)
const last = sent.map(token => take(Handle.adopt(token))[0])
console.log(JSON.stringify({ right, last, handles: stats().handles, movingHandles: stats().movingHandles }))
