/** The pagers that a storm goes over: the one of the process, and some of its own. */

import * as sync from 'pageout'
import * as promises from 'pageout/promises'
import { insist } from './calls.mjs'
import { Ledger } from './ledger.mjs'

const KIB = 2 ** 10
const DETACHES = [undefined, undefined, 'auto', 'never', 'never', 'required']
const CAN_EXCLUDE = process.platform === 'linux'

/** A pager with the forms of its verbs that it has. */
class World {
  isClosed = false
  #options
  #Pager

  /** @param {object} [options] of a pager of its own; without any it is the one of the process */
  constructor(Pager, options) {
    this.#Pager = Pager
    this.#options = options
    this.open()
  }

  /** Whether all threads share the pager. */
  get isShared() {
    return this.#options === undefined
  }

  get capacityBytes() {
    return this.#options?.capacityBytes
  }

  /** What becomes of the chunks of pageouts that name nothing else. */
  get detach() {
    return this.#options?.detach ?? 'auto'
  }

  /** Whether its payloads are gone as soon as it is closed, without waiting for what is pending. */
  get closesAtOnce() {
    return this.#Pager === sync.Pager
  }

  /** Whether handles of another world work with it. */
  serves(world) {
    return this.isShared || world === this
  }

  /** What needs no waiting. */
  get controls() {
    return this.sync ?? this.promises
  }

  open() {
    this.isClosed = false
    this.ledger = new Ledger()
    if (this.isShared) {
      this.sync = sync
      this.promises = promises
      return
    }
    const pager = new this.#Pager(this.#options)
    insist((pager[Symbol.dispose] === undefined) === !this.closesAtOnce, 'a pager is disposed of in the wrong form')
    this.sync = this.#Pager === sync.Pager ? pager : undefined
    this.promises = this.#Pager === promises.Pager ? pager : undefined
  }

  /** Closes a pager of the storm's own; what it gives back is to be waited for. */
  close(isDisposed = false) {
    this.isClosed = true
    if (!isDisposed) return this.controls.close()
    return this.controls[this.closesAtOnce ? Symbol.dispose : Symbol.asyncDispose]()
  }
}

/** The pagers of one batch of interleavings. The one of the process comes more than once, to be chosen more often. */
export function openWorlds(random) {
  const shared = new World()
  // Small ones are full all the time; two of the pagers may share one.
  const budget = new sync.MemoryBudget(random.pick([16, 128]) * KIB)
  const residentBytes = () => random.pick([undefined, undefined, 4 * KIB, 64 * KIB, 2 ** 20, 'auto', budget, budget])
  const own = [sync.Pager, promises.Pager].flatMap(Pager => [
    new World(Pager, {
      integrity: random.pick(['checksum', 'none']),
      detach: random.pick(DETACHES),
      excludeFromCoreDumps: CAN_EXCLUDE && random.oneIn(2),
      residentBytes: residentBytes(),
    }),
    new World(Pager, {
      detach: random.pick(DETACHES),
      capacityBytes: random.pick([8, 64, 200]) * KIB,
      spareBytes: random.pick([0, 16 * KIB, 2 ** 20]),
      backend: random.pick(['file', 'file', 'swap']),
      residentBytes: residentBytes(),
    }),
  ])
  return [shared, shared, shared, ...own]
}
