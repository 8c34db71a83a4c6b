/** What the storm knows of a payload that is out, and the calls on it. */

import { Loans } from './borrows.mjs'
import { Broken, Call, insist } from './calls.mjs'
import { bytesOf, classOf, isSameFamily, same } from './pieces.mjs'

export const RELEASED = 'ERR_PAGEOUT_RELEASED'

/** A payload that is out. */
export class Entry {
  #isReleased = false
  #line
  #content
  /** Whether nobody can tell what the payload contains, or will contain. */
  #isVague = false
  /** Counts changes of what it contains, by borrowers. */
  changes = 0
  loans = new Loans(this)
  /** Takes that are pending; the payload is released when one of them ends well. */
  takes = new Set()
  /** Streams that are being read and dispose of the handle in the end. */
  releasers = new Set()
  /** Counts what may make the handle unusable for a while: takes, and streams that dispose of it. */
  threats = 0

  /**
   * @param {Uint8Array | undefined} content undefined while only the pager knows it
   * @param {World} origin whose payload it is, where that is another one than that of the handle
   */
  constructor(world, handle, kind, content, origin = world) {
    this.world = world
    this.origin = origin
    this.handle = handle
    this.kind = kind
    this.#content = content
    this.#line = origin.ledger.enter(handle)
  }

  /** Whether the payload was taken, released, moved or lost. */
  get isReleased() {
    const isLost = this.loans.isRobbed && !this.#isReleased && !this.world.isClosed && this.handle.released
    if (isLost && this.takes.size === 0) this.release()
    return this.#isReleased
  }

  /** What it contains, where that is known. */
  get content() {
    return this.#isVague ? undefined : this.#content
  }

  /** What nobody knew shows itself. */
  learn(bytes) {
    this.#content ??= Uint8Array.from(bytes)
  }

