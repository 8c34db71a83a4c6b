/** Storms until it is terminated. */

import { parentPort, workerData } from 'node:worker_threads'
import { campaign, Tally } from '../campaign.mjs'

const tally = new Tally()
setTimeout(() => parentPort.postMessage('begun'))
await campaign(workerData, tally)
