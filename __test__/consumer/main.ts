/** What a user of the package writes, right and wrong. The compiler runs it; nobody else does. */

import {
  type Backend,
  type Borrow,
  type BorrowOptions,
  type backend,
  borrow,
  type Chunk,
  type Controls,
  type Detach,
  type DetachOptions,
  Handle,
  type PageoutError,
  type PageoutOptions,
  Pager,
  type PagerOptions,
  type PagerStats,
  type PromiseVerbs,
  pageout,
  pageoutFrom,
  pageoutWith,
  prefetch,
  type Range,
  type RefusedDir,
  type Result,
  read,
  readAt,
  readAtMany,
  type Stored,
  setBackend,
  setScratchDir,
  type stats,
  type Target,
  type TargetOptions,
  type TypedArray,
  take,
  trim,
  tryBorrow,
  tryPageout,
  tryPageoutWith,
  tryRead,
  tryReadAt,
  tryReadAtMany,
  tryTake,
  type Verbs,
} from 'pageout'
import type * as promises from 'pageout/promises'

/** Compiles only where two types are the same; `any` is the same as nothing but itself. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const yes = <A extends true, B extends true = true, C extends true = true>(..._: [A?, B?, C?]): void => {}

// One class in, the same class out.
const doubles = pageout(new Float64Array(4))
yes<Same<typeof doubles, Handle<Float64Array<ArrayBuffer>>>>()
const some = readAt(doubles, 0, 2)
yes<Same<typeof some, Float64Array<ArrayBuffer>>>()
const many = readAtMany(doubles, [
  [3, 1],
  [0, 2],
])
yes<Same<typeof many, Float64Array<ArrayBuffer>>>()
const whole = take(doubles, new Float64Array(10))
yes<Same<typeof whole, Float64Array<ArrayBuffer>>>()
yes<Same<(typeof whole)[number], number>>()

const bigs = take(pageout([new BigInt64Array(1), new BigInt64Array(2)]))
yes<Same<(typeof bigs)[number], bigint>>()
const text: string = take(pageout(Buffer.from('text'))).toString('utf8')
const view: number = take(pageout(new DataView(new ArrayBuffer(8)))).getUint8(0)
const buffer: ArrayBuffer = take(pageout(new ArrayBuffer(8)))
const clamped: Uint8ClampedArray = take(pageoutWith('swap', new Uint8ClampedArray(1), { detach: 'required' }))

// A whole payload is read as it is taken.
const all = read(doubles)
yes<Same<typeof all, Float64Array<ArrayBuffer>>>()
const tried = tryRead(doubles, new Float64Array(4))
yes<Same<typeof tried, Result<Float64Array<ArrayBuffer>>>>()

// No chunks are bytes, whatever the compiler makes of them.
const nothing = pageout([])
yes<Same<(typeof nothing)['length'], number>>()

// What comes back is the built-in class over ordinary memory, whatever went out.
const shared = new SharedArrayBuffer(8)
const ofShared = take(pageout(new Float64Array(shared)))
yes<Same<typeof ofShared, Float64Array<ArrayBuffer>>>()
const viewOfShared = take(pageout(new DataView(shared)))
yes<Same<typeof viewOfShared, DataView<ArrayBuffer>>>()
class Column extends Float64Array {
  readonly name = 'price'
}
const column = pageout(new Column(4))
yes<Same<typeof column, Handle<Float64Array<ArrayBuffer>>>>()
const columns = pageoutFrom([new Column(4), new Column(2)])
yes<Same<typeof columns, Handle<Float64Array<ArrayBuffer>>>>()
// @ts-expect-error a class of one's own is not what comes back
const sameColumn: Column = take(column)
class Packet extends Uint8Array {}
class Memory extends ArrayBuffer {}
yes<Same<Stored<Packet>, Uint8Array<ArrayBuffer>>, Same<Stored<Memory>, ArrayBuffer>>()
yes<
  Same<Stored<Buffer<SharedArrayBuffer>>, Buffer<ArrayBuffer>>,
  Same<Stored<BigUint64Array>, BigUint64Array<ArrayBuffer>>
>()
yes<
  Same<Stored<Uint8ClampedArray<SharedArrayBuffer>>, Uint8ClampedArray<ArrayBuffer>>,
  Same<Stored<Int8Array>, Int8Array<ArrayBuffer>>
>()
yes<Same<Stored<Int16Array | Float32Array>, Int16Array<ArrayBuffer> | Float32Array<ArrayBuffer>>>()

// Buffer and Uint8Array are one class: in one payload, and as each other's target.
const mixed = pageout([new Uint8Array(1), Buffer.alloc(1)])
const someBytes: Uint8Array<ArrayBuffer> = take(mixed)
const mixedSource = pageoutFrom([Buffer.alloc(1), new Uint8Array(1)])
const moreBytes: Uint8Array<ArrayBuffer> = take(mixedSource)
const bufferHandle = pageout(Buffer.alloc(4))
const inBytes = readAt(bufferHandle, 0, 1, new Uint8Array(4))
yes<Same<typeof inBytes, Buffer<ArrayBuffer>>>()
const inBuffer = read(pageout(new Uint8Array(4)), Buffer.alloc(4))
yes<Same<typeof inBuffer, Uint8Array<ArrayBuffer>>>()
// @ts-expect-error nor are clamped bytes in it
take(bufferHandle, new Uint8ClampedArray(4))
// @ts-expect-error nor signed ones
take(bufferHandle, { target: new Int8Array(4) })

// Targets: the same class, a derived one too, over any memory; or options that hold one.
take(column, new Column(4))
take(column, new Float64Array(shared))
take(doubles, { target: new Float64Array(4) })
readAtMany(doubles, [[0, 1]], { target: undefined })
read(doubles, {})
yes<Same<Target<Buffer>, Uint8Array>, Same<Target<Int16Array>, Int16Array>, Same<Target<ArrayBuffer>, ArrayBuffer>>()
const intoDoubles: TargetOptions<Float64Array> = { target: new Float64Array(2) }
readAt(doubles, 0, 2, intoDoubles)
// @ts-expect-error a target of another class in options
take(doubles, { target: new Float32Array(4) })
// @ts-expect-error the synchronous form has no signal
take(doubles, { signal: new AbortController().signal })
// @ts-expect-error unknown option
read(doubles, { into: new Float64Array(4) })
// @ts-expect-error a target is not given twice
readAt(doubles, 0, 1, new Float64Array(1), { target: new Float64Array(1) })

// Options that a caller passes on may be undefined, under exactOptionalPropertyTypes too.
function pass(given: {
  backend?: Backend
  detach?: Detach
  scratchDir?: string
  bytes?: number
  is?: boolean
  integrity?: 'checksum' | 'none'
  compression?: 'none' | 'lz4'
  target?: Float64Array
}): void {
  const { backend, detach, scratchDir, bytes, is, integrity, compression, target } = given
  pageout(new Uint8Array(1), { backend, detach })
  pageoutWith('file', new Uint8Array(1), { detach })
  pageoutFrom([new Uint8Array(1)], { backend })
  pageout(new Uint8Array(1), undefined)
  read(doubles, { target })
  read(doubles, target)
  new Pager({
    scratchDir,
    backend,
    detach,
    capacityBytes: bytes,
    allowRamBacked: is,
    integrity,
    encryption: is,
    compression,
    excludeFromCoreDumps: is,
    spareBytes: bytes,
  })
  new Pager(undefined)
}
pass({})

// The verbs have names, and pagers and the module implement them.
const bySyncPager: Verbs = new Pager()
const byPromisePager = (pager: promises.Pager): PromiseVerbs & Controls => pager
const readByAny = (verbs: Pick<Verbs, 'readAt'>): Float64Array => verbs.readAt(doubles, 0, 1)
readByAny({ readAt })
// @ts-expect-error promises are not results
const wrongVerbs: (pager: promises.Pager) => Verbs = pager => pager

// Results tell success and failure apart.
const out = tryPageout([new Int16Array(3)] as const, { backend: 'file', detach: 'never' })
yes<Same<typeof out, Result<Handle<Int16Array<ArrayBuffer>>>>>()
if (out.ok) {
  const read = tryReadAt(out.value, 0, 1)
  const ranges: readonly Range[] = [[0, 1]]
  const readMany = tryReadAtMany(out.value, ranges, new Int16Array(1))
  const taken = tryTake(out.value)
  if (read.ok && readMany.ok && taken.ok) yes<Same<typeof taken.value, Int16Array<ArrayBuffer>>>()
  // @ts-expect-error a success has no error
  out.error
} else {
  const error: PageoutError = out.error
  const { code, errno, syscall, path, requestedBytes, usedBytes, capacityBytes, byteOffset, tried } = error
  yes<Same<typeof code, string>, Same<typeof errno, number | undefined>, Same<typeof syscall, string | undefined>>()
  yes<Same<typeof path, string | undefined>, Same<typeof byteOffset, number | undefined>>()
  yes<Same<typeof tried, readonly RefusedDir[] | undefined>>()
  const bytes: (number | undefined)[] = [requestedBytes, usedBytes, capacityBytes]
  bytes.push(1)
  // @ts-expect-error a failure has no value
  out.value
}
const swapped: Result<Handle<Uint8Array>> = tryPageoutWith('swap', new Uint8Array(1))

// Pagers have the same verbs.
const options: PagerOptions = {
  scratchDir: '/var/tmp',
  backend: 'file',
  capacityBytes: 1,
  allowRamBacked: true,
  integrity: 'none',
  encryption: true,
  compression: 'lz4',
  spareBytes: 0,
  detach: 'required',
  excludeFromCoreDumps: true,
}
{
  using pager = new Pager(options)
  using handle = pager.pageout(new Float32Array(2), { detach: 'auto' } satisfies PageoutOptions)
  const start = pager.readAt(handle, 0, 1, new Float32Array(1))
  yes<Same<typeof start, Float32Array<ArrayBuffer>>>()
  pager.prefetch(handle, [[0, 1]])
  pager.setBackend(pager.backend())
  const { handles, scratchDir, fileSystem }: PagerStats = pager.stats()
  yes<Same<typeof handles, number>>()
  yes<Same<typeof scratchDir, string | null>>()
  yes<Same<typeof fileSystem, string | null>>()
  pager.trim()
  pager.close()
}
yes<Same<ReturnType<typeof stats>, PagerStats>>()
yes<Same<ReturnType<typeof backend>, Backend>>()
yes<Same<Backend, 'swap' | 'file'>>()
setBackend('swap')
setScratchDir('/var/tmp')
trim()
prefetch(doubles)
const detachOnly: DetachOptions = { detach: 'never' }
yes<Same<(typeof doubles)['length'], number>>()
yes<Same<(typeof doubles)['byteLength'], number>>()
yes<Same<(typeof doubles)['backend'], Backend>>()
yes<Same<(typeof doubles)['released'], boolean>>()
yes<Same<(typeof doubles)['type'], string>>()
yes<Same<ReturnType<(typeof doubles)['release']>, void>>()

// Handles know their class, and are nothing else than handles.
declare const bytesHandle: Handle<Uint8Array>
declare const doublesHandle: Handle<Float64Array>
const anyHandle: Handle<Chunk> = bytesHandle
const typed: TypedArray = take(doublesHandle)
// @ts-expect-error bytes are no doubles
const wrongHandle: Handle<Float64Array> = bytesHandle
// @ts-expect-error nor the other way round
const wrongOther: Handle<Uint8Array> = doublesHandle
// @ts-expect-error two classes of numbers are still two
const wrongNumbers: Handle<Int32Array> = doublesHandle
// @ts-expect-error a handle of something is not one of something in particular
const narrowed: Handle<Uint8Array> = anyHandle
// @ts-expect-error an object that looks like a handle is none
const forged: Handle<Uint8Array> = {
  length: 1,
  byteLength: 1,
  type: 'Uint8Array',
  backend: 'file',
  released: false,
  atRisk: false,
  release() {},
  [Symbol.dispose]() {},
}
// @ts-expect-error the class of what comes back is that of the handle
const wrongResult: Uint8Array = take(doublesHandle)
const rightResult = take(doublesHandle)
yes<Same<typeof rightResult, Float64Array>>()
// @ts-expect-error fields of a handle are read only
doublesHandle.length = 1
// @ts-expect-error and stay what they are
doublesHandle.backend = 'swap'
// @ts-expect-error a handle is released by what is done with it
doublesHandle.released = true
declare const failure: PageoutError
// @ts-expect-error fields of an error are read only
failure.code = 'ENOSPC'
// @ts-expect-error only pageout makes handles
new Handle()

// Wrong calls.
// @ts-expect-error no chunk
pageout('text')
// @ts-expect-error no chunk
pageout([1, 2, 3])
// @ts-expect-error a bare SharedArrayBuffer is no chunk
pageout(new SharedArrayBuffer(8))
// @ts-expect-error nothing
pageout()
// @ts-expect-error unknown backend
pageout(new Uint8Array(1), { backend: 'disk' })
// @ts-expect-error unknown detach
pageout(new Uint8Array(1), { detach: 'always' })
// @ts-expect-error unknown option
pageout(new Uint8Array(1), { Backend: 'file' })
// @ts-expect-error the backend is named already
pageoutWith('file', new Uint8Array(1), { backend: 'swap' })
// @ts-expect-error backend first
pageoutWith(new Uint8Array(1))
// @ts-expect-error unknown backend
setBackend('memory')
// @ts-expect-error offset and length are numbers
readAt(doublesHandle, '0', 1)
// @ts-expect-error length is missing
readAt(doublesHandle, 0)
// @ts-expect-error no bigint
readAt(doublesHandle, 0n, 1)
// @ts-expect-error ranges are pairs
readAtMany(doublesHandle, [1, 2])
// @ts-expect-error ranges are pairs of numbers
readAtMany(doublesHandle, [[1, 2, 3]])
// @ts-expect-error a chunk is no handle
take(new Uint8Array(1))
// @ts-expect-error unknown option
new Pager({ scratchdir: '/var/tmp' })
// @ts-expect-error unknown detach
new Pager({ detach: 'always' })
// @ts-expect-error unknown integrity
new Pager({ integrity: 'crc' })
// @ts-expect-error unknown compression
new Pager({ compression: 'zstd' })
// @ts-expect-error a key is not for the caller to give
new Pager({ encryption: 'key' })
// @ts-expect-error a number of bytes is a number
new Pager({ capacityBytes: 10n })
// @ts-expect-error a target of another class
take(doublesHandle, Buffer.alloc(8))
// @ts-expect-error nor of another class of numbers
readAt(doublesHandle, 0, 1, new Int32Array(1))

export {
  anyHandle,
  buffer,
  byPromisePager,
  bySyncPager,
  clamped,
  detachOnly,
  forged,
  moreBytes,
  narrowed,
  pass,
  sameColumn,
  someBytes,
  swapped,
  text,
  typed,
  view,
  whole,
  wrongHandle,
  wrongNumbers,
  wrongOther,
  wrongResult,
  wrongVerbs,
}

// What is borrowed is of the payload's class, and work gives its own result.
function look(handle: Handle<Float64Array<ArrayBuffer>>, options: BorrowOptions): void {
  const borrowed = borrow(handle)
  yes<Same<typeof borrowed, Borrow<Float64Array<ArrayBuffer>>>>()
  yes<Same<typeof borrowed.value, Float64Array<ArrayBuffer>>>()
  const total = borrow(handle, column => column.reduce((sum, number) => sum + number))
  yes<Same<typeof total, number>>()
  const looked = tryBorrow(handle, undefined, options)
  yes<Same<typeof looked, Result<Borrow<Float64Array<ArrayBuffer>>>>>()
  const tried = tryBorrow(handle, column => column.length, options)
  yes<Same<typeof tried, Result<number>>>()
  // @ts-expect-error a value is not set
  borrowed.value = new Float64Array(4)
  // @ts-expect-error the array is of another class
  borrow(handle, (column: Int32Array) => column.length)
  // @ts-expect-error unknown option
  borrow(handle, { await: true })
}
look(pageout(new Float64Array(4)), { wait: undefined, signal: undefined })
