/** What the caller holds of a payload that is borrowed. */

import { borrowReleased, invalidArgType } from '../model/errors.js'
import type { Chunk } from '../model/types.js'
import { util } from '../runtime/node.js'
import type { Loan } from './loan.js'
import { type Place, warnOfCollected } from './warnings.js'

/** Known to this module alone, so that no one else can construct a borrow. */
const KEY = Symbol('pageout')

/** The part of a borrow that must outlive it, to end it when it was collected. */
class Lease {
  /** Nothing once the borrow is released. */
  loan: Loan | undefined
  readonly place: Place | undefined

  constructor(loan: Loan, place: Place | undefined) {
    this.loan = loan
    this.place = place
  }

  get isOver(): boolean {
    return this.loan === undefined || this.loan.isOver
  }

  end(): void {
    const { loan } = this
    if (!loan) return
    this.loan = undefined
    if (loan.isOfBuffers) BORROWS.unregister(this)
    else ARRAYS.unregister(this)
    if (!loan.isOver) loan.leave()
  }
}

/**
 * Watches the arrays: a borrow keeps its array alive, so that both are gone when this is. The lease is the unregister token: without
 * one, a loop that never waits would keep a record of each borrow that it has released.
 */
const ARRAYS = new FinalizationRegistry<Lease>(lease => {
  const { loan, place, isOver } = lease
  if (!loan || isOver) return
  lease.end()
  warnOfCollected(loan.payload, place)
})

/** Watches borrows whose value is the buffer itself, which the loan keeps alive. */
const BORROWS = new FinalizationRegistry<Lease>(({ loan, place, isOver }) => {
  if (loan && !isOver) loan.forget(place)
})

let make: (value: Chunk, lease: Lease) => Borrow<Chunk>

/**
 * A payload that may be looked at in memory, made by `borrow` only. It stays paged out: its handle and its place are kept. Look, and
 * do not write. After the last release of all borrows of a payload their arrays are empty.
 *
 * @example
 * using borrowed = borrow(handle)
 * console.log(borrowed.value[7])
 */
export class Borrow<out C extends Chunk = Chunk> {
  #value: Chunk | undefined
  readonly #lease: Lease
  /** The class of the array; for the compiler only. */
  declare protected readonly chunk?: C

  static {
    make = (value, lease) => new Borrow(value, lease, KEY)
  }

  private constructor(value: Chunk, lease: Lease, key: symbol) {
    if (key !== KEY) throw invalidArgType('value', 'borrowed; borrows cannot be constructed', value)
    this.#value = value
    this.#lease = lease
  }

  /**
   * The whole payload, in the class that was paged out. Asynchronous work that was given it (`fs`, sockets, `zlib`) must have
   * ended before the borrow does.
   *
   * @throws ERR_PAGEOUT_RELEASED
   */
  get value(): C {
    if (this.#lease.isOver) throw borrowReleased()
    return this.#value as C
  }

  /** Whether the borrow was released, or its pager closed. */
  get released(): boolean {
    return this.#lease.isOver
  }

  /** Ends the borrow. After the last of a payload, all arrays over its memory are empty. Calling it again does nothing. */
  release(): void {
    this.#value = undefined
    this.#lease.end()
  }

  /** As {@link release}. */
  [Symbol.dispose](): void {
    this.release()
  }

  /** @internal What `console.log` shows: never the payload. */
  [util.inspect.custom](): string {
    return `Borrow ${util.inspect({ released: this.released })}`
  }
}

/** @internal A borrow of a loan, which ends it when it is collected unreleased. */
export function borrowOf(loan: Loan, place: Place | undefined): Borrow<Chunk> {
  const lease = new Lease(loan, place)
  loan.join()
  const value = loan.array()
  const borrow = make(value, lease)
  if (loan.isOfBuffers) BORROWS.register(borrow, lease, lease)
  else ARRAYS.register(value, lease, lease)
  return borrow
}
