/** What a backend does. The verbs (verbs/) check, trace and wait; a backend moves the bytes. */

import type { Ranges } from '../chunks/arguments.js'
import type { PageoutRequest } from '../chunks/request.js'
import type { Owner, Payload } from '../model/payload.js'
import type { Chunk } from '../model/types.js'

type Signal = AbortSignal | undefined

/** Where payloads are while they are out. The methods named `Later` work off the JavaScript thread, on private memory alone. */
export interface PayloadBackend {
  /** Stores the chunks of a request, and releases their memory as it asks. Returns the payload's ticket. */
  store(owner: Owner, request: PageoutRequest): number
  /** The same; after an abort nothing is stored. Its errors carry `chunks` where memory was taken. */
  storeLater(owner: Owner, request: PageoutRequest, signal: Signal): Promise<number>
  /** Reads ranges over `into`, which has exactly their length. */
  read(payload: Payload, ranges: Ranges, into: Uint8Array): void
  /** Reads ranges over `into`, private memory of exactly their length, or by default over new private memory. */
  readLater(payload: Payload, ranges: Ranges, into: Uint8Array | undefined, signal: Signal): Promise<Uint8Array>
  /** Reads the whole payload, and frees it; on an error it stays. */
  take(payload: Payload, target: unknown): Chunk
  /** The same. */
  takeLater(payload: Payload, target: unknown, signal: Signal): Promise<Chunk>
  /** Starts bringing ranges into memory. */
  prefetch(payload: Payload, ranges: Ranges): void
  /** Frees a payload's slots or memory. */
  release(owner: Owner, ticket: number): void
  /** Sends the payload away under a token; false where memory for that cannot be allocated. */
  send(payload: Payload, token: string): boolean
}
