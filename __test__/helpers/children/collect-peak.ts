/** Prints by how much the peak of resident memory rises while chunks are collected. Arguments: `sync` or `promises`, bytes of a chunk, how many. */

import { pageoutFrom, readAt, take, trim } from 'pageout'
import * as promises from 'pageout/promises'
import { MIB } from '../chunks.js'

const [form, ...numbers] = process.argv.slice(2)
const [chunkBytes = 0, count = 0] = numbers.map(Number)
const collect = async (chunks: Iterable<Uint8Array>) =>
  form === 'sync' ? pageoutFrom(chunks) : await promises.pageoutFrom(chunks)
const peakBytes = () => process.resourceUsage().maxRSS * 1024

// Threads, files and code that the first use needs.
take(await collect([new Uint8Array(9 * MIB).fill(1)]))
trim()
const chunk = new Uint8Array(chunkBytes)
for (let position = 0; position < chunkBytes; position += 1024) chunk[position] = position / 1024
const beforeBytes = peakBytes()
const handle = await collect(Array(count).fill(chunk))
const risenBytes = peakBytes() - beforeBytes

let isWhole = handle.length === chunkBytes * count && chunk.length === chunkBytes
for (let piece = 0; piece < handle.length; piece += MIB) {
  const read = readAt(handle, piece, MIB)
  isWhole &&= Buffer.compare(read, chunk.subarray(piece % chunkBytes, (piece % chunkBytes) + MIB)) === 0
}
console.log(JSON.stringify({ risenBytes, isWhole }))
