/** Pages out while no file descriptor is left, and again when there is one. Argument: the scratch directory. */

import { closeSync, openSync } from 'node:fs'
import { Pager } from 'pageout'
import { outcomeOf } from '../outcome.js'

const pager = new Pager({ scratchDir: process.argv[2] ?? '' })
const small = pager.pageout(Uint8Array.of(1))
const taken: number[] = []
try {
  for (;;) taken.push(openSync('/dev/null', 'r'))
} catch {
  // That was the last one.
}
const chunk = new Uint8Array(100_000).fill(7)
// A slot size that is new to the pager needs a file.
const without = outcomeOf(() => pager.pageout(chunk))
const isIntact = chunk.length === 100_000 && chunk.every(byte => byte === 7)
const again = outcomeOf(() => pager.pageout(Uint8Array.of(2)))
const read = outcomeOf(() => pager.readAt(small, 0, 1))
for (const descriptor of taken) closeSync(descriptor)
const retry = outcomeOf(() => pager.pageout(chunk))
console.log(JSON.stringify({ descriptors: taken.length, without, isIntact, again, read, retry }))
