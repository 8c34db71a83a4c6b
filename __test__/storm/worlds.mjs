/** The pagers that a storm goes over: the one of the process, and some of its own. */

import * as sync from 'pageout'
import * as promises from 'pageout/promises'

const KIB = 2 ** 10

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

  /** What needs no waiting. */
  get controls() {
    return this.sync ?? this.promises
  }

  open() {
    this.isClosed = false
    if (this.isShared) {
      this.sync = sync
      this.promises = promises
      return
    }
    const pager = new this.#Pager(this.#options)
    this.sync = this.#Pager === sync.Pager ? pager : undefined
    this.promises = this.#Pager === promises.Pager ? pager : undefined
  }

  /** Closes a pager of the storm's own; what it gives back is to be waited for. */
  close() {
    this.isClosed = true
    return this.controls.close()
  }
}

/** The pagers of one batch of interleavings. The one of the process comes more than once, to be chosen more often. */
export function openWorlds(random) {
  const shared = new World()
  const own = [sync.Pager, promises.Pager].flatMap(Pager => [
    new World(Pager, { integrity: random.pick(['checksum', 'none']) }),
    new World(Pager, {
      capacityBytes: random.pick([8, 64, 200]) * KIB,
      spareBytes: random.pick([0, 16 * KIB, 2 ** 20]),
      backend: random.pick(['file', 'file', 'swap']),
    }),
  ])
  return [shared, shared, shared, ...own]
}
