/**
 * Prints how many pages the process gets from the system while batches of fresh arrays are paged out and dropped, after a quarter of
 * the batches that warms up. Arguments: bytes of an array, how many are in a batch, how many batches, `spareBytes`.
 */

import { Pager } from 'pageout'

const MIB = 2 ** 20

const [pieceBytes = 0, count = 0, batches = 0, spareBytes = 0] = process.argv.slice(2, 6).map(Number)
const pager = new Pager({ spareBytes })
// glibc gives the end of its heap back when that is longer than twice the longest block that was mapped and freed.
pager.pageout(new Uint8Array(31 * MIB).fill(1))[Symbol.dispose]()
pager.trim()
let before = 0
for (let batch = 0; batch < batches; batch++) {
  if (batch === batches / 4) before = process.resourceUsage().minorPageFault
  const arrays = Array.from({ length: count }, () => new Uint8Array(pieceBytes).fill(1))
  for (const array of arrays) pager.pageout(array)[Symbol.dispose]()
}
console.log(JSON.stringify({ pages: process.resourceUsage().minorPageFault - before }))
