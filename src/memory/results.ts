/** The memory of results of this thread: one pool of spare buffers for all its pagers. */

import { native } from '../addon/load.js'
import { outOfMemory } from '../model/errors.js'
import { buffer as nodeBuffer, os } from '../runtime/node.js'

/** From this size on there is a whole huge page in any memory; one of them costs as much as a few of the usual 512. */
const HUGE_PAGES_FROM_BYTES = 4 * 2 ** 20

/** Buffers that were allocated here: only their memory is ever advised, kept or reused. */
const ours = new WeakSet<ArrayBuffer>()

/** Whether a buffer was allocated here. */
export function isOurs(buffer: ArrayBuffer): boolean {
  return ours.has(buffer)
}

/** Says that `moved` has, by a transfer of this package, the memory that `buffer` had. */
export function inherit(moved: ArrayBuffer, buffer: ArrayBuffer): void {
  if (ours.has(buffer)) ours.add(moved)
}

/** New memory with any content. */
export function allocate(byteLength: number): ArrayBuffer {
  try {
    const buffer = uncleared(byteLength)
    ours.add(buffer)
    if (byteLength >= HUGE_PAGES_FROM_BYTES) native.preferHugePages(new Uint8Array(buffer))
    return buffer
  } catch (cause) {
    throw outOfMemory(byteLength, cause)
  }
}

function uncleared(byteLength: number): ArrayBuffer {
  if (byteLength > nodeBuffer.constants.MAX_LENGTH) return new ArrayBuffer(byteLength)
  // Neither cleared nor part of the Buffer pool: exactly these bytes.
  return Buffer.allocUnsafeSlow(byteLength).buffer as ArrayBuffer
}

/** The most bytes that stay for results by default, and the share of the memory limit that they take at most. */
const SPARE_BYTES_MAX = 32 * 2 ** 20
const SPARE_SHARE = 1 / 16

/** `spareBytes` unless an option says otherwise: 32 MiB, or a sixteenth of the memory limit where that is less. */
export function defaultSpareBytes(): number {
  // Zero or a huge number where no control group sets a limit.
  const limit = Math.min(process.constrainedMemory() || os.totalmem(), os.totalmem())
  return Math.min(SPARE_BYTES_MAX, Math.floor(limit * SPARE_SHARE))
}

/** By length; the length that was given back longest ago comes first. */
const spares = new Map<number, ArrayBuffer[]>()
let spareBytes = 0
let spareHits = 0

/** Bytes of spare buffers, and how often one became a result. */
export function spareStats(): { spareBytes: number; spareHits: number } {
  return { spareBytes, spareHits }
}

/** A spare buffer of exactly `byteLength` bytes with any content, if there is one. */
export function spareFor(byteLength: number): ArrayBuffer | undefined {
  const spare = remove(byteLength)
  if (spare) spareHits++
  return spare
}

/** Keeps a buffer for results, within `limitBytes` of spares; gives those that have to go for it. */
export function keep(buffer: ArrayBuffer, limitBytes: number): ArrayBuffer[] {
  const bytes = buffer.byteLength
  const dropped: ArrayBuffer[] = []
  while (spareBytes + bytes > limitBytes && spareBytes > 0) dropped.push(dropOne())
  native.offerPages(new Uint8Array(buffer))
  const sameLength = spares.get(bytes) ?? []
  spares.delete(bytes)
  spares.set(bytes, sameLength)
  sameLength.push(buffer)
  spareBytes += bytes
  return dropped
}

/** Empties the pool; gives what was in it. */
export function takeSpares(): ArrayBuffer[] {
  const all: ArrayBuffer[] = []
  while (spareBytes > 0) all.push(dropOne())
  return all
}

function dropOne(): ArrayBuffer {
  const [byteLength = 0] = spares.keys()
  return remove(byteLength) as ArrayBuffer
}

function remove(byteLength: number): ArrayBuffer | undefined {
  const sameLength = spares.get(byteLength)
  const chosen = sameLength?.pop()
  if (!sameLength || !chosen) return undefined
  if (sameLength.length === 0) spares.delete(byteLength)
  spareBytes -= byteLength
  return chosen
}
