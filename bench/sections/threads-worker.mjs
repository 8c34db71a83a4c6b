// One thread of `threads.mjs`.
import { parentPort, workerData } from 'node:worker_threads'
import { pageout, take } from '../../dist/index.js'
import { check, randomBytes } from '../payloads.mjs'
import { openStore, PAGEOUT } from '../stores.mjs'

/** @typedef {import('../types.js').Store} Store */

/** The pager that all threads share. @type {Store} */
const shared = { name: PAGEOUT, out: bytes => pageout(bytes), back: handle => take(handle), close: () => {} }

const { name, folder, payloadBytes } = workerData
const store = name === PAGEOUT ? shared : openStore(name, { folder, payloadBytes })
const expected = randomBytes(payloadBytes)

parentPort?.on('message', async trips => {
  if (trips > 0) return parentPort?.postMessage(roundTrips(trips))
  await store.close()
  parentPort?.close()
})

/** @param {number} trips */
function roundTrips(trips) {
  store.prepare?.()
  /** @type {Uint8Array} */
  let bytes = new Uint8Array(expected)
  for (let trip = 0; trip < trips; trip++) bytes = store.back(store.out(bytes))
  check(bytes, expected, name)
}
