/** The classes of chunks that this runtime has, and how to make and compare chunks. */

import type { ExecutionContext } from 'ava'
import type { Backend, Chunk, Range } from 'pageout'

export const KIB = 2 ** 10
export const MIB = 2 ** 20

export const backends: readonly Backend[] = ['file', 'swap']

/** A class of chunks. */
export interface Kind {
  readonly name: string
  readonly elementBytes: number
  /** A chunk that is all of a buffer. */
  readonly over: (buffer: ArrayBuffer) => Chunk
}

type ViewClass = { new (buffer: ArrayBuffer): Chunk; readonly name: string; readonly BYTES_PER_ELEMENT: number }

function typedArrays(): readonly ViewClass[] {
  const { Float16Array } = globalThis as { Float16Array?: ViewClass }
  return [
    [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Float16Array ?? []],
    [Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  ].flat(2) as ViewClass[]
}

/** Every class of chunks. */
export const kinds: readonly Kind[] = [
  ...typedArrays().map(View => ({
    name: View.name,
    elementBytes: View.BYTES_PER_ELEMENT,
    over: (buffer: ArrayBuffer) => new View(buffer),
  })),
  { name: 'Buffer', elementBytes: 1, over: buffer => Buffer.from(buffer) },
  { name: 'DataView', elementBytes: 1, over: buffer => new DataView(buffer) },
  { name: 'ArrayBuffer', elementBytes: 1, over: buffer => buffer },
]

/** A chunk that is all of a buffer of its own, with these bytes. */
export function chunkOf(kind: Kind, bytes: Uint8Array): Chunk {
  return kind.over(bytes.slice().buffer as ArrayBuffer)
}

/** The bytes of a chunk, not copied. */
export function bytesOf(chunk: Chunk): Uint8Array {
  return ArrayBuffer.isView(chunk)
    ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    : new Uint8Array(chunk)
}

/** Elements of a chunk; bytes for DataView and ArrayBuffer. None when it is detached. */
export function lengthOf(chunk: Chunk): number {
  if ('length' in chunk) return chunk.length
  // The length of a detached DataView throws.
  return chunk instanceof DataView && chunk.buffer.byteLength === 0 ? 0 : chunk.byteLength
}

/** Name of the class of a chunk. */
export function classOf(chunk: Chunk): string {
  return Object.getPrototypeOf(chunk).constructor.name
}

/** Memory of a WebAssembly module. */
export function wasmMemory(): { readonly buffer: ArrayBuffer; grow(pages: number): number } {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: { Memory: new (limits: { initial: number }) => ReturnType<typeof wasmMemory> }
  }
  return new WebAssembly.Memory({ initial: 1 })
}

/** Bytes in which no two places look alike for long. */
export function pattern(byteLength: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(byteLength / 4))
  let state = seed >>> 0
  for (let position = 0; position < words.length; position += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    words[position] = state ^ (state >>> 13)
  }
  return new Uint8Array(words.buffer, 0, byteLength).slice()
}

/** Cuts bytes into pieces of the lengths that `lengths` gives; the last piece is the rest. */
export function pieces(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  let start = 0
  const cut = lengths.map(length => {
    start += length
    return bytes.slice(start - length, start)
  })
  return [...cut, bytes.slice(start)]
}

/** The bytes of ranges of elements, in request order. */
export function rangesOf(bytes: Uint8Array, elementBytes: number, ranges: readonly Range[]): Uint8Array {
  const parts = ranges.map(([offset, length]) =>
    bytes.subarray(offset * elementBytes, (offset + length) * elementBytes),
  )
  return Uint8Array.from(Buffer.concat(parts))
}

/** Asserts bytes without printing megabytes of them. */
export function sameBytes(t: ExecutionContext, actual: Chunk, expected: Uint8Array, where = ''): void {
  const got = bytesOf(actual)
  t.is(got.length, expected.length, where)
  if (Buffer.compare(got, expected) === 0) return
  const first = got.findIndex((byte, position) => byte !== expected[position])
  t.fail(`${where}: byte ${first} is ${got[first]}, not ${expected[first]}`)
}
