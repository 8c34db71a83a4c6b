/** Reading payloads as streams, to the end or not, while anything happens to the handle. */

import { setImmediate } from 'node:timers/promises'
import { Abortable, attempt, insist } from './calls.mjs'
import { RELEASED } from './payloads.mjs'
import { bytesOf, same } from './pieces.mjs'

/** Chunks of a stream at most, for short payloads. */
const CHUNKS_MAX = 40

/** Ways to read a stream. Each gives what it reads to `take`, and says whether it came to the end. */
const READERS = [readByDefault, readIntoOwn, readIntoOwn, iterate]

/**
 * Reads a stream of a payload, and checks what it gives.
 *
 * @returns {{ call: Abortable, done?: Promise<void> }}
 */
export function readStream(random, world, entry) {
  const call = new Abortable(random, world, true)
  const { handle } = entry
  const release = random.pick([undefined, false, true, 'end'])
  const chunkBytes = random.pick([undefined, 1 + random.below(100), 4096, 1 + random.below(100_000)])
  const options = { release, ...call.signalOptions }
  if (chunkBytes !== undefined) options.chunkBytes = Math.max(chunkBytes, Math.ceil(handle.byteLength / CHUNKS_MAX))
  const reader = random.pick(READERS)
  const manner = someManner(random, handle.byteLength)
  entry.judgeHandle(call)
  if (release) entry.loans.judgeStream(call)
  const { changes } = entry
  const { error, stream } = attempt(() => ({ stream: world.controls.toReadableStream(handle, options) }))
  if (error) {
    call.end(error, 'toReadableStream')
    return { call }
  }
  if (release) entry.threats += 1
  judgeMeanwhile(call, entry)
  if (release) entry.releasers.add(call)
  const done = read().catch(error => ({ error }))
  return { call, done: done.then(end) }

  async function read() {
    const chunks = []
    const take = chunk => chunks.push(bytesOf(chunk))
    try {
      for (let turn = 0; turn < manner.delay; turn += 1) await setImmediate()
      if (handle.byteLength > 0) insistKept('before it was read')
      const isWhole = await reader(stream, manner, take)
      return { chunks, isWhole }
    } catch (error) {
      return { chunks, error }
    }
  }

  /** The handle has not been released, or not by this stream. */
  function insistKept(when) {
    const isReleasedByOthers =
      entry.saysReleased || entry.takes.size > 0 || [...entry.releasers].some(other => other !== call)
    insist(!handle.released || isReleasedByOthers, `a stream released its handle ${when}`)
  }

  function end({ chunks, isWhole, error }) {
    entry.releasers.delete(call)
    call.end(error, `a stream by ${reader.name}`)
    checkBytes(entry, Buffer.concat(chunks), { isWhole, isChanged: entry.changes !== changes })
    const longest = reader === readIntoOwn ? manner.viewBytes : (options.chunkBytes ?? handle.byteLength)
    insist(
      chunks.every(({ length }) => length > 0 && length <= longest),
      'a chunk of a stream has another length',
    )
    if (!release || error) return
    const readBytes = chunks.reduce((sum, { length }) => sum + length, 0)
    if (release === 'end' && !isWhole && readBytes < handle.byteLength) return insistKept('and was not read to its end')
    // Whoever stops behind the last byte may or may not have been at the end.
    if (release === 'end' && !isWhole && !handle.released) return
    insist(handle.released, 'a stream that is over did not release its handle')
    entry.release()
  }
}

/** What may happen until the stream is over. */
function judgeMeanwhile(call, entry) {
  const { threats } = entry
  const isThreatened = entry.takes.size > 0 || entry.releasers.size > 0
  call.risk(() => (isThreatened || entry.threats !== threats || entry.handle.released ? [RELEASED] : []))
  call.risk(() => (entry.loans.isRobbed ? [RELEASED] : []))
  call.risk(() => (call.world.isClosed || entry.world.isClosed ? ['ERR_PAGEOUT_CLOSED'] : []))
}

/** How a stream is read; all that is left to chance. */
function someManner(random, byteLength) {
  const Views = byteLength % 8 === 0 ? [Uint8Array, DataView, Float64Array] : [Uint8Array, DataView]
  return {
    delay: random.pick([0, 0, 0, 1, 20]),
    stopAfter: random.oneIn(3) ? random.below(4) : Number.POSITIVE_INFINITY,
    pauses: random.below(2 ** 8),
    View: random.pick(Views),
    // Some longer than the payload, and some at a time.
    viewBytes: 8 * (1 + Math.max(random.below(2000), Math.ceil(byteLength / 8 / CHUNKS_MAX))),
    together: random.pick([1, 1, 2, 5]),
  }
}

async function pause({ pauses }, step) {
  if ((pauses >> (step % 8)) & 1) await setImmediate()
}

async function readByDefault(stream, manner, take) {
  const reader = stream.getReader()
  for (let step = 0; step < manner.stopAfter; step += 1) {
    const { value, done } = await reader.read()
    if (done) return true
    take(value)
    await pause(manner, step)
  }
  await reader.cancel('enough')
  return false
}

async function readIntoOwn(stream, manner, take) {
  const { View, viewBytes, together } = manner
  const reader = stream.getReader({ mode: 'byob' })
  for (let step = 0; step < manner.stopAfter; step += 1) {
    const reads = Array.from({ length: together }, () => reader.read(new View(new ArrayBuffer(viewBytes))))
    const results = await Promise.allSettled(reads)
    for (const { value } of results) if (value && !value.done) take(value.value)
    const failed = results.find(({ status }) => status === 'rejected')
    if (failed) throw failed.reason
    if (results.some(({ value }) => value.done)) return true
    await pause(manner, step)
  }
  await reader.cancel('enough')
  return false
}

async function iterate(stream, manner, take) {
  let step = 0
  for await (const chunk of stream) {
    take(chunk)
    step += 1
    if (step >= manner.stopAfter) return false
    await pause(manner, step)
  }
  return true
}

/** What a stream gave is how the payload begins, and all of it if it came to the end. */
function checkBytes({ content, handle }, bytes, { isWhole, isChanged }) {
  insist(!isWhole || bytes.length === handle.byteLength, `a stream ended after ${bytes.length} bytes`)
  if (content === undefined || isChanged) return
  insist(same(bytes, content.subarray(0, bytes.length)), 'a stream gave other bytes')
}
