/** Moves handles to itself, again and again, until it is terminated. */

import { parentPort, workerData } from 'node:worker_threads'
import { Handle, pageoutWith } from 'pageout'

let handle = pageoutWith(workerData, new Uint8Array(5000))
parentPort.postMessage('begun')
for (;;) handle = Handle.adopt(handle.move())
