/** Buffer and Uint8Array are one class, in one payload and in one source; nothing else is. */

import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import test from 'ava'
import { type Chunk, type ChunkSource, Handle, pageout, pageoutFrom, pageoutWith, read, take } from 'pageout'
import * as promises from 'pageout/promises'
import { backends, classOf, KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'

const array = (byteLength: number, seed = 1) => pattern(byteLength, seed)
const buffer = (byteLength: number, seed = 1) => Buffer.from(pattern(byteLength, seed).buffer as ArrayBuffer)

/** Chunks of both classes, and which class the first has. */
const mixtures: Record<string, [string, () => Uint8Array[]]> = {
  'an array, then a Buffer': ['Uint8Array', () => [array(10), buffer(20, 2)]],
  'a Buffer, then an array': ['Buffer', () => [buffer(10), array(20, 2)]],
  'turn by turn': ['Buffer', () => [buffer(5), array(70 * KIB, 2), buffer(MIB, 3), array(0), buffer(0), array(9, 4)]],
  'an empty array first': ['Uint8Array', () => [array(0), buffer(100, 2)]],
  'an empty Buffer first': ['Buffer', () => [buffer(0), array(100, 2)]],
  'parts of buffers': ['Uint8Array', () => [array(100).subarray(3, 50), Buffer.from('of the pool'), array(5, 3)]],
  'several pieces': ['Buffer', () => [buffer(5 * MIB), array(6 * MIB, 2)]],
}

for (const backend of backends) {
  for (const [what, [name, chunks]] of Object.entries(mixtures)) {
    test(`${what} are one payload of the class of the first (${backend})`, async t => {
      const expected = Buffer.concat(chunks())
      const streamed = new ReadableStream({
        start(controller) {
          for (const chunk of chunks()) controller.enqueue(chunk)
          controller.close()
        },
      })
      const iterated = (async function* () {
        yield* chunks()
      })()
      const handles: Record<string, Handle<Uint8Array>> = {
        pageout: pageoutWith(backend, chunks()),
        copied: pageoutWith(backend, chunks(), { detach: 'never' }),
        promised: await promises.pageoutWith(backend, chunks()),
        collected: pageoutFrom(chunks(), { backend }),
        'collected later': await promises.pageoutFrom(chunks(), { backend }),
        'of a Node stream': await promises.pageoutFrom<Uint8Array>(Readable.from(chunks()), { backend }),
        'of a Web stream': await promises.pageoutFrom(streamed as ChunkSource<Uint8Array>, { backend }),
        'of an iterator': await promises.pageoutFrom(iterated, { backend }),
      }
      for (const [how, handle] of Object.entries(handles)) {
        t.deepEqual([handle.type, handle.length], [name, expected.length], how)
        const whole = read(handle)
        t.is(classOf(whole), name, how)
        sameBytes(t, whole, expected, how)
        const moved = Handle.adopt(handle.move())
        const back = await promises.take(moved)
        t.is(classOf(back), name, how)
        sameBytes(t, back, expected, how)
      }
    })
  }

  test(`promised results go into targets of either class (${backend})`, async t => {
    for (const make of [array, buffer]) {
      for (const target of [new Uint8Array(200), Buffer.alloc(200)]) {
        const handle = await promises.pageoutWith(backend, make(100))
        const part = await promises.readAt(handle, 1, 50, target)
        t.deepEqual([classOf(part), part.buffer], [handle.type, target.buffer])
        sameBytes(t, part, array(100).subarray(1, 51))
        const whole = await promises.take(handle, { target })
        t.deepEqual([classOf(whole), whole.byteOffset], [handle.type, target.byteOffset])
        sameBytes(t, whole, array(100))
      }
    }
  })

  test(`other classes of bytes are not of that class (${backend})`, async t => {
    const others = [new Uint8ClampedArray(4), new Int8Array(4), new DataView(new ArrayBuffer(4)), new ArrayBuffer(4)]
    for (const other of others) {
      for (const first of [array(4), buffer(4)]) {
        const mixed = [first, other] as Chunk[]
        for (const chunks of [mixed, [...mixed].reverse()]) {
          const refusal = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE', message: /\[1\]/ }
          t.throws(() => pageoutWith(backend, chunks), refusal)
          t.throws(() => pageoutFrom(chunks, { backend }), refusal)
          await t.throwsAsync(promises.pageoutWith(backend, chunks), refusal)
          await t.throwsAsync(promises.pageoutFrom(chunks, { backend }), refusal)
        }
        t.is(first.length, 4)
      }
      const handle = pageout(buffer(4), { backend })
      t.throws(() => take(handle, other as never), { code: 'ERR_INVALID_ARG_TYPE', message: /"target"/ })
      handle.release()
    }
  })
}

test('a class derived from either comes back as the built-in class', t => {
  class Packet extends Uint8Array {}
  const packet = pageout([new Packet(3).fill(1), Buffer.from([2])])
  t.is(packet.type, 'Uint8Array')
  const back = take(packet)
  t.is(Object.getPrototypeOf(back), Uint8Array.prototype)
  t.deepEqual([...back], [1, 1, 1, 2])
  const target = new Packet(4)
  const result = take(pageout(Buffer.from([9, 8])), target)
  t.is(classOf(result), 'Buffer')
  t.deepEqual([...target], [9, 8, 0, 0])
})
