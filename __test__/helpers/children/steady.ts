/**
 * Prints by how much the resident memory grows in a loop that pages fresh arrays out and drops them, after a first quarter that
 * warms up. Arguments: bytes of an array, how many, `spareBytes`.
 */

import { Pager } from 'pageout'

const [pieceBytes = 0, count = 0, spareBytes = 0] = process.argv.slice(2, 5).map(Number)
const pager = new Pager({ spareBytes })
let warmBytes = 0
for (let position = 0; position < count; position++) {
  if (position === count / 4) warmBytes = process.memoryUsage.rss()
  pager.pageout(new Uint8Array(pieceBytes).fill(1))[Symbol.dispose]()
}
console.log(JSON.stringify({ grownBytes: process.memoryUsage.rss() - warmBytes }))
