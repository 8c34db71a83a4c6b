/** Pages out and takes back until it is terminated. */

import { parentPort } from 'node:worker_threads'
import { pageout, readAt, take } from 'pageout'

parentPort.postMessage('begun')
for (let round = 0; ; round += 1) {
  const handle = pageout(new Uint8Array(50_000).fill(round))
  if (readAt(handle, 49_999, 1)[0] !== round % 256) throw new Error('other bytes came back')
  if (round % 2 === 0) take(handle)
}
