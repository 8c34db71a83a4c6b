/** The classes of chunks, and what is known about one chunk. */

import { isLent } from '../memory/lent.js'
import { invalidArgType, invalidArgValue } from '../model/errors.js'
import type { ChunkClass } from '../model/payload.js'
import type { Chunk, TypedArray } from '../model/types.js'
import { inherits, method, orUndefined, property } from '../runtime/captured.js'
import { util } from '../runtime/node.js'

const { types } = util

/** What is known about one chunk, read with the built-in getters, ignoring own properties. */
export interface Part {
  /** The chunk itself. */
  readonly chunk: Chunk
  readonly chunkClass: ChunkClass
  readonly buffer: ArrayBufferLike
  readonly byteOffset: number
  readonly byteLength: number
  /** Bytes of all of the buffer. */
  readonly bufferBytes: number
  /** Whether other threads can reach the memory. */
  readonly isShared: boolean
  /** Whether the chunk is all of an ArrayBuffer that no other thread can reach, and that is not borrowed. */
  readonly isWhole: boolean
}

const TYPED_ARRAY = Object.getPrototypeOf(Uint8Array.prototype)
/** The name of its class; nothing for what is no typed array. */
const typedArrayName = property<string | undefined>(TYPED_ARRAY, Symbol.toStringTag)
const typedArray = {
  buffer: property<ArrayBufferLike>(TYPED_ARRAY, 'buffer'),
  byteOffset: property<number>(TYPED_ARRAY, 'byteOffset'),
  byteLength: property<number>(TYPED_ARRAY, 'byteLength'),
}
const dataView = {
  buffer: property<ArrayBufferLike>(DataView.prototype, 'buffer'),
  byteOffset: property<number>(DataView.prototype, 'byteOffset'),
  byteLength: property<number>(DataView.prototype, 'byteLength'),
}
const arrayBufferBytes = property<number>(ArrayBuffer.prototype, 'byteLength')
const sharedBufferBytes = property<number>(SharedArrayBuffer.prototype, 'byteLength')
const typedArrayValues = method<(array: object) => unknown>(TYPED_ARRAY, 'values')
const { from: bufferOver, prototype: BUFFER_PROTOTYPE } = Buffer

type View = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => TypedArray

const TYPED_ARRAY_NAMES = [
  ['Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Float16Array'],
  ['Int32Array', 'Uint32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array'],
].flat()

/** By name: the class, and the prototype that its instances have. */
const TYPED_ARRAYS: ReadonlyMap<string, { readonly chunkClass: ChunkClass; readonly prototype: object }> = new Map(
  TYPED_ARRAY_NAMES.flatMap(name => {
    const Class = (globalThis as Record<string, unknown>)[name] as (View & { BYTES_PER_ELEMENT: number }) | undefined
    if (!Class) return []
    const elementBytes = Class.BYTES_PER_ELEMENT
    const over: ChunkClass['over'] = (buffer, byteOffset, byteLength) =>
      new Class(buffer, byteOffset, byteLength / elementBytes)
    return [[name, { chunkClass: { name, elementBytes, over }, prototype: Class.prototype as object }]]
  }),
)
/** The class of a payload without chunks. */
export const UINT8_ARRAY = TYPED_ARRAYS.get('Uint8Array')?.chunkClass as ChunkClass
const BUFFER: ChunkClass = {
  name: 'Buffer',
  elementBytes: 1,
  over: (buffer, byteOffset, byteLength) => bufferOver(buffer, byteOffset, byteLength),
}
const DATA_VIEW: ChunkClass = {
  name: 'DataView',
  elementBytes: 1,
  over: (buffer, byteOffset, byteLength) => new DataView(buffer, byteOffset, byteLength),
}
/** The class of chunks that are their own buffer. */
export const ARRAY_BUFFER: ChunkClass = { name: 'ArrayBuffer', elementBytes: 1, over: buffer => buffer as ArrayBuffer }

/** Whether chunks of two classes may be in one payload, or one be the target of the other: Buffer and Uint8Array count as one. */
export function isSameFamily(one: ChunkClass, other: ChunkClass): boolean {
  return one === other || (isOfBytes(one) && isOfBytes(other))
}

function isOfBytes(chunkClass: ChunkClass): boolean {
  return chunkClass === BUFFER || chunkClass === UINT8_ARRAY
}

/** The class of chunks whose {@link ChunkClass.name} this is. */
export function classNamed(name: string): ChunkClass | undefined {
  return (
    TYPED_ARRAYS.get(name)?.chunkClass ?? [BUFFER, DATA_VIEW, ARRAY_BUFFER].find(chunkClass => chunkClass.name === name)
  )
}

const EXPECTED = 'an instance of TypedArray, Buffer, DataView or ArrayBuffer'

/**
 * What is known about the chunk `value`, called `name` in errors.
 *
 * @throws ERR_INVALID_ARG_TYPE when it is no chunk, ERR_INVALID_ARG_VALUE when its buffer was detached
 */
