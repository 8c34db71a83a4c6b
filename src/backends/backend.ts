/** What a backend does. The verbs (verbs/) check, trace and wait; a backend moves the bytes. */

import type { Ranges } from '../chunks/arguments.js'
import type { PageoutRequest } from '../chunks/request.js'
import type { Owner, Payload } from '../model/payload.js'
import type { Chunk } from '../model/types.js'

type Signal = AbortSignal | undefined

/** That a payload stays in memory until it is lent. */
export interface Hold {
  /** Stands for that in the addon. */
  readonly ticket: number
  /** Whether its bytes were read for that, which is counted once for all who waited. */
  readonly isMiss: boolean
}

/** What was fetched for a borrow: memory with the payload, or that it stays in memory. */
export type Fetched = ArrayBuffer | Hold

/** Where payloads are while they are out. The methods named `Later` work off the JavaScript thread, on private memory alone. */
export interface PayloadBackend {
  /** Stores the chunks of a request, and releases their memory as it asks. Returns the payload's ticket. */
  store(owner: Owner, request: PageoutRequest): number
  /** The same; after an abort nothing is stored. Its errors carry `chunks` where memory was taken. */
  storeLater(owner: Owner, request: PageoutRequest, signal: Signal): Promise<number>
  /** Reads ranges over `into`, a typed array of exactly their length. */
  read(payload: Payload, ranges: Ranges, into: ArrayBufferView): void
  /** Reads ranges over `into`, private memory of exactly their length, or by default over new private memory. */
  readLater(payload: Payload, ranges: Ranges, into: Uint8Array | undefined, signal: Signal): Promise<Uint8Array>
  /** Reads the whole payload, and frees it; on an error it stays. */
  take(payload: Payload, target: unknown): Chunk
  /** The same. */
  takeLater(payload: Payload, target: unknown, signal: Signal): Promise<Chunk>
  /**
   * The whole payload in memory that callers may look at, a buffer of exactly its bytes that cannot be resized. Other threads do not
   * use it until it is taken back.
   *
   * @param fetched what {@link fetchLater} gave; otherwise the work is done now
   */
  lend(payload: Payload, fetched?: Fetched): ArrayBuffer
  /** Counts one more borrow of a payload that is lent. */
  countBorrow(payload: Payload): void
  /** Does what {@link lend} has to wait for, if there is something. */
  fetchLater(payload: Payload): Promise<Fetched | undefined>
  /** Takes over what was fetched and not lent. */
  dropFetched(payload: Payload, fetched: Fetched): void
  /** Takes lent memory back, which is private again: the same, or a copy where callers keep it. */
  takeBack(payload: Payload, buffer: ArrayBuffer, isCopy: boolean): void
  /** Leaves lent memory to the callers: the payload has other memory until {@link lendAgain} or {@link endLeave}. */
  leave(payload: Payload): void
  /** Lends the memory again that was left to the callers, as it is now. */
  lendAgain(payload: Payload, buffer: ArrayBuffer): void
  /** Ends that memory was left to the callers. Takes it over where it is private again. */
  endLeave(payload: Payload, buffer: ArrayBuffer | undefined): void
  /** Says whether the payload still exists when lent memory is gone, which a caller moved elsewhere. Else it is released. */
  lose(payload: Payload): boolean
  /** Starts bringing ranges into memory. */
  prefetch(payload: Payload, ranges: Ranges): void
  /** Frees a payload's slots or memory. */
  release(owner: Owner, ticket: number): void
  /** Sends the payload away under a token; false where memory for that cannot be allocated. */
  send(payload: Payload, token: string): boolean
}
