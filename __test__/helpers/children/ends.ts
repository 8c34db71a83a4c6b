/** Ends with payloads out. Arguments: the scratch directory, and how. */

import { Pager } from 'pageout'

const [scratchDir = '', how] = process.argv.slice(2)
const pager = new Pager({ scratchDir })
const handles = Array.from({ length: 10 }, (_, position) => pager.pageout(new Uint8Array(10_000 * (position + 1))))
if (handles.length === 10 && how === 'kill') process.kill(process.pid, 'SIGKILL')
if (how === 'throw') throw new Error('not caught')
process.exit(0)
