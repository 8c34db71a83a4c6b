/** The classes of chunks, what is known about one chunk, and taking its memory away from the caller. */

import { types } from 'node:util'
import * as workerThreads from 'node:worker_threads'
import { inherits, property } from './builtin.js'
import { invalidArgType, invalidArgValue } from './errors.js'
import { inheritPages } from './memory.js'
import type { Chunk, TypedArray } from './types.js'

/** A class of chunks: what goes out in one class comes back in it. */
export interface Kind {
  /** Name of the class. */
  readonly name: string
  /** Bytes of one element; 1 for Buffer, DataView and ArrayBuffer. */
  readonly elementBytes: number
  /** Makes a chunk of the class over `byteLength` bytes of a buffer. */
  readonly over: (buffer: ArrayBufferLike, byteOffset: number, byteLength: number) => Chunk
}

/** What is known about one chunk, read past whatever the caller may have put in the way. */
export interface Part {
  /** The chunk itself. */
  readonly chunk: Chunk
  readonly kind: Kind
  readonly buffer: ArrayBufferLike
  readonly byteOffset: number
  readonly byteLength: number
  /** Bytes of all of the buffer. */
  readonly bufferBytes: number
  /** Whether other threads can reach the memory. */
  readonly isShared: boolean
  /** Whether the chunk is all of an ArrayBuffer that no other thread can reach. */
  readonly isWhole: boolean
}

const TYPED_ARRAY = Object.getPrototypeOf(Uint8Array.prototype)
const typedArrayName = property<string>(TYPED_ARRAY, Symbol.toStringTag)
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

type View = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => TypedArray

const TYPED_ARRAY_NAMES = [
  ['Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Float16Array'],
  ['Int32Array', 'Uint32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array'],
].flat()

const KINDS: ReadonlyMap<string, Kind> = new Map(
  TYPED_ARRAY_NAMES.flatMap(name => {
    const Class = (globalThis as Record<string, unknown>)[name] as (View & { BYTES_PER_ELEMENT: number }) | undefined
    if (!Class) return []
    const elementBytes = Class.BYTES_PER_ELEMENT
    const over: Kind['over'] = (buffer, byteOffset, byteLength) =>
      new Class(buffer, byteOffset, byteLength / elementBytes)
    return [[name, { name, elementBytes, over }]]
  }),
)
const BUFFER: Kind = {
  name: 'Buffer',
  elementBytes: 1,
  over: (buffer, byteOffset, byteLength) => Buffer.from(buffer, byteOffset, byteLength),
}
const DATA_VIEW: Kind = {
  name: 'DataView',
  elementBytes: 1,
  over: (buffer, byteOffset, byteLength) => new DataView(buffer, byteOffset, byteLength),
}
const ARRAY_BUFFER: Kind = { name: 'ArrayBuffer', elementBytes: 1, over: buffer => buffer as ArrayBuffer }

/** The class of chunks with a name that {@link Kind.name} gave. */
export function kindNamed(name: string): Kind | undefined {
  return KINDS.get(name) ?? [BUFFER, DATA_VIEW, ARRAY_BUFFER].find(kind => kind.name === name)
}

const EXPECTED = 'an instance of TypedArray, Buffer, DataView or ArrayBuffer'

/**
 * What is known about the chunk `value`, called `name` in errors.
 *
 * @throws ERR_INVALID_ARG_TYPE when it is no chunk, ERR_INVALID_ARG_VALUE when its buffer was detached
 */
export function inspectChunk(value: unknown, name: string): Part {
  if (types.isTypedArray(value)) {
    const kind = inherits(value, Buffer.prototype) ? BUFFER : KINDS.get(typedArrayName(value))
    if (!kind) throw invalidArgType(name, EXPECTED, value)
    return part(
      kind,
      typedArray.buffer(value),
      typedArray.byteOffset(value),
      typedArray.byteLength(value),
      value as TypedArray,
      name,
    )
  }
  if (types.isDataView(value)) {
    const buffer = dataView.buffer(value)
    const byteLength = attempt(() => dataView.byteLength(value))
    if (byteLength === undefined) throw unreachable(value, name)
    return part(DATA_VIEW, buffer, dataView.byteOffset(value), byteLength, value, name)
  }
  if (types.isArrayBuffer(value)) return part(ARRAY_BUFFER, value, 0, arrayBufferBytes(value), value, name)
  throw invalidArgType(name, EXPECTED, value)
}

