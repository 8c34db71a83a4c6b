/** Borrowing payloads: to hold them over many steps, or for work, and all that may happen to the memory meanwhile. */

import { setImmediate, setTimeout } from 'node:timers/promises'
import { inspect } from 'node:util'
import { attempt, Call, insist } from './calls.mjs'
import { RELEASED } from './payloads.mjs'
import { BorrowedPiece, bytesOf, classOf, same } from './pieces.mjs'

export const BORROWED = 'ERR_PAGEOUT_BORROWED'
const WORK_FAILED = 'WORK_FAILED'
const INVALID_RETURN = 'ERR_INVALID_RETURN_VALUE'
/** A payload takes at least this much of a budget. */
const PAYLOAD_BYTES_MIN = 1024
/** More rounds than the collector ever needed. */
const COLLECTIONS_MAX = 200

const isEmpty = chunk => (bytesOf(chunk)?.length ?? 0) === 0
const saysBorrowed = handle => /state: 'borrowed'/.test(inspect(handle))

/** What the storm knows of the borrows of one payload. */
export class Loans {
  /** Borrows that are there for certain. */
  certain = new Set()
  /** Calls that are pending, each of which may have one. */
  unsure = new Set()
  /** How many there were that nobody released, and the collector may not have found yet. */
  dropped = 0
  /** Counts all that began. */
  begun = 0
  /** Whether memory was transferred away: its borrows may be over, and the payload may be lost, as soon as somebody looks. */
  isRobbed = false
  /** Whether a buffer may be the callers' alone, besides which the payload has its own. */
  isLeft = false
  /** Whether what the arrays show is not the payload: a change that will be dropped. */
  isChanged = false
  /** Arrays of borrows that were released, which are empty when no borrow is left. */
  #arrays = []

  constructor(entry) {
    this.entry = entry
  }

  get isAny() {
    return this.certain.size > 0 || this.unsure.size > 0 || this.dropped > 0
  }

  begin(set, token) {
    this.begun += 1
    this[set].add(token)
  }

  /** One is over for certain, whose array may be kept. */
  end(set, token, array) {
    this[set].delete(token)
    if (array !== undefined) this.#arrays.push(array)
    if (!this.isAny) this.#checkOver()
  }

  #checkOver() {
    const { entry } = this
    for (const array of this.#arrays.splice(0)) insist(isEmpty(array), 'an array is not empty after the last release')
    insist(!saysBorrowed(entry.handle), 'a payload is borrowed after the last release')
    this.isChanged = false
    this.isLeft = false
    if (!this.isRobbed || entry.world.isClosed || entry.isReleased) return
    insist(entry.handle.backend === 'file', 'memory of the swap backend was taken away, and the payload is still there')
  }

  /** What ends the handle's payload is refused while it is borrowed. */
  judge(call) {
    if (!this.isAny) return
    if (this.certain.size > 0 && !this.isRobbed) call.faults.add(BORROWED)
    else call.risk(() => [BORROWED])
  }

  /** A stream ends the payload at some time. */
  judgeStream(call) {
    const { begun, isAny } = this
    call.risk(() => (isAny || begun !== this.begun ? [BORROWED] : []))
  }

  /** What an array that is borrowed has to show. */
  check(array, what) {
    const { entry } = this
    if (entry.world.isClosed) return insist(isEmpty(array), `${what}: an array is not empty though its pager is closed`)
    if (this.isRobbed) return
    insist(!entry.handle.released, `${what}: a handle is released though its payload is borrowed`)
    const bytes = bytesOf(array)
    insist(
      bytes?.length === entry.handle.byteLength,
      `${what}: ${bytes?.length} bytes of a borrow of ${entry.handle.byteLength}`,
    )
    if (this.isChanged) return
    if (entry.content) insist(same(bytes, entry.content), `${what}: a borrow shows other bytes`)
    else entry.learn(bytes)
  }

