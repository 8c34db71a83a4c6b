/** Taking the memory of chunks out of the caller's reach. */

import { inherit } from '../memory/results.js'
import { method, orUndefined } from '../runtime/captured.js'
import { clone, workers } from '../runtime/node.js'
import { isEmptied } from './classes.js'

const transfer =
  'transfer' in ArrayBuffer.prototype
    ? method<(buffer: ArrayBuffer) => ArrayBuffer>(ArrayBuffer.prototype, 'transfer')
    : undefined
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
