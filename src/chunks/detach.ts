/** Taking the memory of chunks out of the caller's reach. */

import type { MessagePort } from 'node:worker_threads'
import { giveBack, mayBeLeft } from '../memory/freeing.js'
import { discard, noteUsed } from '../memory/heap.js'
import { inherit, isOwn } from '../memory/results.js'
import { method, orUndefined, property } from '../runtime/captured.js'
import { clone, workers } from '../runtime/node.js'
import { isEmptied } from './classes.js'

const transfer =
  'transfer' in ArrayBuffer.prototype
    ? method<(buffer: ArrayBuffer, byteLength?: number) => ArrayBuffer>(ArrayBuffer.prototype, 'transfer')
    : undefined
const isResizable =
  'resizable' in ArrayBuffer.prototype ? property<boolean>(ArrayBuffer.prototype, 'resizable') : undefined
/** Node 21 and later. */
interface UntransferableMarks {
  isMarkedAsUntransferable?: (buffer: object) => boolean
}
const { isMarkedAsUntransferable: isMarked }: UntransferableMarks = workers as object

/**
 * Moves the memory of a buffer into a private ArrayBuffer, which detaches the caller's. `undefined` when it
 * cannot be moved: WebAssembly memory, or memory marked as untransferable, which memory of addons is.
 */
export function transferOut(buffer: ArrayBuffer): ArrayBuffer | undefined {
  const moved = transferred(buffer)
  if (moved) inherit(moved, buffer)
  return moved
}

function transferred(buffer: ArrayBuffer): ArrayBuffer | undefined {
  try {
    if (transfer && isMarked) return isMarked(buffer) ? undefined : transfer(buffer)
    // Older runtimes copy what they cannot transfer, and leave the source alive.
    const moved = clone(buffer, { transfer: [buffer] })
    return isEmptied(buffer) ? moved : undefined
  } catch {
    return undefined
  }
}

/** Gives the memory of a caller's buffer back, where it can be moved; the buffer is empty then, as that of a chunk listed before may be. */
export function giveBackFrom(buffer: ArrayBuffer, spareBytes: number): void {
  if (isEmptied(buffer)) return
  if (isOwn(buffer) || isResizable?.(buffer)) {
    const moved = transferOut(buffer)
    if (moved) giveBack(moved, spareBytes)
    return
  }
  const bytes = new Uint8Array(buffer)
  if (mayBeLeft(bytes, spareBytes)) {
    if (!drop(buffer)) noteUsed(bytes)
    return
  }
  const moved = transferOut(buffer)
  if (moved) discard(moved)
  else noteUsed(bytes)
}

/**
 * Lets the owner of a buffer's memory free it at once, which detaches the buffer: as {@link transferOut}, without a private buffer
 * in between. Returns false when it cannot be moved.
 */
function drop(buffer: ArrayBuffer): boolean {
  try {
    if (!transfer || !isMarked) sink().postMessage(undefined, [buffer])
    else if (!isMarked(buffer)) transfer(buffer, 0)
  } catch {
    // It stays as it is.
  }
  return isEmptied(buffer)
}

let closedPort: MessagePort | undefined

/** A port that is closed: what is transferred to it is freed, and what cannot be transferred is left as it is. */
function sink(): MessagePort {
  if (closedPort) return closedPort
  closedPort = new workers.MessageChannel().port1
  closedPort.close()
  return closedPort
}

/** Whether {@link transferOut} would move the buffer. It changes nothing, but costs a few microseconds. */
export function isMovable(buffer: ArrayBuffer): boolean {
  // A transfer that fails after the list of buffers was checked detaches none of them. Where buffers that cannot be
  // transferred are refused, a value that cannot be cloned lets all others fail later; where they are skipped, naming a
  // buffer twice lets all others fail.
  if (!isMarked) return orUndefined(() => clone(null, { transfer: [buffer, buffer] })) === undefined
  if (isMarked(buffer)) return false
  return FAILED_CLONES_DETACH ? failsForItsLength(buffer) : isListed(buffer)
}

/** Whether a clone gets from the list of buffers to its value, where it fails. */
function isListed(buffer: ArrayBuffer): boolean {
  let reachedTheValue = false
  const value = {
    get never(): undefined {
      reachedTheValue = true
      throw new Error('not to be cloned')
    },
  }
  orUndefined(() => clone(value, { transfer: [buffer] }))
  return reachedTheValue
}

/** Whether a transfer to a length that no memory has fails for nothing else. It can make the collector run. */
function failsForItsLength(buffer: ArrayBuffer): boolean {
  try {
    buffer.transfer(Number.MAX_SAFE_INTEGER)
    return false
  } catch (error) {
    return error instanceof RangeError
  }
}

/** Deno detaches what is listed even when the clone fails. */
const FAILED_CLONES_DETACH = (() => {
  const buffer = new ArrayBuffer(1)
  return isListed(buffer) && buffer.byteLength === 0
})()
