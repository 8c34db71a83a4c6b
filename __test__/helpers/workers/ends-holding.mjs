// Ends when a payload was read for a borrow that nobody was given yet.

import { workerData } from 'node:worker_threads'
import { Pager } from 'pageout'
import { borrow } from 'pageout/promises'

const BUDGET = 2 ** 20
const pager = new Pager({ scratchDir: workerData, residentBytes: BUDGET })
const full = pager.pageout(new Uint8Array(BUDGET))
const handle = pager.borrow(full, () => pager.pageout(new Uint8Array(200_000)))
full.release()
// The background may be writing what left: there is no room as long as it does.
while (pager.stats().residentBytes > 0) await new Promise(resolve => setTimeout(resolve, 1))
void borrow(handle)
while (pager.stats().borrowedBytes === 0);
process.exit()
