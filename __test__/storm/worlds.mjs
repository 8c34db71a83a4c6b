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
  /** Borrows that are held of its payloads. */
  borrows = new Set()
  /** How often payloads of a budget were looked for, at least, and more than its calls that ended well. */
  looks = 0
  looksMost = 0
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

  /** Whether its payloads of the file backend stay in memory while there is room. */
  get hasBudget() {
    return this.#options?.residentBytes !== undefined
  }

  get hasOwnBudget() {
    return typeof this.#options?.residentBytes === 'number'
  }

  /** The limit of its budget, where that is fixed. */
  get limitBytes() {
    const residentBytes = this.#options?.residentBytes
    return residentBytes instanceof sync.MemoryBudget
      ? residentBytes.limitBytes
      : this.hasOwnBudget
        ? residentBytes
        : undefined
  }

  /** Whether it notices what was changed: by checksums, or by the tags of encrypted pages. */
  get isChecked() {
    return this.#options?.integrity !== 'none' || this.#options.encryption === true
  }

  /** Whether it counts where the payload of a handle is found. */
  counts({ backend, byteLength }) {
    return this.hasBudget && backend === 'file' && byteLength > 0
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
    this.looks = 0
    this.looksMost = 0
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
    const name = isDisposed ? (this.closesAtOnce ? Symbol.dispose : Symbol.asyncDispose) : 'close'
    const closing = this.controls[name]()
    for (const held of this.borrows) held.closed()
    this.borrows.clear()
    return closing
  }

  /** What is borrowed is counted, also when nothing is; and each search for a payload is a hit or a miss. */
  checkBudget() {
    const stats = this.controls.stats()
    const { residentBytes, borrowedBytes, residentHits, residentMisses, reads, takes } = stats
    const isOver = this.limitBytes !== undefined && residentBytes > this.limitBytes
    insist(!isOver && borrowedBytes <= residentBytes, `more is in memory than may be: ${JSON.stringify(stats)}`)
    if (!this.hasBudget) return
    const looks = residentHits + residentMisses
    insist(looks >= this.looks, `${this.looks} searches for payloads ended well, and ${looks} are counted`)
    insist(looks <= reads + takes + this.looksMost, `more searches than calls: ${JSON.stringify(stats)}`)
  }
}

/** How a pager seals what lies on the disk. */
export function someSealing(random) {
  return { encryption: random.oneIn(3), compression: random.pick(['none', 'none', 'lz4']) }
}

/**
 * The pagers of one batch of interleavings. The one of the process comes more than once, to be chosen more often.
 *
 * @param {MemoryBudget} common of all threads
 */
export function openWorlds(random, common) {
  const shared = new World()
  // Small ones are full all the time; two of the pagers may share one.
  const budget = new sync.MemoryBudget(random.pick([16, 128]) * KIB)
  const residentBytes = () =>
    random.pick([undefined, undefined, 4 * KIB, 64 * KIB, 2 ** 20, 'auto', budget, budget, common])
  const own = [sync.Pager, promises.Pager].flatMap(Pager => [
    new World(Pager, {
      integrity: random.pick(['checksum', 'none']),
      detach: random.pick(DETACHES),
      excludeFromCoreDumps: CAN_EXCLUDE && random.oneIn(2),
      residentBytes: residentBytes(),
      ...someSealing(random),
    }),
    new World(Pager, {
      detach: random.pick(DETACHES),
      capacityBytes: random.pick([8, 64, 200]) * KIB,
      spareBytes: random.pick([0, 16 * KIB, 2 ** 20]),
      backend: random.pick(['file', 'file', 'swap']),
      residentBytes: residentBytes(),
      ...someSealing(random),
    }),
  ])
  return [shared, shared, shared, ...own]
}
