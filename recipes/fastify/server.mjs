// A server whose datasets are larger than its memory: those that are asked for are in memory, the others in unnamed files.
//   node server.mjs
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'
import { PagedMap } from 'pageout/map/promises'
import { makeDataset, summary } from './dataset.mjs'

const MIB = 2 ** 20
const RANGE = { from: { type: 'integer', minimum: 0 }, to: { type: 'integer', minimum: 0 } }
const schema = { querystring: { type: 'object', properties: RANGE, required: ['from', 'to'] } }

export async function openServer({ count = 200, length = MIB, residentBytes = 256 * MIB } = {}) {
  const datasets = new PagedMap({ residentBytes })
  for (let id = 0; id < count; id++) await datasets.set(String(id), makeDataset(id, length))

  const app = Fastify()
  app.decorate('datasets', datasets)
  // Fastify waits for the requests that it has before it closes the map. Connections that clients keep open must not hold that up.
  let isClosing = false
  app.addHook('preClose', async () => {
    isClosing = true
  })
  app.addHook('onSend', async (_request, reply) => {
    if (isClosing) reply.header('connection', 'close')
  })
  app.addHook('onClose', () => datasets.close())
  app.setErrorHandler(answerError)

  // Looks at a dataset in memory. The array is good until the function returns: what leaves it is a copy of what is needed.
  app.get('/datasets/:id/summary', { schema }, async (request, reply) => {
    const { from, to } = request.query
    const work = values => summary(values, from, to)
    const result = await datasets.borrow(request.params.id, work, { signal: request.signal })
    return result ?? reply.callNotFound()
  })

  // Reads a few numbers, and leaves a dataset that is on disk there.
  app.get('/datasets/:id/values', { schema }, async (request, reply) => {
    const { from, to } = request.query
    const values = await datasets.readAt(request.params.id, from, to - from, undefined, { signal: request.signal })
    return values ? Array.from(values) : reply.callNotFound()
  })

  app.get('/health', () => ({ status: 'ok' }))
  app.get('/reads', () => ({ reads: datasets.stats().residentMisses }))
  return app
}

/** Gives errors of pageout the status that clients and balancers understand. */
function answerError(error, request, reply) {
  switch (error.code) {
    case 'ERR_PAGEOUT_BUDGET': // every byte of the budget is in use by other requests
    case 'ERR_PAGEOUT_CLOSED':
      return reply.code(503).header('retry-after', '1').send({ error: 'busy' })
    case 'ERR_OUT_OF_RANGE':
      return reply.code(400).send({ error: error.message })
    case 'ABORT_ERR': // the client has left: nobody gets this
      return reply.code(499).send()
    default:
      request.log.error(error)
      return reply.send(error)
  }
}

/** Listens, and closes when the process is to end: requests are answered, then the files go. */
export async function serve(app) {
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => app.close())
  console.log(await app.listen({ host: process.env.HOST ?? '127.0.0.1', port: Number(process.env.PORT ?? 0) }))
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await serve(await openServer())
