/** Has payloads of a budget borrowed, resident and brought, and a borrow that waits for room; then ends in a given way. */

import { MemoryBudget, Pager } from 'pageout'
import * as promises from 'pageout/promises'

const CHUNK_BYTES = 64 * 1024

/** Borrows all of a budget of some such chunks. `wait`: whether somebody waits for more, which keeps the event loop alive. */
export async function borrowAll(budget, scratchDir, { wait }) {
  const [pager, later] = [Pager, promises.Pager].map(Class => new Class({ scratchDir, residentBytes: budget }))
  const count = budget.limitBytes / CHUNK_BYTES
  const handles = Array.from({ length: 2 * count }, (_, seed) => pager.pageout(new Uint8Array(CHUNK_BYTES).fill(seed)))
  const promised = await later.pageout(new Uint8Array(CHUNK_BYTES).fill(99))
  const borrowed = [await later.borrow(promised)]
  // Each of the first half is in memory or on disk, one was never written, and the chunks of one are joined.
  borrowed.push(pager.borrow(pager.pageout([new Uint8Array(CHUNK_BYTES - 5).fill(7), new Uint8Array(5).fill(7)])))
  for (const handle of handles.slice(0, count - 2)) borrowed.push(pager.borrow(handle))
  if (wait) void later.borrow(handles.at(-1), { wait: true }).catch(() => {})
  if (budget.residentBytes !== budget.limitBytes) throw new Error(`${budget.residentBytes} bytes are borrowed`)
  return borrowed
}

/** A payload as large as a budget that another thread made, on disk: it leaves for another one. */
export function stored({ token, scratchDir }) {
  const budget = MemoryBudget.join(token)
  const pager = new Pager({ scratchDir, residentBytes: budget })
  const handle = pager.pageout(new Uint8Array(budget.limitBytes).fill(1))
  const other = pager.pageout(new Uint8Array(budget.limitBytes).fill(2))
  pager.borrow(other, () => {})
  other.release()
  return { pager, handle }
}

export function end(how) {
  if (how === 'throw') throw new Error('not caught')
  if (how === 'exit') process.exit(7)
  if (how === 'SIGTERM') process.kill(process.pid, 'SIGTERM')
}
