// A round trip in both forms, without top-level await, which bundles in CommonJS lack.
import { Handle, pageout, readAt } from 'pageout'
import * as promises from 'pageout/promises'

const column = Float64Array.from({ length: 100_000 }, (_, index) => index)
const handle = pageout(column)
const some = readAt(handle, 99_997, 2)
promises.take(handle).then(whole => {
  const isOne = Handle === promises.Handle && handle instanceof Handle
  console.log(
    `left ${column.length}, read ${some.join()}, took ${whole.length} up to ${whole.at(-1)}, one copy: ${isOne}`,
  )
})
