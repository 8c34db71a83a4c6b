/** Has calls in flight, and then ends in a given way, or waits to be terminated. */

import { parentPort, workerData } from 'node:worker_threads'
import { begin } from '../in-flight.mjs'

const { kind, how } = workerData
await begin(kind)
parentPort.postMessage('begun')
if (how === 'throw') throw new Error('not caught')
if (how === 'exit') process.exit(7)
