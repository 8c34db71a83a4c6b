/** Pages out and reads back with pagers of its own until it is terminated. */

import { parentPort, workerData } from 'node:worker_threads'
import { Pager } from 'pageout'
import * as promises from 'pageout/promises'

const pager = new Pager(workerData)
const later = new promises.Pager(workerData)
const readings = seed => Float64Array.from({ length: 40_000 }, (_, position) => 20 + ((position * seed) % 7) / 4)
parentPort.postMessage('begun')
for (let seed = 1; ; seed++) {
  const handles = await Promise.all([1, 2, 3].map(more => later.pageout(readings(seed + more))))
  const handle = pager.pageout(readings(seed))
  const [taken, ...others] = [pager.take(handle), ...(await Promise.all(handles.map(handle => later.take(handle))))]
  if (taken.length + others.length !== 40_003) throw new Error('other arrays came back')
}