  /** Waits until those are over that nobody released. */
  async collect() {
    const { entry } = this
    if (this.dropped === 0 || this.certain.size > 0 || this.unsure.size > 0) return
    // Where the value is the buffer itself these would keep it.
    this.#arrays = []
    for (let round = 0; round < COLLECTIONS_MAX && saysBorrowed(entry.handle) && !entry.saysReleased; round += 1) {
      globalThis.gc()
      await setImmediate()
    }
    insist(entry.saysReleased || !saysBorrowed(entry.handle), 'a borrow that nobody has any more is not released')
    this.dropped = 0
    this.#checkOver()
  }
}

/** A borrow that is held. */
class Held {
  pieces = new Set()

  constructor(entry, borrow) {
    this.entry = entry
    this.borrow = borrow
    this.value = borrow.value
    const [other] = [...entry.loans.certain].filter(({ value }) => value !== undefined)
    if (other && !entry.loans.isRobbed) this.#checkShared(other.value)
    entry.loans.begin('certain', this)
    entry.world.borrows.add(this)
    this.check('a new borrow')
  }

  #checkShared(other) {
    const bufferOf = chunk => (ArrayBuffer.isView(chunk) ? chunk.buffer : chunk)
    insist(bufferOf(other) === bufferOf(this.value), 'two borrows of a payload do not share memory')
  }

  get isHeld() {
    return this.entry.loans.certain.has(this)
  }

  /** Whether there is something to look at. */
  get isLive() {
    return this.isHeld && !this.entry.world.isClosed && !this.entry.loans.isRobbed
  }

  check(what) {
    const { entry, borrow, value } = this
    insist(classOf(value) === entry.kind.name, `a ${entry.kind.name} was borrowed as ${classOf(value)}`)
    entry.loans.check(value, what)
    if (!borrow || entry.loans.isRobbed) return
    insist(borrow.released === entry.world.isClosed, `${what}: released of a borrow is ${borrow.released}`)
    if (!borrow.released) insist(borrow.value === value, `${what}: a borrow has another value than before`)
  }

  release(random) {
    const { entry, borrow, value } = this
    this.check('before a release')
    if (!borrow) return this.drop()
    for (let times = random.pick([1, 1, 2]); times > 0; times -= 1) {
      if (random.oneIn(2)) borrow.release()
      else borrow[Symbol.dispose]()
    }
    this.#forgetPieces()
    const { error } = attempt(() => ({ value: borrow.value }))
    insist(borrow.released && error?.code === RELEASED, 'a borrow that was released is not')
    entry.world.borrows.delete(this)
    entry.loans.end('certain', this, value)
  }

  /** Only the array is kept. */
  keepArray() {
    this.borrow = undefined
    this.entry.loans.isLeft ||= this.entry.kind.name === 'ArrayBuffer'
  }

  /** Nobody has it any more. */
  drop() {
    const { loans, world } = this.entry
    this.#forgetPieces()
    this.keepArray()
    this.value = undefined
    world.borrows.delete(this)
    loans.begun += 1
    loans.dropped += 1
    loans.certain.delete(this)
  }

  /** Its pager was closed at this moment. */
  closed() {
    const { entry, borrow, value } = this
    insist(isEmpty(value), 'an array is not empty though its pager was closed')
    insist(borrow === undefined || borrow.released, 'a borrow goes on though its pager was closed')
    this.#forgetPieces()
    entry.loans.certain.delete(this)
  }

  /** The array as a piece, to go out or to be written to. */
  piece() {
    const piece = new BorrowedPiece(this.entry.kind, this.value)
    this.pieces.add(piece)
    return piece
  }

  #forgetPieces() {
    for (const piece of this.pieces) piece.end()
    this.pieces.clear()
  }

  /** Writes into the array, against the rule. */
  write(random) {
    const bytes = bytesOf(this.value)
    const [at, length, byte] = [random.below(bytes.length), 1 + random.below(100), random.below(256)]
    bytes.fill(byte, at, at + length)
    for (const piece of this.pieces) piece.touch()
    this.entry.change(content => content.fill(byte, at, at + length))
  }

  /** Moves the memory elsewhere, where the thief does with it as he likes. */
  rob(random, tally) {
    const buffer = ArrayBuffer.isView(this.value) ? this.value.buffer : this.value
    const isTransferred = buffer.transfer !== undefined && random.oneIn(2)
    const stolen = isTransferred ? buffer.transfer() : structuredClone(buffer, { transfer: [buffer] })
    insist(isEmpty(this.value), 'borrowed memory could not be transferred')
    this.entry.loans.isRobbed = true
    this.entry.rob()
    for (const piece of this.pieces) piece.end()
    tally.robberies += 1
    new Uint8Array(stolen).fill(0xee)
  }
}

