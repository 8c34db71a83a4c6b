/** The same as main.ts for `pageout/promises`: what differs. */

import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import {
  type Borrow,
  type BorrowOptions,
  borrow,
  type Chunk,
  Handle,
  type HandleToken,
  PageoutError,
  Pager,
  type PromiseVerbs,
  pageout,
  pageoutFrom,
  pageoutWith,
  type Result,
  read,
  readAt,
  readAtMany,
  type SignalOptions,
  take,
  toReadableStream,
  tryBorrow,
  tryRead,
  tryTake,
} from 'pageout/promises'

/** Compiles only where two types are the same; `any` is the same as nothing but itself. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const yes = <A extends true>(..._: [A?]): void => {}

const options: SignalOptions = { signal: AbortSignal.timeout(1000) }
const doubles = await pageout([new Float64Array(4)], { ...options, backend: 'file', detach: 'auto' })
yes<Same<typeof doubles, Handle<Float64Array<ArrayBuffer>>>>()
const some = readAt(doubles, 0, 2, new Float64Array(2), options)
yes<Same<typeof some, Promise<Float64Array<ArrayBuffer>>>>()
const many = await readAtMany(doubles, [[0, 2]], undefined, options)
yes<Same<typeof many, Float64Array<ArrayBuffer>>>()
const taken = await tryTake(doubles, undefined, options)
yes<Same<typeof taken, Result<Float64Array<ArrayBuffer>>>>()
const text: Promise<Buffer<ArrayBuffer>> = take(await pageoutWith('swap', Buffer.from('text'), options))
{
  await using pager = new Pager({ capacityBytes: 1 })
  using handle = await pager.pageout(new Uint8Array(1), options)
  const whole = pager.take(handle)
  yes<Same<typeof whole, Promise<Uint8Array<ArrayBuffer>>>>()
  const closed: Promise<void> = pager.close()
  await closed
}
const collected = await pageoutFrom([new Int16Array(1), new Int16Array(2)], options)
yes<Same<typeof collected, Handle<Int16Array<ArrayBuffer>>>>()
const fromFile: Handle<Buffer> = await pageoutFrom<Buffer>(createReadStream('file'))
const stream = toReadableStream(fromFile, { chunkBytes: 4096, release: true, ...options })
for await (const chunk of stream) yes<Same<typeof chunk, Uint8Array>>()
const readable: Readable = Readable.fromWeb(stream)
const token: HandleToken<Int16Array<ArrayBuffer>> = collected.move()
const adopted = Handle.adopt(token)
yes<Same<typeof adopted, Handle<Int16Array<ArrayBuffer>>>>()
// @ts-expect-error not every string is a token
Handle.adopt('token')
// @ts-expect-error a source gives chunks
await pageoutFrom(['text'])
const error: unknown = await readAt(doubles, 0, 1).catch((thrown: unknown) => thrown)
if (error instanceof PageoutError) yes<Same<typeof error.chunks, readonly Chunk[] | undefined>>()

declare const floats: Handle<Float64Array>
// @ts-expect-error handles of one class are not handles of another
const wrongHandle: Handle<Int32Array> = floats
// @ts-expect-error what comes back is a promise
const wrongResult: Float64Array = take(floats)
// @ts-expect-error no signal
await take(floats, undefined, { signal: true })
// @ts-expect-error no signal in the place of a target either
await take(floats, { signal: true })
// @ts-expect-error a target of another class
await read(floats, { target: new Float32Array(1), ...options })
// @ts-expect-error a pager of promises is not closed by leaving a block at once
using wrongUsing = new Pager()
// Options may stand where the target stands, and what is passed on may be undefined.
async function pass(given: { signal?: AbortSignal; target?: Float64Array; release?: boolean | 'end'; bytes?: number }) {
  const { signal, target, release, bytes } = given
  await take(floats, undefined, { signal })
  await take(floats, { signal })
  await readAt(floats, 0, 1, { target, signal })
  await readAtMany(floats, [[0, 1]], { target }, { signal })
  const whole = await read(floats, target, { signal })
  yes<Same<typeof whole, Float64Array>>()
  await tryRead(floats, { target, signal })
  await pageout(new Uint8Array(1), { signal, backend: undefined, detach: undefined })
  await pageoutFrom([new Uint8Array(1)], { signal, backend: undefined })
  toReadableStream(floats, { signal, release, chunkBytes: bytes })
}
const ofShared = await take(await pageout(new Float32Array(new SharedArrayBuffer(4)), options))
yes<Same<typeof ofShared, Float32Array<ArrayBuffer>>>()
async function* mixture(): AsyncGenerator<Uint8Array | Buffer> {
  yield new Uint8Array(1)
  yield Buffer.alloc(1)
}
const mixed = await pageoutFrom(mixture())
const bytes: Uint8Array<ArrayBuffer> = await take(mixed, { target: Buffer.alloc(2) })
const verbs: PromiseVerbs = new Pager()
toReadableStream(floats, { release: 'end' })
// @ts-expect-error unknown end
toReadableStream(floats, { release: 'always' })
// @ts-expect-error unknown backend
await pageoutWith('disk', new Uint8Array(1))
// @ts-expect-error only pageout makes handles
new Handle()

export { bytes, pass, readable, text, verbs, wrongHandle, wrongResult, wrongUsing }

// What is borrowed is of the payload's class, and work may give a promise of its result.
async function look(handle: Handle<Float32Array<ArrayBuffer>>, options: BorrowOptions): Promise<void> {
  using borrowed = await borrow(handle)
  yes<Same<typeof borrowed, Borrow<Float32Array<ArrayBuffer>>>>()
  const first = await borrow(handle, async column => column.length, { ...options, wait: true })
  yes<Same<typeof first, number>>()
  const tried = await tryBorrow(handle, column => column.length)
  yes<Same<typeof tried, Result<number>>>()
}
await look(await pageout(new Float32Array(4)), options)