  /** A borrower changes what it is lent. */
  change(edit) {
    const { backend } = this.handle
    const isKept = backend === 'swap' || this.world.hasBudget
    if (!isKept) {
      this.loans.isChanged = true
      return
    }
    this.changes += 1
    if (this.loans.isLeft || (backend === 'file' && !this.world.isChecked)) this.#isVague = true
    if (this.#content === undefined) return
    this.#content = Uint8Array.from(this.#content)
    edit(this.#content)
  }

  /** The memory is gone: what was changed there is, or is not, in the copy that is left. */
  rob() {
    this.#isVague ||= this.changes > 0 && this.handle.backend === 'file'
  }

  /** A call of the file backend may be counted where the payload is looked for. */
  count(call) {
    if (this.origin.counts(this.handle)) this.origin.looksMost += call.isAsync ? 2 : 1
  }

  /** So many have been. */
  served(looks) {
    if (this.origin.counts(this.handle) && !this.origin.isClosed) this.origin.looks += looks
  }

  /** Its place is free, or will be as soon as a take that is pending ends. */
  release() {
    this.#isReleased = true
    this.#line.strike()
  }

  /** What the handle has to say. */
  get saysReleased() {
    return this.isReleased || this.world.isClosed
  }

  /** Its payload was moved, and has another handle now, of the pager of the process. */
  movedTo(handle, world) {
    // Scratch space stays counted where it is; memory is that of the pager whose handle it has.
    const origin = handle.backend === 'file' ? this.origin : world
    const moved = new Entry(world, handle, this.kind, this.#content, origin)
    moved.#isVague = this.#isVague
    return moved
  }

  /** What using the handle comes to, as things are now. */
  judgeHandle(call) {
    if (!call.world.serves(this.world)) call.faults.add('ERR_INVALID_ARG_VALUE')
    if (this.world.isClosed) call.faults.add('ERR_PAGEOUT_CLOSED')
    if (this.isReleased) call.faults.add(RELEASED)
    if (this.releasers.size > 0) call.risk(() => [RELEASED])
    // A borrower may also take the only memory of the payload away while the call is pending.
    call.risk(() => (this.loans.isRobbed ? [RELEASED] : []))
    for (const take of this.takes) {
      if (take.isDoomed) call.risk(() => [RELEASED])
      else call.faults.add(RELEASED)
    }
  }

  /** The bytes of ranges of elements, where they are known. */
  bytesAt(ranges) {
    const { elementBytes } = this.kind
    return (
      this.content &&
      Buffer.concat(
        ranges.map(([at, length]) => this.content.subarray(at * elementBytes, (at + length) * elementBytes)),
      )
    )
  }
}

/** Ranges of a payload that do not overlap, in any order; now and then ones that are wrong, with their code. */
export function someRanges(random, length) {
  if (random.oneIn(25)) return { ranges: [[random.below(length + 1), length + 1]], code: 'ERR_OUT_OF_RANGE' }
  if (length > 0 && random.oneIn(25))
    return {
      ranges: [
        [0, length],
        [length - 1, 1],
      ],
      code: 'ERR_PAGEOUT_OVERLAP',
    }
  const cuts = Array.from({ length: 1 + random.below(6) }, () => random.below(length + 1)).sort((a, b) => a - b)
  const ranges = cuts.map((cut, position) => [cut, (cuts[position + 1] ?? length) - cut])
  const chosen = ranges.filter(() => !random.oneIn(3))
  return { ranges: random.oneIn(2) ? chosen : chosen.reverse() }
}

/** What a target makes of a call that writes `byteLength` bytes of class `kind` to it. */
function judgeTarget(call, target, kind, byteLength) {
  if (target.isBorrowed) call.faults.add('ERR_INVALID_ARG_VALUE')
  if (!isSameFamily(target.kind, kind)) call.faults.add('ERR_INVALID_ARG_TYPE')
  else if (!target.isSpoiled && target.bytes.length < byteLength) call.faults.add('ERR_OUT_OF_RANGE')
  call.risk(() => (target.isSpoiled ? ['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_VALUE'] : []))
}

/**
 * Reads or takes, and checks what comes back.
 *
 * @param {{ verb: 'readAt' | 'readAtMany' | 'read' | 'take', ranges: number[][], code?: string, target?: Piece }} request
 * @param {(value: Chunk) => void} keep gets a result that is new memory
 */
export function fetch(random, world, entry, { verb, ranges, code, target }, keep) {
  const call = new Call(random, world)
  call.isPrompt = call.isAsync
  const byteLength = ranges.reduce((sum, [, length]) => sum + length, 0) * entry.kind.elementBytes
  if (code) call.faults.add(code)
  entry.judgeHandle(call)
  if (verb === 'take') entry.loans.judge(call)
  entry.count(call)
  // A pager that has closed at once takes the payload away from calls that are pending with functions of the package.
  if (entry.world.closesAtOnce) call.risk(() => (entry.world.isClosed ? ['ERR_PAGEOUT_CLOSED'] : []))
  if (target) judgeTarget(call, target, entry.kind, byteLength)
  target?.touch()
  const version = target?.version
  const { changes } = entry
  if (target) target.fillers += 1
  if (verb === 'take') {
    entry.takes.add(call)
    entry.threats += 1
  }
  const settled = ({ error, value }) => {
    entry.takes.delete(call)
    const isTouched = target !== undefined && wasTouched(target, version, call.isAsync)
    if (error) return
    if (byteLength > 0) entry.served(1)
    if (verb === 'take') entry.release()
    checkResult(entry, value, { ranges, byteLength, target, isTouched, isChanged: entry.changes !== changes })
    if (!target) keep(value)
  }
  const done = call.start(verb, argumentsOf(random, { verb, handle: entry.handle, ranges, target, call }), settled)
  return { call, done }
}

/** Ways to say where a result goes and what aborts the call. */
const LAST_ARGUMENTS = {
  sync: [target => (target ? [target] : []), target => [target], target => [{ target }]],
  promise: [
    (target, options) => [target, options],
    (target, options) => [{ target, ...options }],
    (target, options) => [{ target }, options],
    (target, options) => (target ? [target, options] : [options]),
  ],
}

function argumentsOf(random, { verb, handle, ranges, target, call }) {
  const last = random.pick(call.isAsync ? LAST_ARGUMENTS.promise : LAST_ARGUMENTS.sync)(
    target?.chunk,
    call.signalOptions,
  )
  if (verb === 'take' || verb === 'read') return [handle, ...last]
  if (verb === 'readAt') return [handle, ...ranges[0], ...last]
  return [handle, ranges, ...last]
}

/** Ends a call that fills a target. Says whether someone else may have written to it since: a later call, or another that is pending. */
function wasTouched(target, version, isAsync) {
  const isTouched = target.version !== version || (isAsync && target.fillers > 1)
  target.fillers -= 1
  // What this one has written is not what the others will find.
  if (target.fillers > 0) target.touch()
  return isTouched
}

function checkResult(entry, value, { ranges, byteLength, target, isTouched, isChanged }) {
  insist(classOf(value) === entry.kind.name, `a ${entry.kind.name} came back as ${classOf(value)}`)
  // Memory that was taken away right after the call ended well is not there to be looked at.
  const bytes = isTouched ? undefined : bytesOf(value)
  if (target) checkPlace(value, target, isTouched)
  if (bytes === undefined) return
  const isBuffer = target !== undefined && entry.kind.name === 'ArrayBuffer'
  insist(isBuffer || bytes.length === byteLength, `${bytes.length} bytes came back, not ${byteLength}`)
  if (target?.isRacing || isChanged) return
  const expected = entry.bytesAt(ranges)
  const got = bytes.subarray(0, byteLength)
  // Where they differ takes a while to find.
  if (expected && !same(got, expected)) throw new Broken(`other bytes came back: ${difference(got, expected)}`)
  if (expected) return
  if (byteLength === entry.handle.byteLength && ranges.length === 1) entry.learn(got)
}

function checkPlace(value, { chunk, kind }, isTouched) {
  if (kind.name === 'ArrayBuffer') return insist(value === chunk, 'an ArrayBuffer target is not the result')
  if (isTouched) return
  insist(value.buffer === chunk.buffer && value.byteOffset === chunk.byteOffset, 'the result is not in the target')
}

function difference(got, expected) {
  const first = got.findIndex((byte, position) => byte !== expected[position])
  return `byte ${first} of ${got.length} is ${got[first]}, not ${expected[first]}`
}
