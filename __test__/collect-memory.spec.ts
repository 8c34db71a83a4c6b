/** How much memory it takes to collect large chunks: few pieces besides the chunk itself. */

import test from 'ava'
import { runChild } from './helpers/child.js'
import { MIB } from './helpers/chunks.js'

/** What is gathered, or written, at a time. */
const PIECE_BYTES = 4 * MIB
/** What the collector of JavaScript, the threads of the pool and the file system take beside that. */
const TOLERANCE_BYTES = 16 * MIB

for (const [form, pieces] of [
  ['sync', 1],
  ['promises', 3],
] as const) {
  for (const [chunkBytes, count] of [
    [256 * MIB, 1],
    [64 * MIB, 8],
  ] as const) {
    const what = `${count} x ${chunkBytes / MIB} MiB`
    test.serial(`collecting ${what} takes ${pieces} pieces of memory besides the chunk (${form})`, async t => {
      const args = [form, chunkBytes, count]
      const { risenBytes, isWhole } = await runChild<{ risenBytes: number; isWhole: boolean }>('collect-peak.ts', args)
      t.log(`the peak rose by ${Math.round(risenBytes / MIB)} MiB`)
      t.true(isWhole)
      t.true(risenBytes < pieces * PIECE_BYTES + TOLERANCE_BYTES, String(risenBytes / MIB))
    })
  }
}
