/**
 * Pieces of memory that the storm owns: what goes out, and what results are written to. Every class of chunks over every
 * sort of memory, and what can happen to that memory while a call is pending.
 */

import { markAsUntransferable } from 'node:worker_threads'

const TYPED_ARRAYS = [
  [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, globalThis.Float16Array ?? []],
  [Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array],
].flat(2)

/** The classes of chunks. `over` makes one over a part of a buffer, or over all of it, however long it becomes. */
export const KINDS = [
  ...TYPED_ARRAYS.map(Class => ({
    name: Class.name,
    elementBytes: Class.BYTES_PER_ELEMENT,
    over: (buffer, start, byteLength) =>
      start === undefined ? new Class(buffer) : new Class(buffer, start, byteLength / Class.BYTES_PER_ELEMENT),
  })),
  { name: 'Buffer', elementBytes: 1, over: (...place) => Buffer.from(...place) },
  { name: 'DataView', elementBytes: 1, over: (...place) => new DataView(...place) },
  { name: 'ArrayBuffer', elementBytes: 1, over: buffer => buffer },
]

/** The classes whose chunks may be in one payload, and be the target of each other. */
const BYTES = ['Uint8Array', 'Buffer']

export function isSameFamily(one, other) {
  return one === other || (BYTES.includes(one.name) && BYTES.includes(other.name))
}

/** The class itself; now and then another one that goes with it. */
export function someRelative(random, kind) {
  return random.oneIn(4) ? random.pick(KINDS.filter(other => isSameFamily(kind, other))) : kind
}

/** The class of a payload without chunks. */
export const EMPTY_KIND = KINDS.find(({ name }) => name === 'Uint8Array')

export const classOf = chunk => Object.getPrototypeOf(chunk).constructor.name

/** The bytes of a chunk, not copied; undefined when its memory is gone. */
export function bytesOf(chunk) {
  try {
    if (!ArrayBuffer.isView(chunk)) return new Uint8Array(chunk)
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  } catch {
    return undefined
  }
}

export const same = (a, b) => a.length === b.length && Buffer.compare(a, b) === 0

const LONGEST_BYTES = 2 ** 20
/** No two places of it look alike for long; where a piece begins in it depends on the number of the piece alone. */
const CONTENT = new Uint8Array(4 * LONGEST_BYTES)
/** In turns so many bytes that do not shrink by compression, and as many that do. */
const STRETCH_BYTES = 2 ** 15
// Numbers that every process has alike: a payload can be checked by another process than the one that made it.
CONTENT.forEach((_, position) => {
  const shrinks = Math.floor(position / STRETCH_BYTES) % 2 === 1
  CONTENT[position] = shrinks
    ? (position >>> 2) >>> (8 * (position % 4))
    : Math.imul(position ^ (position >>> 7), 0x9e3779b1) >>> 24
})

/** The bytes of piece number `id`. */
export function contentOf(id, byteLength) {
  if (byteLength > CONTENT.length / 2) {
    const half = Math.floor(byteLength / 2)
    return Buffer.concat([contentOf(id, half), contentOf(~id, byteLength - half)])
  }
  const start = Math.imul(id, 0x85ebca6b) >>> 0
  return CONTENT.subarray(start % (CONTENT.length - byteLength + 1)).subarray(0, byteLength)
}

/** A length in bytes: most are short, some take a while. */
export function someLength(random, elementBytes) {
  const most = random.pick([0, 64, 64, 64, 5000, 5000, 5000, 20_000, 100_000, random.oneIn(8) ? LONGEST_BYTES : 64])
  return random.below(Math.floor(most / elementBytes) + 1) * elementBytes
}

/** Memories of WebAssembly that are idle. Each reserves gigabytes of addresses, so they are used again. */
const idleWasm = []
const WASM_PAGE_BYTES = 65_536
const WASM_PAGES_MAX = 24

function takeWasm(byteLength) {
  const memory = idleWasm.pop() ?? new WebAssembly.Memory({ initial: 1, maximum: WASM_PAGES_MAX })
  const missing = Math.ceil((byteLength - memory.buffer.byteLength) / WASM_PAGE_BYTES)
  if (missing > 0) memory.grow(missing)
  return memory
}

/**
 * The sorts of memory: where a chunk of `byteLength` bytes lies in it. `isMovable`: detaching the chunk gives the memory
 * back. `hasBuffer`: a bare ArrayBuffer may be of that sort.
 */
const MEMORIES = [
  { name: 'whole', weight: 8, isMovable: true, hasBuffer: true, place: length => [new ArrayBuffer(length), 0] },
  {
    name: 'resizable',
    weight: 4,
    isMovable: true,
    hasBuffer: true,
    place: length => [new ArrayBuffer(length, { maxByteLength: 2 * length + 64 })],
  },
  {
    name: 'resizable, fixed view',
    weight: 2,
    isMovable: true,
    hasBuffer: true,
    place: length => [new ArrayBuffer(length, { maxByteLength: length + 64 }), 0],
  },
  { name: 'part', weight: 3, place: length => [new ArrayBuffer(length + 24), 8] },
  { name: 'pool', weight: 2, place: placeInPool },
  { name: 'wasm', weight: 3, hasBuffer: true, place: (_, wasm) => [wasm.buffer, 0] },
  { name: 'shared', weight: 2, place: length => [new SharedArrayBuffer(length), 0] },
  {
    name: 'growable',
    weight: 2,
    place: length => [new SharedArrayBuffer(length, { maxByteLength: length + 64 })],
  },
  {
    name: 'untransferable',
    weight: 1,
    hasBuffer: true,
    place: length => [marked(new ArrayBuffer(length)), 0],
  },
]

