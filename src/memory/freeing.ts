/**
 * Giving memory back. Memory that pageout allocated is kept for results or goes back to the operating system directly. Any other
 * memory goes back to its owner, without a byte of it touched: after a transfer nothing tells V8's memory from an addon's.
 */

import { native } from '../addon/load.js'
import { free, idleHeapBytes, mayStay, trimHeap, trimHeapIfDue } from './heap.js'
import { dropOldestSpare, isKeepable, isOwn, keep, spareStats } from './results.js'

/** The part of `spareBytes` that spare buffers leave to memory that is freed, so that it need not be trimmed all the time. */
const IDLE_SHARE = 1 / 8

/**
 * Takes over a private buffer whose content nobody needs: keeps it for results, or gives its memory back now. Spare buffers and
 * what is freed but still resident take at most `spareBytes` bytes together, in this thread, once this returns.
 */
export function giveBack(buffer: ArrayBuffer, spareBytes: number): void {
  if (isKeepable(buffer)) {
    if (makeRoom(buffer.byteLength, spareBytes)) keep(buffer)
    else native.release(new Uint8Array(buffer))
    return
  }
  if (buffer.byteLength > 0) free(buffer, roomForFreed(spareBytes))
}

/** Whether memory that is not ours may be left to its owner, who is about to free it. It counts as freed. */
export function mayBeLeft(bytes: Uint8Array, spareBytes: number): boolean {
  return mayStay(bytes, roomForFreed(spareBytes))
}

/**
 * How many bytes may stay that are freed. Spare buffers that fill nearly all of `spareBytes` are dropped for them; where others
 * keep more than that, theirs stay.
 */
function roomForFreed(spareBytes: number): number {
  if (spareStats().spareBytes > spareBytes) return 0
  while (spareStats().spareBytes > spareBytes * (1 - IDLE_SHARE) && dropOldestSpare());
  return spareBytes - spareStats().spareBytes
}

/** Makes room for a spare buffer. Where others keep more than `spareBytes`, there is none, and theirs stays. */
function makeRoom(byteLength: number, spareBytes: number): boolean {
  if (byteLength > spareBytes || spareStats().spareBytes > spareBytes) return false
  while (spareStats().spareBytes + idleHeapBytes() + byteLength > spareBytes) {
    const isTrimmed = idleHeapBytes() >= spareBytes * IDLE_SHARE && trimHeapIfDue()
    if (!isTrimmed && !dropOldestSpare()) return false
  }
  return true
}

/** Frees private memory. None of what was excluded from core dumps is kept. */
export function freeBuffer(buffer: ArrayBuffer, isExcluded: boolean, spareBytes: number): void {
  if (isExcluded) releaseExcluded(buffer)
  else giveBack(buffer, spareBytes)
}

/**
 * Takes over a private buffer and gives its memory back now. For memory that was excluded from core dumps: it is let into them
 * again, and erased where that is certain to touch nobody else's.
 */
export function releaseExcluded(buffer: ArrayBuffer): void {
  if (buffer.byteLength === 0) return
  const bytes = new Uint8Array(buffer)
  if (isOwn(buffer)) {
    native.discardExcluded(bytes)
    native.release(bytes)
  } else {
    // Not after it was freed, when somebody else may have it.
    native.includeInCoreDumps(bytes)
    if (!native.detachAndDiscard(bytes)) trimHeap()
  }
}
