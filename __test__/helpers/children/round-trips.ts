/** Uses each synchronous verb, again and again, between two marks in the trace of its system calls. Arguments: bytes, how often, options. */

import { statSync } from 'node:fs'
import { Pager, type PagerOptions } from 'pageout'

const [byteLength = 0, trips = 0] = process.argv.slice(2, 4).map(Number)
const pager = new Pager(JSON.parse(process.argv[4] ?? '{}') as PagerOptions)
let bytes = new Uint8Array(byteLength).map((_, position) => position >>> 8)

function roundTrips(count: number): void {
  for (let trip = 0; trip < count; trip++) {
    const handle = pager.pageout(bytes)
    pager.readAt(handle, 0, byteLength)
    bytes = pager.take(handle)
    const copy = pager.pageout(bytes, { detach: 'never' })
    pager.read(copy)
    copy.release()
  }
}

/** A name of no file, which shows up in the trace. */
const mark = (place: 'begin' | 'end') => statSync(`/no-such-file-${place}`, { throwIfNoEntry: false })

roundTrips(trips)
mark('begin')
roundTrips(trips)
mark('end')
console.log(JSON.stringify({ byteLength: bytes.byteLength }))
