/** Results of promises: private memory becomes the caller's. */

import { bytesUnder } from '../chunks/classes.js'
import { destination, filled } from '../chunks/target.js'
import { giveBack } from '../memory/freeing.js'
import type { Payload } from '../model/payload.js'
import type { Chunk } from '../model/types.js'

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