function part(
  kind: Kind,
  buffer: ArrayBufferLike,
  byteOffset: number,
  byteLength: number,
  chunk: Chunk,
  name: string,
): Part {
  if (byteLength === 0 && (isDetached(buffer) || isPastTheEnd(chunk))) throw unreachable(chunk, name)
  const isShared = types.isSharedArrayBuffer(buffer)
  const bufferBytes = bytesOfBuffer(buffer)
  const isWhole = !isShared && byteOffset === 0 && byteLength === bufferBytes
  return { chunk, kind, buffer, byteOffset, byteLength, bufferBytes, isShared, isWhole }
}

function bytesOfBuffer(buffer: ArrayBufferLike): number {
  return types.isSharedArrayBuffer(buffer) ? sharedBufferBytes(buffer) : arrayBufferBytes(buffer)
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
  return types.isTypedArray(chunk) && attempt(() => Reflect.apply(TYPED_ARRAY.values, chunk, [])) === undefined
}

function isDetached(buffer: ArrayBufferLike): boolean {
  if (bytesOfBuffer(buffer) > 0) return false
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

/** Whether a buffer has no bytes any more, whatever properties it was given. */
export function isEmptied(buffer: ArrayBufferLike): boolean {
  return !types.isSharedArrayBuffer(buffer) && arrayBufferBytes(buffer) === 0
}

/** The bytes of a part, without a copy. */
export function bytesOf(part: Part): Uint8Array {
  return new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
}

const transfer: ((this: ArrayBuffer) => ArrayBuffer) | undefined = ArrayBuffer.prototype.transfer
/** Node 21 and later. */
interface UntransferableMarks {
  isMarkedAsUntransferable?: (buffer: object) => boolean
}
const { isMarkedAsUntransferable: isMarked }: UntransferableMarks = workerThreads as object

/**
 * Moves the memory of a buffer into a new ArrayBuffer that only we know, which detaches the old one. `undefined` when it
 * cannot be moved: WebAssembly memory, or memory marked as untransferable, which memory of addons is.
 */
export function move(buffer: ArrayBuffer): ArrayBuffer | undefined {
  const moved = transferred(buffer)
  if (moved) inheritPages(moved, buffer)
  return moved
}

function transferred(buffer: ArrayBuffer): ArrayBuffer | undefined {
  if (transfer && isMarked) return isMarked(buffer) ? undefined : attempt(() => Reflect.apply(transfer, buffer, []))
  // Older runtimes copy what they cannot transfer, and leave the source alive.
  const moved = attempt(() => structuredClone(buffer, { transfer: [buffer] }))
  return arrayBufferBytes(buffer) === 0 ? moved : undefined
}

/** Whether {@link move} would move the buffer. It changes nothing, but costs a few microseconds. */
export function isMovable(buffer: ArrayBuffer): boolean {
  // A transfer that fails after the list of buffers was checked detaches none of them. Where buffers that cannot be
  // transferred are refused, a value that cannot be cloned lets all others fail later; where they are skipped, naming a
  // buffer twice lets all others fail.
  if (!isMarked) return attempt(() => structuredClone(null, { transfer: [buffer, buffer] })) === undefined
  if (isMarked(buffer)) return false
  return FAILED_CLONES_DETACH ? failsForItsLength(buffer) : isListed(buffer)
}

/** Whether a clone gets from the list of buffers to its value, where it fails. */
function isListed(buffer: ArrayBuffer): boolean {
  let reachedTheValue = false
  const value = {
    get never(): undefined {
      reachedTheValue = true
      throw new Error('not to be cloned')
    },
  }
  attempt(() => structuredClone(value, { transfer: [buffer] }))
  return reachedTheValue
}

/** Whether a transfer to a length that no memory has fails for nothing else. It can make the collector run. */
function failsForItsLength(buffer: ArrayBuffer): boolean {
  try {
    buffer.transfer(Number.MAX_SAFE_INTEGER)
    return false
  } catch (error) {
    return error instanceof RangeError
  }
}

/** Deno detaches what is listed even when the clone fails. */
const FAILED_CLONES_DETACH = (() => {
  const buffer = new ArrayBuffer(1)
  return isListed(buffer) && buffer.byteLength === 0
})()

function attempt<T>(step: () => T): T | undefined {
  try {
    return step()
  } catch {
    return undefined
  }
}
