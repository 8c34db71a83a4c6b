/** The memory of one payload while callers may look at it, which all its borrows share. */

import type { Fetched } from '../backends/backend.js'
import { backendOf } from '../backends/choose.js'
import { ARRAY_BUFFER, hasBytes } from '../chunks/classes.js'
import { transferOut } from '../chunks/detach.js'
import { markLent } from '../memory/lent.js'
import { privateMemory } from '../memory/results.js'
import type { Handle } from '../model/handle.js'
import type { Lending, Payload } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import { orUndefined } from '../runtime/captured.js'
import { type Place, warnOfCollected, warnOfTransferred } from './warnings.js'

/** Loans whose borrows were collected all, when the last of their callers has dropped the buffer too. */
const FORGOTTEN = new FinalizationRegistry<Loan>(loan => loan.endForgotten())

/** What is shared by the borrows of a payload. It is over when the last of them is. */
export class Loan implements Lending {
  readonly payload: Payload
  /** Kept alive: a handle that is collected frees its payload. */
  readonly handle: Handle<Chunk>
  isOver = false
  /** Whether its borrows give the buffer itself, and not arrays of their own. */
  readonly isOfBuffers: boolean
  /** The memory that callers see; nothing while it is left to them. */
  #buffer: ArrayBuffer | undefined
  /** The same while it is left to them: only they keep it alive, and the payload has memory besides it. */
  #callersBuffer: WeakRef<ArrayBuffer> | undefined
  /** Borrows that were not released. */
  #borrows = 0
  /** Where those of them were made that were collected, and whose buffer was not. */
  #forgotten: (Place | undefined)[] | undefined

  private constructor(payload: Payload, handle: Handle<Chunk>, buffer: ArrayBuffer) {
    this.payload = payload
    this.handle = handle
    this.isOfBuffers = payload.chunkClass === ARRAY_BUFFER
    this.#buffer = buffer
  }

  /**
   * The loan of a payload, which begins where there is none.
   *
   * @param fetched what the backend fetched for it
   * @param isCounted whether the borrow has part in a read that was counted
   */
  static of(payload: Payload, handle: Handle<Chunk>, fetched?: Fetched, isCounted = false): Loan {
    if (payload.lending) {
      payload.lending.settle()
      payload.owner.refuseUnusable(payload)
      if (payload.lending) {
        if (!isCounted) backendOf(payload).countBorrow(payload)
        return payload.lending as Loan
      }
    }
    const buffer = backendOf(payload).lend(payload, fetched)
    const loan = new Loan(payload, handle, buffer)
    markLent(buffer)
    payload.lending = loan
    payload.owner.lendings.add(loan)
    return loan
  }

  /** One borrow more. */
  join(): void {
    this.#buffer ??= this.#lendAgain()
    this.#borrows++
  }

  /** What a borrow sees of the memory, in the class that was paged out. */
  array(): Chunk {
    const { chunkClass, byteLength } = this.payload
    return chunkClass.over(this.#buffer as ArrayBuffer, 0, byteLength)
  }

  /** Callers who had the buffer for themselves share it with a borrow again. */
  #lendAgain(): ArrayBuffer {
    const buffer = this.#callersBuffer?.deref() as ArrayBuffer
    backendOf(this.payload).lendAgain(this.payload, buffer)
    this.#callersBuffer = undefined
    FORGOTTEN.unregister(this)
    return buffer
  }

  /** One borrow less. */
  leave(): void {
    this.#borrows--
    if (this.#borrows === 0) this.end()
    else this.#keepWeakly()
  }

  /** A borrow was collected whose value is the buffer itself, which a caller may still have. */
  forget(place: Place | undefined): void {
    this.#forgotten ??= []
    this.#forgotten.push(place)
    this.#keepWeakly()
  }

  /** Lets the collector have the buffer when only callers know it, so that it shows when they do not. */
  #keepWeakly(): void {
    if (this.isOver || !this.#buffer || this.#borrows !== this.#forgotten?.length) return
    this.settle()
    if (this.isOver || !this.#buffer) return
    const leave = () => {
      backendOf(this.payload).leave(this.payload)
      return true
    }
    // Without memory for that it stays until another borrow is released, or the pager closes.
    if (!orUndefined(leave)) return
    this.#callersBuffer = new WeakRef(this.#buffer)
    FORGOTTEN.register(this.#buffer, this, this)
    this.#buffer = undefined
  }

  /** Ends the loan whose buffer was collected. */
  endForgotten(): void {
    if (this.isOver || this.#visible()) return
    const places = this.#forgotten ?? []
    this.end()
    for (const place of places) warnOfCollected(this.payload, place)
  }

  settle(): void {
    const buffer = this.#visible()
    if (!buffer) this.endForgotten()
    else if (!hasBytes(buffer, this.payload.byteLength)) this.end()
    else this.retry()
  }

  retry(): void {
    if (this.#borrows === 0) this.end()
  }

  /**
   * Takes the memory back, which empties all arrays over it.
   *
   * @throws ENOMEM where callers keep the memory and the payload gets no other: the loan goes on then, without borrows
   */
  end(): void {
    if (this.isOver) return
    const { payload } = this
    const buffer = this.#visible()
    const isGone = buffer !== undefined && !hasBytes(buffer, payload.byteLength)
    const isLeft = !this.#buffer
    const moved = buffer && !isGone ? transferOut(buffer) : undefined
    const copy = buffer && !isGone && !moved && !isLeft ? copyOf(payload, buffer) : undefined
    const mine = moved ?? copy
    this.isOver = true
    this.#buffer = undefined
    payload.lending = undefined
    payload.owner.lendings.delete(this)
    const backend = backendOf(payload)
    if (isLeft) {
      FORGOTTEN.unregister(this)
      backend.endLeave(payload, moved)
      if (isGone) warnOfTransferred(payload, true)
    } else if (mine) {
      backend.takeBack(payload, mine, !moved)
    } else {
      const isKept = backend.lose(payload)
      if (isGone) warnOfTransferred(payload, isKept)
    }
    payload.owner.onLoanEnd?.(payload)
  }

  #visible(): ArrayBuffer | undefined {
    return this.#buffer ?? this.#callersBuffer?.deref()
  }
}

/** A copy of memory that a caller has marked as untransferable: only the collector takes that away. None for a pager that closes. */
function copyOf({ owner }: Payload, buffer: ArrayBuffer): ArrayBuffer | undefined {
  if (owner.isClosed) return undefined
  const copy = privateMemory(buffer.byteLength, owner.excludes)
  new Uint8Array(copy).set(new Uint8Array(buffer))
  return copy
}