export function inspectChunk(value: unknown, name: string): Part {
  const className = typedArrayName(value as object)
  if (className !== undefined) {
    const array = value as TypedArray
    const chunkClass = typedArrayClass(array, className)
    if (!chunkClass) throw invalidArgType(name, EXPECTED, value)
    return part(
      chunkClass,
      typedArray.buffer(array),
      typedArray.byteOffset(array),
      typedArray.byteLength(array),
      array,
      name,
    )
  }
  if (types.isDataView(value)) return partOfDataView(value, name)
  if (types.isArrayBuffer(value)) return part(ARRAY_BUFFER, value, 0, arrayBufferBytes(value), value, name)
  throw invalidArgType(name, EXPECTED, value)
}

/** The class of a typed array, a Buffer or what is derived from either. */
function typedArrayClass(array: TypedArray, className: string): ChunkClass | undefined {
  const known = TYPED_ARRAYS.get(className)
  const prototype: unknown = Object.getPrototypeOf(array)
  // Most have the prototype of their class; what is behind that need not be looked at.
  if (prototype === known?.prototype) return known?.chunkClass
  return prototype === BUFFER_PROTOTYPE || inherits(array, BUFFER_PROTOTYPE) ? BUFFER : known?.chunkClass
}

function partOfDataView(view: DataView, name: string): Part {
  const buffer = dataView.buffer(view)
  const byteLength = orUndefined(() => dataView.byteLength(view))
  if (byteLength === undefined) throw unreachable(view, name)
  return part(DATA_VIEW, buffer, dataView.byteOffset(view), byteLength, view, name)
}

function part(
  chunkClass: ChunkClass,
  buffer: ArrayBufferLike,
  byteOffset: number,
  byteLength: number,
  chunk: Chunk,
  name: string,
): Part {
  if (byteLength === 0 && (isDetached(buffer) || isPastTheEnd(chunk))) throw unreachable(chunk, name)
  const ownBytes = unsharedBytes(buffer)
  const isShared = ownBytes === undefined
  const bufferBytes = ownBytes ?? sharedBufferBytes(buffer)
  const isWhole = !isShared && byteOffset === 0 && byteLength === bufferBytes && !isLent(buffer)
  return { chunk, chunkClass, buffer, byteOffset, byteLength, bufferBytes, isShared, isWhole }
}

/** The bytes of an ArrayBuffer; nothing for a SharedArrayBuffer. */
function unsharedBytes(buffer: ArrayBufferLike): number | undefined {
  try {
    return arrayBufferBytes(buffer)
  } catch {
    return undefined
  }
}

/** Whether the buffer was detached or resized since it was looked at; shared memory only ever grows. */
export function hasChanged({ buffer, bufferBytes, isShared }: Part): boolean {
  return !isShared && arrayBufferBytes(buffer) !== bufferBytes
}

function unreachable(value: unknown, name: string): TypeError {
  return invalidArgValue(name, 'must not be detached or lie past the end of its buffer', value)
}

/** Whether a typed array lost its memory because its buffer was made shorter: it looks empty then. */
function isPastTheEnd(chunk: Chunk): boolean {
  return types.isTypedArray(chunk) && orUndefined(() => typedArrayValues(chunk)) === undefined
}

function isDetached(buffer: ArrayBufferLike): boolean {
  if (unsharedBytes(buffer) !== 0) return false
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

/** Whether a buffer has no bytes any more, whatever properties it was given. */
export function isEmptied(buffer: ArrayBufferLike): boolean {
  return unsharedBytes(buffer) === 0
}

/** Whether a buffer has exactly so many bytes, whatever properties it was given. */
export function hasBytes(buffer: ArrayBuffer, byteLength: number): boolean {
  return arrayBufferBytes(buffer) === byteLength
}

/** The buffer that a value is or is a view of; nothing for any other value. */
export function bufferOf(value: unknown): ArrayBufferLike | undefined {
  if (types.isTypedArray(value)) return typedArray.buffer(value)
  if (types.isDataView(value)) return dataView.buffer(value)
  return types.isAnyArrayBuffer(value) ? value : undefined
}

/** The bytes of a part, without a copy. */
export function bytesOf(part: Part): Uint8Array {
  return new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
}

/** A part as the addon reads and writes it, without a copy: the chunk itself where that is a typed array. */
export function viewOf(part: Part): ArrayBufferView {
  return isTyped(part.chunkClass) ? (part.chunk as ArrayBufferView) : bytesOf(part)
}

/** Whether chunks of a class are typed arrays. */
export function isTyped(chunkClass: ChunkClass): boolean {
  return chunkClass !== ARRAY_BUFFER && chunkClass !== DATA_VIEW
}

/** The bytes of a typed array, without a copy. */
export function bytesUnder(array: ArrayBufferView): Uint8Array {
  if (typedArrayName(array) === 'Uint8Array') return array as Uint8Array
  return new Uint8Array(typedArray.buffer(array), typedArray.byteOffset(array), typedArray.byteLength(array))
}
