/** What compiles without the types of Node too, where the library has AbortSignal. */

import { pageout, take, tryTake } from 'pageout'
import { pageout as pageoutLater } from 'pageout/promises'

const doubles: Float64Array<ArrayBuffer> = take(pageout([new Float64Array(1), new Float64Array(2)]))
const view: DataView<ArrayBuffer> = take(pageout(new DataView(new ArrayBuffer(8))))
const taken = tryTake(await pageoutLater(new Int8Array(1), { signal: new AbortController().signal }))
if (taken.ok) {
  const bytes: Int8Array<ArrayBuffer> = taken.value
  // @ts-expect-error the class of what comes back is that of the handle
  const others: Uint8Array = bytes
  others.fill(0)
}
// @ts-expect-error no chunk
pageout('text')
// @ts-expect-error no signal
await pageoutLater(doubles, { signal: 'now' })

export { doubles, view }
