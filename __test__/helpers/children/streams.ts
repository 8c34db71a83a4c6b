/** Pages a long file out, or writes a long payload to a file, and prints whether the bytes are the same and the peak of memory. */

import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { pageoutFrom, toReadableStream } from 'pageout/promises'

const [way, directory = '', length] = process.argv.slice(2)
const fileBytes = Number(length)
const path = join(directory, 'file')

/** Bytes that differ from piece to piece, always in the same memory. */
function* pieces(): Generator<Uint8Array> {
  const memory = new Uint8Array(2 ** 20).map((_, position) => position * 31)
  for (let start = 0; start < fileBytes; start += memory.length) {
    new DataView(memory.buffer).setFloat64(4096, start)
    yield memory
  }
}

async function digestOf(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha1')
  for await (const chunk of chunks) hash.update(chunk)
  return hash.digest('hex')
}

async function fromFile(): Promise<string> {
  const file = await open(path, 'w')
  for (const piece of pieces()) await file.write(piece)
  await file.close()
  const handle = await pageoutFrom<Buffer>(createReadStream(path))
  return await digestOf(toReadableStream(handle, { release: true }))
}

async function toFile(): Promise<string> {
  const stream = toReadableStream(await pageoutFrom(pieces()), { release: true })
  await pipeline(Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(path))
  return await digestOf(createReadStream(path))
}

const expected = await digestOf(pieces())
const actual = await (way === 'from a file' ? fromFile() : toFile())
const peakBytes = process.resourceUsage().maxRSS * 1024
console.log(JSON.stringify({ isSame: actual === expected, peakBytes }))
