/** The first user of the process-wide pager is a worker with an environment of its own, which is this program's argument. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { stats } from 'pageout'

const [env = '{}'] = process.argv.slice(2)
const before = stats().scratchDir
const worker = new Worker(new URL('../workers/places.mjs', import.meta.url), {
  workerData: { kinds: ['processWide', 'own'] },
  env: JSON.parse(env) as NodeJS.ProcessEnv,
  execArgv: [],
})
const [places] = (await once(worker, 'message')) as [object]
const { scratchDir, capacityBytes } = stats()
console.log(JSON.stringify({ before, ...places, after: { scratchDir, capacityBytes } }))
await worker.terminate()
