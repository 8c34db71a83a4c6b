/** The short form of the storm; `npm run storm` is the long one. `STORM_SEED` makes the choices of an earlier one again. */

import { fileURLToPath } from 'node:url'
import test from 'ava'
import { output } from './helpers/child.js'

const STORM = fileURLToPath(new URL('storm/main.mjs', import.meta.url))
const INTERLEAVINGS = 2000
/** After which no more interleavings begin. */
const SECONDS = 10

test('random interleavings of all verbs come to what they may come to, and leave nothing behind', async t => {
  const seed = Number(process.env.STORM_SEED ?? Math.floor(Math.random() * 2 ** 32))
  t.log(`STORM_SEED=${seed}`)
  const plan = { interleavings: INTERLEAVINGS, seconds: SECONDS, seed }
  const options = Object.entries(plan).flatMap(([name, value]) => [`--${name}`, String(value)])
  const printed = await output(process.execPath, ['--expose-gc', STORM, ...options])
  t.log(printed.trim().split('\n').at(-1))
  t.regex(printed, /[1-9]\d* interleavings, [1-9]\d* threads terminated, .*, seed \d+: all well/)
})