/** Whether a payload stays in memory while there is room. */
const isBudgeted = ({ world, handle }) => world.hasBudget && handle.backend === 'file' && handle.byteLength > 0

/** What a borrow may come to. */
function judgeBorrow(call, entry, isWaiting) {
  entry.judgeHandle(call)
  if (isWaiting && !call.isAsync) call.faults.add('ERR_INVALID_ARG_VALUE')
  // Payloads that were changed and cannot be written again may fill a budget.
  if (isBudgeted(entry)) call.risk(() => ['ERR_PAGEOUT_BUDGET', 'ERR_PAGEOUT_CAPACITY'])
  if (entry.loans.isRobbed) call.risk(() => [RELEASED])
  if (!call.isAsync) return
  const { threats } = entry
  const isThreatened = entry.takes.size > 0 || entry.releasers.size > 0
  call.risk(() => (isThreatened || entry.threats !== threats || entry.isReleased ? [RELEASED] : []))
  call.risk(() => (call.world.isClosed || entry.world.isClosed ? ['ERR_PAGEOUT_CLOSED'] : []))
}

function checkNoRoom(error, entry, { isWaiting, borrowedBytes }) {
  const { requestedBytes, residentBytes, limitBytes } = error
  const { byteLength } = entry.handle
  insist(
    requestedBytes >= byteLength && requestedBytes <= Math.max(byteLength, PAYLOAD_BYTES_MIN),
    'other bytes were asked for',
  )
  if (entry.world.isClosed) return
  const limit = entry.world.limitBytes
  insist(limit === undefined || limitBytes === limit, `the limit of a budget of ${limit} is said to be ${limitBytes}`)
  insist(limit === undefined || residentBytes <= limit, 'more is in memory than the budget allows')
  if (isWaiting) insist(requestedBytes > limitBytes, 'a borrow that could wait was refused for want of room')
  if (borrowedBytes === undefined) return
  const needed = borrowedBytes + Math.max(byteLength, PAYLOAD_BYTES_MIN)
  insist(needed > limitBytes, `there was no room for ${byteLength} bytes beside ${borrowedBytes}, of ${limitBytes}`)
}

/** The numbers of the budget before a call, where nobody else changes them. */
function borrowedBefore(scene, call, { world }) {
  if (call.isAsync || !scene.isQuiet || !world.hasOwnBudget || world.isClosed) return undefined
  return world.controls.stats().borrowedBytes
}

const FORMS = [
  (work, options) => [work, options],
  (work, options) => (work ? [work, options] : [options]),
  (work, options) => (Object.keys(options).length > 0 ? [work, options] : work ? [work] : []),
]

function startBorrow(random, world, entry, scene, { work, prepare = () => {}, settled }) {
  const call = new Call(random, world)
  const isWaiting = random.oneIn(call.isAsync ? 4 : 30)
  // Work is not aborted.
  call.isPrompt = call.isAsync
  judgeBorrow(call, entry, isWaiting)
  prepare(call)
  const before = borrowedBefore(scene, call, entry)
  const options = { ...(isWaiting || random.oneIn(8) ? { wait: isWaiting } : {}), ...call.signalOptions }
  const args = [entry.handle, ...random.pick(FORMS)(work && (value => work(call, value)), options)]
  // Those that come while another is pending may share its read, which is one search.
  const isFirst = entry.loans.unsure.size === 0
  entry.loans.begin('unsure', call)
  entry.count(call)
  if (isWaiting && call.isAsync) scene.waiters.add(call)
  scene.lent.add(entry)
  const done = call.start('borrow', args, outcome => {
    scene.waiters.delete(call)
    const { error } = outcome
    if (error?.code === 'ERR_PAGEOUT_BUDGET') checkNoRoom(error, entry, { isWaiting, borrowedBytes: before })
    // Without a budget those that share memory share a read.
    if (!error && isBudgeted(entry) && isFirst) entry.served(1)
    settled(outcome)
    if (entry.loans.unsure.has(call)) entry.loans.end('unsure', call)
  })
  return { call, done }
}

