// The same server with lru-cache: a file for each dataset, and as many bytes of them in memory.
//   node lru-server.mjs
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'
import { LRUCache } from 'lru-cache'
import { makeDataset, summary } from './dataset.mjs'
import { serve } from './server.mjs'

const MIB = 2 ** 20

export async function openServer({ count = 200, length = MIB, residentBytes = 256 * MIB, parent = '/var/tmp' } = {}) {
  const folder = await mkdtemp(join(parent, 'datasets-'))
  for (let id = 0; id < count; id++) await writeFile(join(folder, String(id)), makeDataset(id, length))
  let reads = 0
  const datasets = new LRUCache({
    maxSize: residentBytes,
    sizeCalculation: values => values.byteLength,
    // Requests that miss the same dataset share one call.
    // An entry may leave while it is read: whoever waits for it gets it all the same.
    ignoreFetchAbort: true,
    fetchMethod: async id => {
      reads++
      const { buffer } = await readFile(join(folder, id))
      return new Float64Array(buffer)
    },
  })

  const app = Fastify()
  app.addHook('onClose', () => rm(folder, { recursive: true }))
  app.get('/datasets/:id/summary', async (request, reply) => {
    const { id } = request.params
    if (!(Number(id) < count)) return reply.callNotFound()
    const { from, to } = request.query
    return summary(await datasets.fetch(id), Number(from), Number(to))
  })
  app.get('/reads', () => ({ reads }))
  return app
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await serve(await openServer())
