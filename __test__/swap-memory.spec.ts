/** The memory of payloads of the swap backend is back with the system when the call that ends them returns. */

import test from 'ava'
import { runChild } from './helpers/child.js'
import { MIB } from './helpers/chunks.js'

interface Left {
  readonly way: string
  readonly leftBytes: number
  readonly isRight: boolean
}

/** Of payloads of 256 MiB. */
const TOLERANCE_BYTES = 16 * MIB

test.serial('release, close, take and move give memory back at once', async t => {
  const seen = await runChild<Left[]>('swap-memory.ts')
  t.true(seen.length >= 12)
  for (const { way, leftBytes, isRight } of seen) {
    t.log(`${way}: ${Math.round(leftBytes / MIB)} MiB are left`)
    t.true(isRight, way)
    t.true(Math.abs(leftBytes) < TOLERANCE_BYTES, `${way}: ${Math.round(leftBytes / MIB)} MiB are left`)
  }
})
