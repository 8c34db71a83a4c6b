/** The checks of arguments, before anything happens. */

import { invalidArgType, invalidArgValue, outOfRange, overlap } from '../model/errors.js'
import type { ChunkClass } from '../model/payload.js'
import type { Backend, BorrowOptions, Chunk, Detach, Range, SignalOptions, TargetOptions } from '../model/types.js'
import { util } from '../runtime/node.js'
import { isSignal } from '../runtime/signal.js'

/** Checked ranges of one payload, in request order, in bytes. */
export interface Ranges {
  /** Offset and length of each range, one after the other. */
  readonly bytes: ArrayLike<number>
  /** Bytes of all ranges together. */
  readonly byteLength: number
}

/** A whole number from `min` to `max`. */
export function wholeNumber(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== 'number') throw invalidArgType(name, 'of type number', value)
  if (!Number.isInteger(value) || value < min || value > max) {
    throw outOfRange(name, `an integer >= ${min} and <= ${max}`, value)
  }
  return value
}

/** A boolean. */
export function isTrue(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'of type boolean', value)
  return value
}

/** One of a list of words. */
export function oneOf<T extends string>(value: unknown, name: string, words: readonly T[]): T {
  const found = words.find(word => word === value)
  if (found === undefined) {
    throw invalidArgValue(name, `must be one of: ${words.map(word => `'${word}'`).join(', ')}`, value)
  }
  return found
}

/** A name of a backend. */
export function backendName(value: unknown, name: string): Backend {
  return oneOf(value, name, ['file', 'swap'])
}

/** Stands for options that were not given. It inherits nothing, in case the prototype of all objects was changed. */
const NO_OPTIONS: object = Object.freeze(Object.create(null))

/** Whether a value is an array; a revoked proxy is none. */
export function isArray(value: unknown): value is readonly unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** A bag of options: an object, or nothing. */
export function optionsBag<T extends object>(value: T | undefined, name = 'options'): Partial<T> {
  if (value === undefined) return NO_OPTIONS
  if (typeof value !== 'object' || value === null || isArray(value)) {
    throw invalidArgType(name, 'of type object', value)
  }
  return value
}

/** A choice of what becomes of chunks. */
export function detachName(value: unknown, name: string): Detach {
  return oneOf(value, name, ['auto', 'never', 'required'])
}

/** The signal among the options of a promise form. */
export function abortSignal(options: SignalOptions | undefined): AbortSignal | undefined {
  return checkedSignal(optionsBag(options).signal)
}

function checkedSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined) return undefined
  if (!isSignal(signal)) throw invalidArgType('options.signal', 'an instance of AbortSignal', signal)
  return signal
}

/** Where a result goes and what aborts the call. */
export interface Destined {
  /** Not checked yet: see chunks/target.ts. */
  readonly target: unknown
  readonly signal: AbortSignal | undefined
}

/** New memory, and nothing that aborts. */
const NOWHERE: Destined = { target: undefined, signal: undefined }

/** What stands in the place of `target`, a target itself or options, and the options behind it. */
export function destined(
  given: Chunk | (TargetOptions<Chunk> & SignalOptions) | undefined,
  options?: SignalOptions,
): Destined {
  if (given === undefined && options === undefined) return NOWHERE
  if (given === undefined || !isOptions(given)) return { target: given, signal: abortSignal(options) }
  const { target, signal } = given
  return { target, signal: checkedSignal(signal) ?? abortSignal(options) }
}

/** Whether a value in the place of a target is a bag of options. Anything that looks like memory is checked as a target. */
function isOptions(given: unknown): given is TargetOptions<Chunk> & SignalOptions {
  if (typeof given !== 'object' || given === null || isArray(given)) return false
  const { isProxy, isAnyArrayBuffer, isArrayBufferView } = util.types
  return !isProxy(given) && !isAnyArrayBuffer(given) && !isArrayBufferView(given)
}

/** What is done with a borrowed array. */
export type Work = (value: Chunk) => unknown

/** What follows the handle in a call of `borrow`. */
export interface BorrowArguments {
  readonly work: Work | undefined
  readonly signal: AbortSignal | undefined
  /** Whether to wait for room in a memory budget. */
  readonly wait: boolean
}

/** Options, or work that may be undefined and options behind it. */
export function borrowArguments([first, second]: readonly [unknown?, unknown?]): BorrowArguments {
  if (first !== undefined && typeof first !== 'function' && (second !== undefined || !isOptions(first))) {
    throw invalidArgType('work', 'of type function, or options', first)
  }
  const isWork = typeof first === 'function'
  const given = (isWork || first === undefined ? second : first) as BorrowOptions | undefined
  const { signal, wait } = optionsBag(given)
  return {
    work: isWork ? (first as Work) : undefined,
    signal: checkedSignal(signal),
    wait: wait !== undefined && isTrue(wait, 'options.wait'),
  }
}

