// Ends when bytes have come into memory for a promised borrow, before this thread hears of it.
import { parentPort, workerData } from 'node:worker_threads'
import { MemoryBudget, Pager } from 'pageout'
import * as promises from 'pageout/promises'
import { end } from '../borrowing.mjs'

const { native } = await import('../../../dist/addon/load.js')
const { token, scratchDir, how } = workerData
const budget = MemoryBudget.join(token)
const pager = new Pager({ scratchDir, residentBytes: budget })
const handle = pager.pageout(new Uint8Array(budget.limitBytes).fill(1))
// It leaves for another one.
const other = pager.pageout(new Uint8Array(budget.limitBytes).fill(2))
pager.borrow(other, () => {})
other.release()

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
