/** Payloads within a memory budget that are on disk. */

import type { Handle, Pager } from 'pageout'
import { pattern } from './chunks.js'

/** Pages a chunk out to disk: all of the budget is borrowed at that moment. Nothing else may be in memory, and nothing is then. */
export function pageoutToDisk(pager: Pager, chunk: Uint8Array): Handle<Uint8Array> {
  const full = pager.pageout(pattern(pager.stats().residentLimitBytes))
  const handle = pager.borrow(full, () => pager.pageout(chunk))
  full.release()
  return handle
}
