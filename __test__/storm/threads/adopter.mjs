/** Adopts handles by their tokens, takes their payloads and sends those back. */

import { parentPort } from 'node:worker_threads'
import { Handle, take } from 'pageout'

function taken(token) {
  try {
    return { chunk: take(Handle.adopt(token)) }
  } catch (error) {
    return { error: String(error) }
  }
}

parentPort.on('message', ({ token, port }) => {
  port.postMessage(taken(token))
  port.close()
})
