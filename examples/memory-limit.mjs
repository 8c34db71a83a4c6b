// Makes 4 GiB of arrays and keeps them, in memory or paged out, and prints the resident memory of the process. Run it where
// less memory is allowed:
//   systemd-run --scope -p MemoryMax=512M -p MemorySwapMax=0 node examples/memory-limit.mjs memory
//   systemd-run --scope -p MemoryMax=512M -p MemorySwapMax=0 node examples/memory-limit.mjs pageout
// or in a container: docker run --memory=512m --memory-swap=512m, with a directory of a disk for scratch files.
import { pageout, readAt } from 'pageout'

const MIB = 2 ** 20
const ARRAY_BYTES = 4 * MIB
const SHOWN_AT_MIB = [0, 256, 512, 1024, 2048, 4096]

const isPagedOut = process.argv[2] === 'pageout'
/** Arrays, or handles of arrays. */
const kept = []

for (const heldMib of SHOWN_AT_MIB) {
  while (kept.length * ARRAY_BYTES < heldMib * MIB) {
    const array = new Float64Array(ARRAY_BYTES / 8).fill(kept.length)
    kept.push(isPagedOut ? pageout(array) : array)
  }
  const residentMib = Math.round(process.memoryUsage.rss() / MIB)
  console.log(`${heldMib} MiB of arrays: ${residentMib} MiB resident`)
}

// Each array is still there.
const isWhole = kept.every((held, index) => (isPagedOut ? readAt(held, 1000, 1)[0] : held[1000]) === index)
console.log(isWhole ? 'every array is right' : 'an array is wrong')
