/** What the storm knows of a payload that is out, and the calls on it. */

import { Call, insist } from './calls.mjs'
import { bytesOf, classOf, same } from './pieces.mjs'

export const RELEASED = 'ERR_PAGEOUT_RELEASED'

/** A payload that is out. */
export class Entry {
  isReleased = false
  /** Takes that are pending; the payload is released when one of them ends well. */
  takes = new Set()
  /** Calls that are pending. */
  pending = 0
  /** Streams that are being read and dispose of the handle in the end. */
  releasers = new Set()
  /** Counts what may make the handle unusable for a while: takes, and streams that dispose of it. */
  threats = 0

  /** @param {Uint8Array | undefined} content undefined while only the pager knows it */
  constructor(world, handle, kind, content) {
    this.world = world
    this.handle = handle
    this.kind = kind
    this.content = content
  }

  /** What using the handle comes to, as things are now. */
  judgeHandle(call) {
    if (call.world !== this.world) call.faults.add('ERR_INVALID_ARG_VALUE')
    if (this.isReleased) call.faults.add(RELEASED)
    if (this.releasers.size > 0) call.risk(() => [RELEASED])
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
  if (target.kind !== kind) call.faults.add('ERR_INVALID_ARG_TYPE')
  else if (!target.isSpoiled && target.bytes.length < byteLength) call.faults.add('ERR_OUT_OF_RANGE')
  call.risk(() => (target.isSpoiled ? ['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_VALUE'] : []))
}

/**
 * Reads or takes, and checks what comes back.
 *
 * @param {{ verb: 'readAt' | 'readAtMany' | 'take', ranges: number[][], code?: string, target?: Piece }} request
 * @param {(value: Chunk) => void} keep gets a result that is new memory
 */
export function fetch(random, world, entry, { verb, ranges, code, target }, keep) {
  const call = new Call(random, world)
  const byteLength = ranges.reduce((sum, [, length]) => sum + length, 0) * entry.kind.elementBytes
  if (code) call.faults.add(code)
  entry.judgeHandle(call)
  if (target) judgeTarget(call, target, entry.kind, byteLength)
  target?.touch()
  const version = target?.version
  if (target) target.fillers += 1
  if (verb === 'take') {
    entry.takes.add(call)
    entry.threats += 1
  }
  entry.pending += 1
  const settled = ({ error, value }) => {
    entry.pending -= 1
    entry.takes.delete(call)
    const isTouched = target !== undefined && wasTouched(target, version, call.isAsync)
    if (error) return
    if (verb === 'take') entry.isReleased = true
    checkResult(entry, value, ranges, byteLength, target, isTouched)
    if (!target) keep(value)
  }
  const done = call.start(verb, argumentsOf(verb, entry.handle, ranges, target, call), settled)
  return { call, done }
}

function argumentsOf(verb, handle, ranges, target, call) {
  const last = call.isAsync ? [target?.chunk, call.signalOptions] : target ? [target.chunk] : []
  if (verb === 'take') return [handle, ...last]
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

function checkResult(entry, value, ranges, byteLength, target, isTouched) {
  insist(classOf(value) === entry.kind.name, `a ${entry.kind.name} came back as ${classOf(value)}`)
  // Memory that was taken away right after the call ended well is not there to be looked at.
  const bytes = isTouched ? undefined : bytesOf(value)
  if (target) checkPlace(value, target, isTouched)
  if (bytes === undefined) return
  const isBuffer = target !== undefined && entry.kind.name === 'ArrayBuffer'
  insist(isBuffer || bytes.length === byteLength, `${bytes.length} bytes came back, not ${byteLength}`)
  if (target?.isRacing) return
  const expected = entry.bytesAt(ranges)
  const got = bytes.subarray(0, byteLength)
  if (expected) insist(same(got, expected), `other bytes came back: ${difference(got, expected)}`)
  else if (byteLength === entry.handle.byteLength && ranges.length === 1) entry.content = Uint8Array.from(got)
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
