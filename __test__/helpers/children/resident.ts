/**
 * Prints how much resident memory buffers take before and right after they go out, with allocations between them that live
 * on. Arguments: bytes of a buffer, how many, bytes of the spare budget, and `together` or `apart`.
 */

import { Pager } from 'pageout'

const [bufferBytes = 0, count = 0, spareBytes = 0] = process.argv.slice(2, 5).map(Number)
const together = process.argv[5] === 'together'

const pager = new Pager({ spareBytes })
// The C library keeps freed memory to itself only after the first big buffer was freed.
pager.pageout(new Float64Array(bufferBytes / 8).fill(1))[Symbol.dispose]()
pager.trim()

const neighbours: ArrayBuffer[] = []
const buffers = Array.from({ length: count }, (_, position) => {
  neighbours.push(new ArrayBuffer(3000))
  return new Float64Array(bufferBytes / 8).fill(position + 0.5)
})
globalThis.gc?.()

const fullBytes = process.memoryUsage.rss()
const handles = together ? [pager.pageout(buffers)] : buffers.map(buffer => pager.pageout(buffer))
const afterBytes = process.memoryUsage.rss()

const isWhole = handles.every(
  (handle, position) => pager.readAt(handle, handle.length - 1, 1)[0] === (together ? count : position + 1) - 0.5,
)
const goneBytes = fullBytes - afterBytes
console.log(JSON.stringify({ goneBytes, spareBytes: pager.stats().spareBytes, isWhole, neighbours: neighbours.length }))
