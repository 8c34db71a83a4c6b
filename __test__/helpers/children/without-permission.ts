/** Opens pagers as a user that owns nothing, where this process may become one. Arguments: directories. */

import { Pager } from 'pageout'
import { outcomeOf } from '../outcome.js'

if (process.getuid?.() === 0) process.seteuid?.(65_534)
const outcomes = process.argv.slice(2).map(scratchDir => outcomeOf(() => new Pager({ scratchDir })))
console.log(JSON.stringify(outcomes))
