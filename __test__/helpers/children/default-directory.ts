/**
 * Prints where the first pageout puts its scratch files, and whether a later choice is refused. Arguments: that
 * choice, and the temporary directory of the system.
 */

import { pageout, setScratchDir, stats } from 'pageout'
import { outcomeOf } from '../outcome.js'

const [other = '', temporary] = process.argv.slice(2)
if (temporary !== undefined) process.env.TMPDIR = temporary
const before = stats().scratchDir
const handle = pageout(Uint8Array.of(1))
const { scratchDir } = stats()
console.log(JSON.stringify({ before, scratchDir, length: handle.length, other: outcomeOf(() => setScratchDir(other)) }))