function placeInPool(length) {
  const slice = Buffer.allocUnsafe(length + 8)
  return [slice.buffer, Math.ceil(slice.byteOffset / 8) * 8]
}

function marked(buffer) {
  markAsUntransferable(buffer)
  return buffer
}

export class Piece {
  /** What the chunk has to contain; undefined once someone may have written to it. */
  content
  /** Counts what happens to the memory. */
  version = 0
  /** Pending calls that fill it. */
  fillers = 0
  /** Whether the memory may be gone or of another length. */
  isSpoiled = false

  constructor(kind, memory, chunk, wasm) {
    this.kind = kind
    this.memory = memory
    this.chunk = chunk
    this.wasm = wasm
  }

  get bytes() {
    return bytesOf(this.chunk)
  }

  get isMovable() {
    return this.memory.isMovable === true
  }

  /** Whether another thread writes to it. */
  get isRacing() {
    return this.memory === RACING
  }

  /** Something happens to the memory. */
  touch() {
    this.version += 1
    this.content = undefined
  }

  /** Asserts nothing: says whether the memory is as it has to be, as far as that is known. */
  isIntact() {
    return this.content === undefined || same(this.bytes ?? new Uint8Array(0), this.content)
  }

  /** Takes the memory away, or makes it longer or shorter, in one of the ways that the runtime has. */
  spoil(random) {
    const ways = WAYS[this.memory.name]
    if (!ways) return
    this.touch()
    this.isSpoiled = true
    const buffer = ArrayBuffer.isView(this.chunk) ? this.chunk.buffer : this.chunk
    attempt(() => random.pick(ways)(buffer, random, this.wasm))
  }

  get isBorrowed() {
    return this.memory === BORROWED
  }

  /** Gives back what can be used again. */
  recycle() {
    if (this.wasm && this.wasm.buffer.byteLength < (WASM_PAGES_MAX * WASM_PAGE_BYTES) / 2) idleWasm.push(this.wasm)
    this.wasm = undefined
  }
}

const clone = buffer => structuredClone(buffer, { transfer: [buffer] })
const transfer = buffer => (buffer.transfer ? buffer.transfer() : clone(buffer))
const transferLonger = buffer => buffer.transfer?.(buffer.byteLength + 8)
const resize = (buffer, random) => buffer.resize(random.below(buffer.maxByteLength + 1))
const grow = (buffer, random) => buffer.grow(random.below(buffer.maxByteLength + 1))
const growWasm = (_, random, wasm) => wasm.grow(random.below(2))
/** What can happen to memory, by its sort. */
const WAYS = {
  whole: [clone, transfer, transferLonger],
  result: [clone, transfer, transferLonger],
  part: [transfer],
  resizable: [resize, resize, transfer],
  'resizable, fixed view': [resize, resize, transfer],
  growable: [grow],
  wasm: [growWasm],
}

/** Memory that is gone cannot be changed once more, and not every change fits. */
function attempt(change) {
  try {
    change()
  } catch {
    // It stays as it is.
  }
}

const RACING = { name: 'racing' }
const RESULT = { name: 'result', isMovable: true }

const BORROWED = { name: 'borrowed' }

/** An array that is borrowed: it may become empty at any time. */
export class BorrowedPiece extends Piece {
  constructor(kind, chunk) {
    super(kind, BORROWED, chunk)
    this.content = Uint8Array.from(this.bytes)
  }

  isIntact() {
    return !this.bytes?.length || super.isIntact()
  }

  /** The borrow is over, or may be. */
  end() {
    this.touch()
    this.isSpoiled = true
  }
}

/** Makes pieces; each has a number of its own. */
export class Pieces {
  #racing
  #made
  #lent = []

  /**
   * @param {SharedArrayBuffer | undefined} racing memory that another thread is writing to
   * @param {number} made number of the piece before the first
   */
  constructor(racing, made) {
    this.#racing = racing
    this.#made = made
  }

  /** A piece with known bytes; of racing memory, one with bytes that nobody knows. */
  make(random, kind = random.pick(KINDS), byteLength = someLength(random, kind.elementBytes)) {
    const isBuffer = kind.name === 'ArrayBuffer'
    if (this.#racing && !isBuffer && random.oneIn(4)) return this.#makeRacing(random, kind, byteLength)
    const memory = random.weighted(isBuffer ? MEMORIES.filter(({ hasBuffer }) => hasBuffer) : MEMORIES)
    const wasm = memory.name === 'wasm' ? takeWasm(byteLength) : undefined
    const [buffer, start] = memory.place(byteLength, wasm)
    const place = start === undefined ? [buffer] : [buffer, start, byteLength]
    const piece = new Piece(kind, memory, kind.over(...place), wasm)
    this.#made += 1
    piece.content = contentOf(this.#made, piece.bytes.length)
    piece.bytes.set(piece.content)
    if (wasm) this.#lent.push(piece)
    return piece
  }

  #makeRacing(random, kind, byteLength) {
    const most = Math.min(byteLength, this.#racing.byteLength - 8)
    const start = 8 + random.below(Math.floor((this.#racing.byteLength - 8 - most) / 8) + 1) * 8
    return new Piece(kind, RACING, kind.over(this.#racing, start, most - (most % kind.elementBytes)))
  }

  /** A piece over a result, which is the storm's own memory now. */
  adopt(kind, result) {
    const piece = new Piece(kind, RESULT, result)
    piece.content = Uint8Array.from(piece.bytes)
    return piece
  }

  /** Nobody uses the pieces any more. */
  recycle() {
    for (const piece of this.#lent.splice(0)) piece.recycle()
  }
}
