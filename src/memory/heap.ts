/**
 * Freeing memory that pageout did not allocate. Only its owner may free it, V8 or an addon, and what V8 frees stays with the C
 * library, which keeps it resident. This module bounds how much stays.
 */

import { native } from '../addon/load.js'

/** Freed memory that may stay with the C library in any case: trims of less cost more than the memory is worth. */
const IDLE_BYTES_MIN = 2 ** 20

/** glibc maps blocks from this size on by themselves and unmaps them when they are freed, whatever was freed before. */
const MAPPED_FROM_BYTES = 32 * 2 ** 20

/** In shorter blocks too few whole pages lie, and glibc mostly merges them with their neighbours. */
const DISCARDED_FROM_BYTES = 64 * 2 ** 10

/**
 * A trim walks all free blocks of the heap: up to 40 ms where 1 GiB of it lies free in small pieces. The next trim comes only
 * after so many bytes were freed for each microsecond that the last one took: 5 us for 64 KiB whose pages can be discarded one
 * buffer at a time, 5 us for 4 KiB that cannot.
 */
const DISCARDED_BYTES_PER_TRIM_US = 13 * 2 ** 10
const IDLE_BYTES_PER_TRIM_US = 800

/** However long a trim took, at most 16 MiB are idle on top of the limit before the next one. */
const TRIM_US_MAX = (16 * 2 ** 20) / IDLE_BYTES_PER_TRIM_US

/** Estimated bytes that were freed here since the last trim and are still idle in the C library. */
let idleBytes = 0
/** How many of the idle blocks have a length; an allocation of the same length takes one of them. */
const idleBlocks = new Map<number, number>()
/** All bytes freed here since the last trim, and the processor time that it took. */
let freedBytes = 0
let trimUs = 0

/** Estimated bytes that were freed and are still resident. */
export function idleHeapBytes(): number {
  return idleBytes
}

/**
 * Frees a private buffer through its owner. At most `idleBytesMax` bytes of what was freed stay resident, or 1 MiB if that is
 * more; up to 16 MiB more than that where trims of a large heap of small blocks have to be apart.
 */
export function free(buffer: ArrayBuffer, idleBytesMax: number): void {
  const { byteLength } = buffer
  // V8 maps resizable buffers itself.
  if (byteLength >= MAPPED_FROM_BYTES || buffer.resizable === true) {
    native.detach(new Uint8Array(buffer))
    return
  }
  const limit = Math.max(idleBytesMax, IDLE_BYTES_MIN)
  freedBytes += byteLength
  const isOver = idleBytes + byteLength > limit
  if (isOver && byteLength >= DISCARDED_FROM_BYTES) {
    // Also before a trim, which does not reach what lies at the end of some heaps.
    const isDiscarded = native.detachAndDiscard(new Uint8Array(buffer))
    if (isDiscarded && !isTrimDue(DISCARDED_BYTES_PER_TRIM_US)) return
  } else {
    native.detach(new Uint8Array(buffer))
  }
  idleBytes += byteLength
  idleBlocks.set(byteLength, (idleBlocks.get(byteLength) ?? 0) + 1)
  if (isOver && isTrimDue(IDLE_BYTES_PER_TRIM_US)) trimHeap()
}

/** Notes that memory was allocated, which the C library takes from what is idle. */
export function noteAllocated(byteLength: number): void {
  const blocks = idleBlocks.get(byteLength)
  if (!blocks) return
  idleBlocks.set(byteLength, blocks - 1)
  idleBytes -= byteLength
}

/** Gives idle memory back to the operating system, if the last time is not too near for what that takes. */
export function trimHeapIfDue(): boolean {
  const isDue = isTrimDue(IDLE_BYTES_PER_TRIM_US)
  if (isDue) trimHeap()
  return isDue
}

/** Gives idle memory back to the operating system. */
export function trimHeap(): void {
  trimUs = Math.min(native.trimHeap(), TRIM_US_MAX)
  freedBytes = 0
  idleBytes = 0
  idleBlocks.clear()
}

function isTrimDue(bytesPerUs: number): boolean {
  return freedBytes >= trimUs * bytesPerUs
}
