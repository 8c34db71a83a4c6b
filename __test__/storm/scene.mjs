/** One interleaving: a few pieces, a few payloads, and the calls that are pending on them. */

import { setImmediate, setTimeout } from 'node:timers/promises'
import { insist } from './calls.mjs'
import { letGo, OPERATIONS } from './operations.mjs'
import { fetch } from './payloads.mjs'
import { Pieces } from './pieces.mjs'
import { Random } from './random.mjs'

const PIECES = 4
const ENTRIES = 3
const STEPS_MAX = 24
/** How long work goes on at most that was given up. */
const GIVEN_UP_MS = 20_000
/** Between two looks whether borrows that wait got room. */
const LOOK_MS = 5
/** Pieces that one interleaving makes at most. */
const PIECES_MAX = 1024

/** Places for payloads; a place is taken from the moment its pageout begins. */
class Entries {
  /** @type {({ entry?: Entry, arrival: Promise<Entry | undefined> } | undefined)[]} */
  #slots = Array(ENTRIES).fill(undefined)
  #scene

  constructor(scene) {
    this.#scene = scene
  }

  someSlot(random) {
    return random.below(ENTRIES)
  }

  /** @param {(arrive: (entry: Entry | undefined) => void) => void} begin */
  put(slot, begin) {
    let arrive
    const arrival = new Promise(resolve => {
      arrive = resolve
    })
    const held = { arrival }
    this.#slots[slot] = held
    begin(entry => {
      held.entry = entry
      arrive(entry)
    })
  }

  /** Uses a payload: now if it is out, else as soon as it is. */
  use(random, step) {
    const held = this.#slots[this.someSlot(random)]
    if (held?.entry) step(held.entry)
    else if (held) this.#scene.wait(held.arrival.then(entry => entry && step(entry)))
  }

  /** Puts another payload, or none, in the place of one. */
  replace(random, change) {
    const held = this.#slots[this.someSlot(random)]
    if (!held?.entry) return
    const { entry } = held
    held.entry = undefined
    held.arrival = change(entry)
    this.#scene.wait(
      held.arrival.then(next => {
        held.entry = next
      }),
    )
  }

  drop(random) {
    this.#slots[this.someSlot(random)] = undefined
  }

  /** Payloads that are there for certain. */
  live(world) {
    const entries = this.#slots.map(held => held?.entry).filter(entry => entry !== undefined)
    const isLive = ({ isReleased, takes, releasers }) => !isReleased && takes.size === 0 && releasers.size === 0
    return entries.filter(entry => isLive(entry) && entry.origin === world)
  }

  all() {
    return this.#slots.map(held => held?.entry).filter(entry => entry !== undefined)
  }
}