/** A path of a directory. */
export function directoryPath(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalidArgType(name, 'of type string', value)
  if (value === '' || value.includes('\0')) throw invalidArgValue(name, 'must be a path without null bytes', value)
  return value
}

/** Ranges as the addon takes them. */
export function packed({ bytes }: Ranges): Float64Array {
  return bytes instanceof Float64Array ? bytes : Float64Array.from(bytes)
}

/** All of a payload. */
export function wholeOf({ byteLength }: { readonly byteLength: number }): Ranges {
  return { bytes: [0, byteLength], byteLength }
}

/** One range of a payload of `length` elements. */
export function singleRange(offset: unknown, length: unknown, chunkClass: ChunkClass, payloadLength: number): Ranges {
  checkRange(offset, length, payloadLength, 'offset', 'length')
  const byteLength = (length as number) * chunkClass.elementBytes
  return { bytes: [(offset as number) * chunkClass.elementBytes, byteLength], byteLength }
}

/** Several ranges of a payload of `length` elements, none of which overlap. */
export function manyRanges(ranges: unknown, chunkClass: ChunkClass, payloadLength: number): Ranges {
  if (!isArray(ranges)) throw invalidArgType('ranges', 'an array of [offset, length] pairs', ranges)
  const count = ranges.length
  const checked: number[] = []
  let lastEnd = 0
  let isAscending = true
  for (let position = 0; position < count; position++) {
    const given = ranges[position]
    if (!isArray(given) || given.length !== 2) {
      throw invalidArgType(`ranges[${position}]`, 'a pair [offset, length]', given)
    }
    // Read once: what is checked is what is used, even if the arrays have getters.
    const offset = given[0] as number
    const length = given[1] as number
    // Names cost more than the check, so they are made only when an error needs them.
    if (!isWithin(offset, length, payloadLength)) {
      checkRange(offset, length, payloadLength, `ranges[${position}][0]`, `ranges[${position}][1]`)
    }
    checked.push(offset, length)
    if (length === 0) continue
    isAscending &&= offset >= lastEnd
    lastEnd = offset + length
  }
  if (!isAscending) refuseOverlap(checked)
  return inBytes(checked, chunkClass)
}

/** Ranges in elements, offset and length of each one after the other, as bytes. */
function inBytes(ranges: readonly number[], { elementBytes }: ChunkClass): Ranges {
  const bytes = new Float64Array(ranges)
  let byteLength = 0
  for (let at = 0; at < bytes.length; at++) {
    const number = (bytes[at] as number) * elementBytes
    bytes[at] = number
    if (at % 2 === 1) byteLength += number
  }
  return { bytes, byteLength }
}

/** Whether a pair of any values is a range that ends within `end` elements. */
function isWithin(offset: unknown, length: unknown, end: number): boolean {
  return (
    Number.isInteger(offset) &&
    (offset as number) >= 0 &&
    (offset as number) <= end &&
    Number.isInteger(length) &&
    (length as number) >= 0 &&
    (length as number) <= end - (offset as number)
  )
}

/** Refuses a range that is none, or that does not end within `end` elements. */
function checkRange(offset: unknown, length: unknown, end: number, offsetName: string, lengthName: string): void {
  const start = wholeNumber(offset, offsetName, 0, end)
  wholeNumber(length, lengthName, 0, end - start)
}

/** Refuses ranges, offset and length of each one after the other, of which some have an element in common. */
function refuseOverlap(ranges: readonly number[]): void {
  const count = ranges.length / 2
  const starts = new Float64Array(count)
  const ends = new Float64Array(count)
  for (let position = 0; position < count; position++) {
    const [offset = 0, length = 0] = [ranges[2 * position], ranges[2 * position + 1]]
    // What is empty comes last.
    starts[position] = length > 0 ? offset : Number.POSITIVE_INFINITY
    ends[position] = length > 0 ? offset + length : Number.POSITIVE_INFINITY
  }
  // Ranges are disjoint when none begins before the one with the next lower start ends: then their ends have the same order. Numbers
  // alone are sorted faster than pairs.
  starts.sort()
  ends.sort()
  for (let at = 1; at < count; at++) if ((ends[at - 1] as number) > (starts[at] as number)) throw firstOverlap(ranges)
}

/** The error about the first two of ranges that overlap. */
function firstOverlap(ranges: readonly number[]): RangeError {
  const pairs: Range[] = []
  for (let at = 0; at < ranges.length; at += 2) pairs.push([ranges[at] as number, ranges[at + 1] as number])
  const ascending = pairs.filter(([, length]) => length > 0).sort((a, b) => a[0] - b[0])
  const second = ascending.findIndex(([offset], position) => {
    const [start, length] = ascending[position - 1] ?? [0, 0]
    return start + length > offset
  })
  return overlap(ascending[second - 1] as Range, ascending[second] as Range)
}
