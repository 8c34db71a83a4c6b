/** Payloads that move between threads: `move` exchanges a payload for a token, `adopt` a token for a payload. */

import { native } from '../addon/load.js'
import { backendOf } from '../backends/choose.js'
import { hintCold, keep } from '../backends/swap.js'
import { classNamed } from '../chunks/classes.js'
import { allocate } from '../memory/results.js'
import { guarded, invalidArgType, invalidArgValue, outOfMemory, unknownToken } from '../model/errors.js'
import type { Handle } from '../model/handle.js'
import { markReleased, type Owner, type Payload, type PayloadShape } from '../model/payload.js'
import type { Backend, Chunk } from '../model/types.js'
import { crypto } from '../runtime/node.js'

/** The form of a token. */
export const TOKEN = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/

/** The pager that takes payloads in. */
interface Receiver extends Owner {
  handle(shape: PayloadShape, backend: Backend, ticket: number, isEncrypted: boolean): Handle<Chunk>
}

/** Sends a payload away; the token stands for it. */
export function send(payload: Payload): string {
  const token = crypto.randomUUID()
  if (!backendOf(payload).send(payload, token)) throw outOfMemory(payload.byteLength)
  markReleased(payload)
  return token
}

/** Takes in the payload that a token stands for. */
export function receive(receiver: Receiver, token: unknown): Handle<Chunk> {
  if (typeof token !== 'string') throw invalidArgType('token', 'a token that move() gave', token)
  if (!TOKEN.test(token)) throw invalidArgValue('token', 'must be a token that move() gave', token)
  const [className, byteLength, isSwapped, isExcluded = false, isEncrypted = false] = native.lookUp(token) ?? []
  const chunkClass = className === undefined ? undefined : classNamed(className)
  if (!chunkClass || byteLength === undefined) throw unknownToken()
  const buffer = allocate(isSwapped ? byteLength : 0)
  if (isExcluded) guarded(() => native.excludeFromCoreDumps(new Uint8Array(buffer)))
  // Another thread may have been faster.
  const ticket = guarded(() => native.receive(receiver.ref, token, new Uint8Array(buffer)))
  if (ticket < 0) throw unknownToken()
  if (isSwapped) hintCold(keep(receiver, ticket, [buffer], isExcluded))
  return receiver.handle({ chunkClass, byteLength }, isSwapped ? 'swap' : 'file', ticket, isEncrypted)
}
