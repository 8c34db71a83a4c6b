/** Adopts the handles that come as tokens, tells what is in them, and sends them back; or makes one and sends it. */

import { parentPort } from 'node:worker_threads'
import { Handle, pageout, readAt } from 'pageout'

/** Handles that stay here. */
const kept = []

function adopt({ token, keeps }) {
  const handle = Handle.adopt(token)
  const whole = readAt(handle, 0, handle.length)
  const { length, backend } = handle
  // Not every class arrives as itself: a Buffer is sent as Uint8Array.
  const found = { class: whole.constructor.name, length, backend, whole }
  if (!keeps) return { ...found, token: handle.move() }
  kept.push(handle)
  return found
}

parentPort.on('message', request => {
  try {
    parentPort.postMessage(request.make ? { token: pageout(request.make).move() } : adopt(request))
  } catch ({ code, message }) {
    parentPort.postMessage({ code, message })
  }
})
