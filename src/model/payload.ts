/** A payload, as the layers between a handle and the addon see it. */

import type { PagerRef } from '../../index.d.ts'
import type { Backend, Chunk } from './types.js'

/** A class of chunks: what is paged out in one class is read back in it. */
export interface ChunkClass {
  /** Name of the class. */
  readonly name: string
  /** Bytes of one element; 1 for Buffer, DataView and ArrayBuffer. */
  readonly elementBytes: number
  /** Makes a chunk of the class over `byteLength` bytes of a buffer. */
  readonly over: (buffer: ArrayBufferLike, byteOffset: number, byteLength: number) => Chunk
}

/** Class and length: what a payload is before it is stored. */
export interface PayloadShape {
  readonly chunkClass: ChunkClass
  readonly byteLength: number
}

/** The memory of a payload of the swap backend. JavaScript outside of this package cannot reach it. */
export interface SwapMemory {
  /** The chunks' memory, in order; none of it is empty. */
  buffers: readonly ArrayBuffer[]
  /** Where in the payload each of the buffers ends, in bytes. */
  readonly ends: readonly number[]
  /** Whether it is excluded from core dumps. */
  readonly isExcluded: boolean
  /** Jobs on other threads that use it now. */
  users: number
  /** Called when there are none. */
  waiting: (() => void)[]
}

/** The memory of a payload while callers may look at it: see borrows/loan.ts. */
export interface Lending {
  /** Ends all its borrows. */
  end(): void
  /** Ends all its borrows if a caller moved the memory elsewhere, and does {@link retry}. */
  settle(): void
  /** Tries again to take the memory back that could not be taken when the last borrow ended. */
  retry(): void
}

/** The pager that a payload belongs to in this thread. */
export interface Owner {
  /** @internal The pager in the addon. */
  readonly ref: PagerRef
  /** Upper limit on the memory that stays in this thread for results, as far as this pager adds to it. */
  readonly spareBytes: number
  /** Whether payloads of the file backend stay in memory while there is room. */
  readonly hasBudget: boolean
  /** Whether its pageouts exclude the memory of the swap backend from core dumps. */
  readonly excludes: boolean
  /** The memory of its payloads of the swap backend, by ticket. */
  readonly swapped: Map<number, SwapMemory>
  /** Its payloads that are borrowed. */
  readonly lendings: Set<Lending>
  /** Whether borrows note where they were made: from the first on that was not released. */
  notesBorrowers: boolean
  /** Called when nobody borrows a payload any more. */
  readonly onLoanEnd: ((payload: Payload) => void) | undefined
  /** True from the call of `close` on. */
  readonly isClosed: boolean
  /** Throws where the payload cannot be used now. */
  refuseUnusable(payload: Payload): void
  /** Throws where the pager is closed. */
  refuseClosed(): void
  /** Throws where the pager has freed its payloads. */
  refuseFreed(): void
  /** Counts a verb as pending, until {@link ended}. */
  began(): void
  ended(): void
  /** Frees the payload's slots or memory. */
  release(payload: Payload): void
  /** Sends the payload away, and returns the token that stands for it. */
  move(payload: Payload): string
  /** Whether the device has lost a part of a file that holds the payload. */
  isAtRisk(payload: Payload): boolean
}

/** A payload that is out: the inside of a handle. */
export interface Payload extends PayloadShape {
  readonly owner: Owner
  readonly backend: Backend
  /** Whether its bytes on the disk are encrypted. */
  readonly isEncrypted: boolean
  /** Stands for the payload in the addon; {@link RELEASED} once the handle was taken, released or moved. */
  ticket: number
  /** Whether a promise of `take` is pending. */
  isBeingTaken: boolean
  /** Whether the handle was released meanwhile, so that the payload is freed even if that take fails. */
  isReleaseDue: boolean
  /** Its borrows, if there are any. */
  lending: Lending | undefined
  /** What its memory within a budget is known by, while callers may look at that. */
  lentKey: number | undefined
}

/** The ticket of a handle that was taken, released or moved. */
export const RELEASED = -1

/** Elements of a payload. */
export function lengthOf({ byteLength, chunkClass }: PayloadShape): number {
  return byteLength / chunkClass.elementBytes
}

/** Marks a handle whose payload is gone. */
export function markReleased(payload: Payload): void {
  payload.ticket = RELEASED
}
