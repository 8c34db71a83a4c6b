/** Says where pagers of this thread put their scratch files, and which capacity they have. `kind` says which pagers. */

import { parentPort, workerData } from 'node:worker_threads'
import { Pager, pageout, stats, take } from 'pageout'

const told = ({ scratchDir, capacityBytes }) => ({ scratchDir, capacityBytes })
const places = {
  own() {
    const pager = new Pager()
    pager.pageout(new Uint8Array(4096))
    const place = told(pager.stats())
    const result = pager.tryPageout(new Uint8Array(2 ** 21))
    pager.close()
    return { ...place, code: result.ok ? undefined : result.error.code }
  },
  processWide() {
    const handle = pageout(Uint8Array.of(1, 2))
    const place = told(stats())
    return { ...place, bytes: [...take(handle)] }
  },
}
parentPort.postMessage(Object.fromEntries(workerData.kinds.map(kind => [kind, places[kind]()])))
