/** Prints by how much the peak of resident memory rises while a buffer goes to the swap backend and comes back. */

import { Pager } from 'pageout'

const bufferBytes = Number(process.argv[2])
const buffer = new Uint8Array(bufferBytes).fill(7)
const peakBytes = () => process.resourceUsage().maxRSS * 1024

const beforeBytes = peakBytes()
const pager = new Pager()
const handle = pager.pageoutWith('swap', buffer)
const result = pager.take(handle)
const isWhole = result.length === bufferBytes && result[0] === 7 && result[bufferBytes - 1] === 7
console.log(JSON.stringify({ risenBytes: peakBytes() - beforeBytes, isWhole }))
