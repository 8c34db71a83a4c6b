/**
 * Freeing memory that pageout did not allocate. Only its owner may free it, V8 or an addon, and what V8 frees stays with the C
 * library, which keeps it resident. This module bounds how much stays.
 */

import { native } from '../addon/load.js'

/** Freed memory that may stay with the C library in any case: trims of less cost more than the memory is worth. */
const IDLE_BYTES_MIN = 2 ** 20

/** glibc maps blocks from this size on by themselves and unmaps them when they are freed, whatever was freed before. */
const MAPPED_FROM_BYTES = 32 * 2 ** 20

/**
 * From here on the addon counts the pages of what is freed, and can give them back by themselves. In shorter blocks too few whole
 * pages lie, and glibc mostly merges them with their neighbours.
 */
const LONG_FROM_BYTES = 64 * 2 ** 10

/**
 * A trim walks all free blocks of the heap: up to 40 ms where 1 GiB of it lies free in small pieces. The next trim comes only
 * after so many bytes were freed for each microsecond that the last one took: 5 us for 64 KiB whose pages can be discarded one
 * buffer at a time, 5 us for 4 KiB that cannot.
 */
const LONG_BYTES_PER_TRIM_US = 13 * 2 ** 10
const SHORT_BYTES_PER_TRIM_US = 800

/** However long a trim took, at most 16 MiB are idle on top of the limit before the next one. */
const TRIM_US_MAX = (16 * 2 ** 20) / SHORT_BYTES_PER_TRIM_US

/** Estimated bytes that were freed here since the last trim and are still idle in the C library: of long blocks, of short ones. */
let longBytes = 0
let shortBytes = 0
/** How many of the idle blocks have a length; an allocation of ours of the same length takes one of them. */
const idleBlocks = new Map<number, number>()
/** All bytes freed here since the last trim, and the processor time that it took. */
let freedBytes = 0
let trimUs = 0

/** Bytes that were freed and may still be resident. */
export function idleHeapBytes(): number {
  return longBytes + shortBytes
}

/**
 * Counts memory that is about to be freed. Returns whether freeing it is all there is to do: then at most `idleBytesMax` bytes of
 * what was freed stay resident, and 1 MiB; up to 16 MiB more than that where trims of a large heap of short blocks have to be apart.
 * Else it is for {@link discard}.
 */
export function mayStay(bytes: Uint8Array, idleBytesMax: number): boolean {
  const { byteLength } = bytes
  if (byteLength >= MAPPED_FROM_BYTES) return true
  freedBytes += byteLength
  countFreed(bytes)
  const limit = idleBytesMax + IDLE_BYTES_MIN
  const isShort = byteLength < LONG_FROM_BYTES
  if (idleHeapBytes() <= limit) return true
  if (!isTrimDue(isShort ? SHORT_BYTES_PER_TRIM_US : LONG_BYTES_PER_TRIM_US)) return isShort
  trimHeap()
  countFreed(bytes)
  return isShort || idleHeapBytes() <= limit
}

function countFreed(bytes: Uint8Array): void {
  const { byteLength } = bytes
  const blocks = (idleBlocks.get(byteLength) ?? 0) + 1
  if (byteLength < LONG_FROM_BYTES) {
    shortBytes += byteLength
    idleBlocks.set(byteLength, blocks)
  } else {
    // What others allocated again and we free again counts once.
    longBytes = Math.min(longBytes + byteLength, native.countFreed(bytes))
    idleBlocks.set(byteLength, Math.min(blocks, Math.ceil(longBytes / byteLength)))
  }
}

/** Frees a private buffer through its owner, within the limits of {@link mayStay}. */
export function free(buffer: ArrayBuffer, idleBytesMax: number): void {
  // V8 maps resizable buffers itself.
  if (buffer.resizable === true || mayStay(new Uint8Array(buffer), idleBytesMax)) native.detach(new Uint8Array(buffer))
  else discard(buffer)
}

/** Frees a private buffer through its owner, and gives its pages back. */
export function discard(buffer: ArrayBuffer): void {
  const { byteLength } = buffer
  if (native.detachAndDiscard(new Uint8Array(buffer))) longBytes = Math.max(0, longBytes - byteLength)
  else trimHeapIfDue()
}

/** Notes that memory is in use, which is what was freed as far as the C library took it from there. */
export function noteUsed(bytes: Uint8Array): void {
  const { byteLength } = bytes
  const blocks = idleBlocks.get(byteLength)
  if (!blocks) return
  idleBlocks.set(byteLength, blocks - 1)
  if (byteLength < LONG_FROM_BYTES) shortBytes -= byteLength
  else longBytes = Math.min(Math.max(0, longBytes - byteLength), native.countUsed(bytes))
}

/** Gives idle memory back to the operating system, if the last time is not too near for what that takes. */
export function trimHeapIfDue(): boolean {
  const isDue = isTrimDue(SHORT_BYTES_PER_TRIM_US)
  if (isDue) trimHeap()
  return isDue
}

/** Gives idle memory back to the operating system. */
export function trimHeap(): void {
  trimUs = Math.min(native.trimHeap(), TRIM_US_MAX)
  freedBytes = 0
  longBytes = 0
  shortBytes = 0
  idleBlocks.clear()
}

function isTrimDue(bytesPerUs: number): boolean {
  return freedBytes >= trimUs * bytesPerUs
}