/** Borrows a payload, which is held from then on. */
export function hold(random, world, entry, scene) {
  const settled = ({ value: borrow }) => {
    if (!borrow) return
    // Anything may have happened since the promise was settled.
    if (borrow.released) return insist(entry.world.isClosed || entry.loans.isRobbed, 'a new borrow is released')
    scene.held.push(new Held(entry, borrow))
  }
  return startBorrow(random, world, entry, scene, { settled })
}

/** What work does, what that comes to in each form, and what it gives. */
const MANNERS = {
  gives: { weight: 4, end: () => 42 },
  throws: { weight: 1, sync: WORK_FAILED, promise: WORK_FAILED, end: () => fail() },
  'gives memory': { weight: 1, sync: INVALID_RETURN, promise: INVALID_RETURN, end: value => value },
  'gives a view': {
    weight: 1,
    sync: INVALID_RETURN,
    promise: INVALID_RETURN,
    // Of memory that is gone there is none.
    end: value => (isEmpty(value) ? value : new DataView(ArrayBuffer.isView(value) ? value.buffer : value)),
  },
  'gives later': { weight: 5, isLate: true, sync: INVALID_RETURN, end: () => 42 },
  rejects: { weight: 1, isLate: true, sync: INVALID_RETURN, promise: WORK_FAILED, end: () => fail() },
}

function fail() {
  throw Object.assign(new Error('work failed'), { code: WORK_FAILED })
}

/** Borrows a payload for work. */
export function borrowFor(random, world, entry, scene) {
  const manner = random.weighted(Object.values(MANNERS))
  const [turns, ms] = [random.below(4), random.oneIn(6) ? random.below(4) : 0]
  const [isNested, isClosing] = [random.oneIn(4), random.oneIn(80)]
  const { loans } = entry
  let array
  const work = (call, value) => {
    call.isPrompt = false
    array = value
    const token = { value }
    loans.begin('certain', token)
    insist(classOf(value) === entry.kind.name, `a ${entry.kind.name} was borrowed as ${classOf(value)}`)
    loans.check(value, 'work')
    if (isNested) nest(entry, loans)
    if (isClosing && entry.world.closesAtOnce) {
      entry.world.close()
      loans.check(value, 'work that closed')
    }
    const end = () => {
      if (manner.isLate && !call.isAsync) return 42
      loans.check(value, 'the end of work')
      return manner.end(value)
    }
    // From here on the borrow may be over.
    const leave = () => loans.certain.delete(token)
    if (!manner.isLate) return finally_(end, leave)
    // The synchronous form does not wait for it.
    if (!call.isAsync) leave()
    return later(turns, ms).then(() => finally_(end, leave))
  }
  const prepare = call => {
    const code = call.isAsync ? manner.promise : manner.sync
    if (code) call.faults.add(code)
  }
  const settled = ({ error, value }) => {
    if (!error) insist(value === 42, `the result of work is ${value}`)
    loans.end('unsure', undefined, array)
  }
  return startBorrow(random, world, entry, scene, { work, prepare, settled })
}

function finally_(step, last) {
  try {
    return step()
  } finally {
    last()
  }
}

async function later(turns, ms) {
  for (let turn = 0; turn < turns; turn += 1) await setImmediate()
  if (ms > 0) await setTimeout(ms)
}

/** What work may do with the payload that it was given. */
function nest(entry, loans) {
  const { sync } = entry.world
  if (!sync || entry.world.isClosed || loans.isRobbed || entry.isReleased) return
  const { error } = attempt(() => ({ value: sync.take(entry.handle) }))
  insist(error?.code === BORROWED, `a take of what is borrowed came to ${error?.code}`)
  insist(
    !entry.content || same(bytesOf(sync.read(entry.handle)), entry.content),
    'a read of what is borrowed gave other bytes',
  )
  entry.served(1)
  entry.count({ isAsync: false })
  sync.borrow(entry.handle, array => loans.check(array, 'a borrow in a borrow'))
  if (isBudgeted(entry)) entry.served(1)
}
