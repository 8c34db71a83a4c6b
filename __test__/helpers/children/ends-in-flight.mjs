/** Ends with calls in flight. Arguments: the scratch directory, the kind of calls, and how. */

import { setImmediate } from 'node:timers/promises'
import { Pager } from 'pageout/promises'
import { begin } from '../in-flight.mjs'

const [scratchDir, kind, how] = process.argv.slice(2)
await begin(kind, new Pager({ scratchDir }))
if (how === 'later') await setImmediate()
if (how === 'throw') throw new Error('not caught')
process.exit(7)
