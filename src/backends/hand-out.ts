/** Results of promises: private memory becomes the caller's. */

import { bytesUnder } from '../chunks/classes.js'
import { clear, destination, filled } from '../chunks/target.js'
import { giveBack } from '../memory/freeing.js'
import { isSystemFailure } from '../model/errors.js'
import type { Payload } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import { orUndefined } from '../runtime/captured.js'

/** The chunk that is in private memory, which starts at byte 0 of its buffer, or the caller's target with a copy of it. */
export function handOut({ owner, chunkClass }: Payload, bytes: Uint8Array, target: unknown): Chunk {
  const { byteLength } = bytes
  const buffer = bytes.buffer as ArrayBuffer
  if (target === undefined) return chunkClass.over(buffer, 0, byteLength)
  // The target may have been resized or detached meanwhile, so it is looked at again.
  const goal = destination(chunkClass, byteLength, target)
  bytesUnder(goal.view).set(bytes)
  giveBack(buffer, owner.spareBytes)
  return filled(goal)
}

/** Returns the error of a read or take that failed. Of an encrypted payload nothing can be in the target then, which is zeros. */
export function withheld(
  { chunkClass, isEncrypted }: Payload,
  byteLength: number,
  target: unknown,
  error: unknown,
): unknown {
  if (target === undefined || !isEncrypted || !isSystemFailure(error)) return error
  // The target may have been resized or detached meanwhile: then there is nothing to clear.
  orUndefined(() => clear(destination(chunkClass, byteLength, target)))
  return error
}
