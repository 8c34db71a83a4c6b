// Ends when bytes have come into memory for a promised borrow, before this thread hears of it.
import { parentPort, workerData } from 'node:worker_threads'
import * as promises from 'pageout/promises'
import { end, stored } from '../borrowing.mjs'

const { native } = await import('../../../dist/addon/load.js')
const { how } = workerData
const { pager, handle } = stored(workerData)
const { bringAsync } = native
native.bringAsync = (...args) => {
  const arrival = bringAsync(...args)
  while (pager.stats().borrowedBytes === 0);
  parentPort.postMessage('borrowed')
  if (how === 'terminate') for (;;);
  end(how)
  return arrival
}
void promises.borrow(handle)