export class Scene {
  /** What was done, to be shown when it went wrong. */
  trace = []
  /** Borrows that are held. */
  held = []
  /** Payloads that are or were borrowed. */
  lent = new Set()
  /** Borrows that wait until others are released. */
  waiters = new Set()
  #hasAborted = false
  /** Calls that are pending, with their names. */
  #calls = new Map()
  #waits = new Set()
  #failure
  #fail
  #failed = new Promise(resolve => {
    this.#fail = resolve
  })
  #places
  #tally

  constructor(keys, worlds, { racing, adopter, tally }) {
    const [, interleaving] = keys
    this.keys = keys
    this.worlds = worlds
    this.shared = worlds.find(({ isShared }) => isShared)
    this.adopter = adopter
    this.#tally = tally
    this.pieces = new Pieces(racing, interleaving * PIECES_MAX)
    this.entries = new Entries(this)
    const random = new Random(...keys)
    this.steps = 4 + random.below(STEPS_MAX)
    this.#places = Array.from({ length: PIECES }, () => this.pieces.make(random))
  }

  async play() {
    for (let step = 0; step < this.steps; step += 1) {
      const random = new Random(...this.keys, step)
      const operation = random.weighted(OPERATIONS)
      this.trace.push(operation.name)
      this.#tally.count('operations', operation.name)
      const ended = operation.run(this, random)
      // Nothing else runs between two steps, unless one says so.
      if (ended instanceof Promise) await ended
      if (random.oneIn(4)) await setImmediate()
    }
    await this.settle()
    await this.#endBorrows()
    this.#checkPieces()
    await this.#checkEntries()
    for (const world of this.worlds) await this.#checkLedger(world)
    this.pieces.recycle()
  }

  /** A piece of a place; one whose memory is gone mostly gives way to a new one. */
  somePiece(random) {
    const place = random.below(PIECES)
    if (this.#places[place].bytes === undefined && !random.oneIn(6)) this.#places[place] = this.pieces.make(random)
    return this.#places[place]
  }

  putPiece(random, piece) {
    this.#places[random.below(PIECES)] = piece
  }

  scribble(random) {
    const piece = this.somePiece(random)
    piece.touch()
    piece.bytes?.fill(random.below(256))
  }

  /** What is done with a result: it is written to, which must change nothing else, and may go out again. */
  keepers(random, { kind }) {
    const [isKept, place] = [random.oneIn(2), random.below(PIECES)]
    return result => {
      const piece = this.pieces.adopt(kind, result)
      if (isKept) {
        this.#places[place] = piece
        return
      }
      piece.bytes.fill(0xee)
    }
  }

  /** Whether nothing is pending, and nothing goes on that was given up. */
  get isQuiet() {
    return this.#calls.size === 0 && !this.#hasAborted
  }

  /** What it waits for, to be shown when that does not come. */
  get pending() {
    const calls = [...this.#calls].map(([call, name]) => {
      const world = this.worlds.indexOf(call.world)
      return { name, world, isAborted: call.isAborted, waitsForRoom: this.waiters.has(call) }
    })
    return { calls, others: this.#waits.size - calls.length, held: this.held.length }
  }

  get tally() {
    return this.#tally
  }

  /** One of the borrows that are held. */
  someHeld(random) {
    this.held = this.held.filter(({ isHeld }) => isHeld)
    return this.held[random.below(2 ** 20) % this.held.length]
  }

  releaseAll() {
    for (const held of this.held.splice(0)) if (held.isHeld) held.release(new Random(...this.keys, this.steps, 1))
  }

  /** Keeps an eye on a call. */
  track(name, { call, done }) {
    const ended = () => {
      this.#calls.delete(call)
      this.#hasAborted ||= call.outcome === 'ABORT_ERR'
      this.#tally.count(`${name} (${call.isAsync ? 'promise' : 'sync'})`, call.outcome)
    }
    if (!done) return ended()
    this.#calls.set(call, name)
    this.wait(done.then(ended))
  }

  /** Something that has to end before the interleaving does. */
  wait(promise) {
    const waited = promise.then(
      () => this.#waits.delete(waited),
      error => {
        this.#failure ??= error
        this.#fail()
      },
    )
    this.#waits.add(waited)
  }

  abortOne(random) {
    const calls = [...this.#calls.keys()]
    // How many are pending is a matter of time; which of them it is does not change what is drawn.
    const place = random.below(2 ** 20)
    const call = calls[place % calls.length]
    call?.abort()
    if (call?.isAborted && call.isPrompt) this.wait(setImmediate().then(() => call.insistSettled()))
  }

  closeOne(random) {
    const world = random.pick(this.worlds)
    const isDisposed = random.oneIn(3)
    if (!world.isShared && !world.isClosed) this.wait(Promise.resolve(world.close(isDisposed)))
  }

  async settle() {
    // What waits for a call that came to something wrong would wait for ever.
    while (this.#waits.size > 0 && !this.#failure) {
      const ends = [Promise.all(this.#waits), this.#failed]
      if (this.waiters.size > 0) ends.push(this.#letThrough())
      await Promise.race(ends)
    }
    if (this.#failure) throw this.#failure
  }

  /** Lets borrows go that others wait for. */
  async #letThrough() {
    this.releaseAll()
    if ([...this.lent].some(({ loans }) => loans.dropped > 0)) globalThis.gc()
    await setTimeout(LOOK_MS)
  }

  async #endBorrows() {
    this.releaseAll()
    await this.settle()
    for (const { loans } of this.lent) await loans.collect()
    this.lent.clear()
  }

  #checkPieces() {
    for (const piece of this.#places) insist(piece.isIntact(), `a ${piece.memory.name} piece was written to`)
  }

  /** Every payload still has its bytes; then some are taken, some disposed of and some forgotten. */
  async #checkEntries() {
    const random = new Random(...this.keys, this.steps)
    for (const entry of this.entries.all()) {
      insist(entry.saysReleased === entry.handle.released, `a handle says that released is ${entry.handle.released}`)
      insist(entry.handle.atRisk === false, 'a payload is said to be at risk')
      const verbs = [random.pick(['read', 'readAt']), random.pick(['take', 'release', 'forget'])]
      for (const verb of verbs) this.#end(random, entry, verb)
      await this.settle()
    }
  }

  /** A pager knows of the payloads that are out, and of no others; work that was given up may go on for a moment. */
  async #checkLedger(world) {
    // Of what all threads share, they have some too.
    if (world.isShared || world.isClosed) return
    const handles = () => world.controls.stats().handles
    const borrowedBytes = () => world.controls.stats().borrowedBytes
    const isDone = () => handles() === world.ledger.count() && borrowedBytes() === 0
    for (let ms = 0; ms < GIVEN_UP_MS && !isDone(); ms += 1) await setTimeout(1)
    insist(borrowedBytes() === 0, `${borrowedBytes()} bytes are borrowed, and nobody borrows`)
    world.checkBudget()
    insist(
      handles() === world.ledger.count(),
      `${world.ledger.count()} payloads are out, and the pager has ${handles()}`,
    )
  }

  #end(random, entry, verb) {
    if (verb === 'release') {
      insist(letGo(entry, false), 'a payload that nobody borrows could not be released')
    }
    if (verb === 'release' || verb === 'forget') return
    const ranges = [[0, entry.handle.length]]
    this.track(
      verb,
      fetch(random, random.oneIn(4) ? this.shared : entry.world, entry, { verb, ranges }, () => {}),
    )
  }
}
