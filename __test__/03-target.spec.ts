import test from 'ava'
import type { Chunk, Handle, TargetOptions } from 'pageout'
import {
  backends,
  bytesOf,
  chunkOf,
  classOf,
  type Kind,
  kinds,
  lengthOf,
  pattern,
  rangesOf,
  sameBytes,
  wasmMemory,
} from './helpers/chunks.js'
import { newPager } from './helpers/places.js'

const byName = new Map(kinds.map(kind => [kind.name, kind]))
const kindOf = (name: string) => byName.get(name) as Kind

/** The classes that count as one. */
const BYTES = ['Buffer', 'Uint8Array']
const isSameFamily = (one: string, other: string) => one === other || (BYTES.includes(one) && BYTES.includes(other))

for (const backend of backends) {
  for (const kind of kinds.filter(({ name }) => name !== 'ArrayBuffer')) {
    test(`a ${kind.name} target is filled at its start and returned as a view from the ${backend} backend`, t => {
      const pager = newPager(t)
      const bytes = pattern(9000 * kind.elementBytes)
      const handle = pager.pageout(chunkOf(kind, bytes), { backend })
      const untouched = new Uint8Array(9100 * kind.elementBytes).fill(0x55)
      const filledWith = (front: Uint8Array) => Buffer.concat([front, untouched.subarray(front.length)])

      const check = (read: (target: Chunk) => Chunk, expected: Uint8Array) => {
        const target = chunkOf(kind, untouched)
        const { buffer } = target as Uint8Array
        const result = read(target) as Uint8Array
        t.is(classOf(result), kind.name)
        t.is(result.buffer, buffer, 'it is the memory of the target')
        t.is(result.byteOffset, 0)
        t.is(lengthOf(result), expected.length / kind.elementBytes)
        sameBytes(t, result, expected)
        sameBytes(t, target, filledWith(expected), 'what lies behind stays')
      }
      const { elementBytes } = kind
      check(target => pager.readAt(handle, 5, 4000, target), rangesOf(bytes, elementBytes, [[5, 4000]]))
      check(target => pager.readAt(handle, 9000, 0, target), rangesOf(bytes, elementBytes, []))
      const ranges = [
        [8000, 3],
        [0, 1],
        [17, 2500],
      ] as const
      check(target => pager.readAtMany(handle, ranges, target), rangesOf(bytes, elementBytes, ranges))
      check(target => pager.take(handle, target), bytes)
      t.true(handle.released)
    })

    test(`a ${kind.name} target may be a part of a buffer for the ${backend} backend`, t => {
      const pager = newPager(t)
      const bytes = pattern(64)
      const handle = pager.pageout(chunkOf(kind, bytes), { backend })
      const buffer = new ArrayBuffer(128)
      const part = partOf(kind.over(buffer), 32)
      const result = pager.take(handle, part) as Uint8Array
      t.is(result.byteOffset, 32)
      t.is(result.byteLength, 64)
      sameBytes(t, buffer, Buffer.concat([new Uint8Array(32), bytes, new Uint8Array(32)]))
    })
  }

  test(`an ArrayBuffer target of the ${backend} backend is filled at its start and returned`, t => {
    const pager = newPager(t)
    const bytes = pattern(5000)
    const handle = pager.pageout(bytes.slice().buffer, { backend })
    const target = new Uint8Array(6000).fill(0x55).buffer
    t.is(pager.readAt(handle, 10, 100, target), target)
    sameBytes(t, target.slice(0, 101), Uint8Array.of(...bytes.subarray(10, 110), 0x55))
    t.is(pager.take(handle, target), target)
    sameBytes(t, target, Buffer.concat([bytes, new Uint8Array(1000).fill(0x55)]))
  })

  test(`a target of exactly the right length is enough for the ${backend} backend`, t => {
    const pager = newPager(t)
    const handle = pager.pageout(Int32Array.of(1, 2, 3), { backend })
    t.deepEqual(pager.readAt(handle, 1, 2, new Int32Array(2)), Int32Array.of(2, 3))
    t.deepEqual(pager.take(handle, new Int32Array(3)), Int32Array.of(1, 2, 3))
  })

  test(`a target backed by shared memory is filled from the ${backend} backend`, t => {
    const pager = newPager(t)
    const bytes = pattern(10_000)
    const handle: Handle<Uint8Array> = pager.pageout(bytes.slice(), { backend })
    const shared = new SharedArrayBuffer(10_010)
    const target: Uint8Array = new Uint8Array(shared, 10)
    const some = pager.readAtMany(
      handle,
      [
        [9000, 5],
        [3, 4],
      ],
      target,
    )
    t.is(some.buffer, shared)
    sameBytes(
      t,
      some,
      rangesOf(bytes, 1, [
        [9000, 5],
        [3, 4],
      ]),
    )
    const all = pager.take(handle, target)
    t.is(all.buffer, shared)
    sameBytes(t, all, bytes)
    t.deepEqual([...new Uint8Array(shared, 0, 10)], Array(10).fill(0))
  })

  test(`a target in WebAssembly memory or a resizable buffer is filled from the ${backend} backend`, t => {
    const pager = newPager(t)
    const bytes = pattern(1000)
    const handle = pager.pageout(bytes.slice(), { backend })
    const { buffer } = wasmMemory()
    sameBytes(t, pager.readAt(handle, 0, 1000, new Uint8Array(buffer, 100)), bytes)
    sameBytes(t, buffer.slice(100, 1100), bytes)
    const resizable = new ArrayBuffer(1000, { maxByteLength: 2000 })
    const result = pager.take(handle, new Uint8Array(resizable))
    resizable.resize(2000)
    t.is(result.length, 1000, 'the result has the length of the payload, however the buffer grows')
    sameBytes(t, result, bytes)
  })

  test(`a target that is too small is refused by the ${backend} backend and stays as it was`, t => {
    const pager = newPager(t)
    for (const kind of kinds) {
      const handle = pager.pageout(chunkOf(kind, pattern(80)), { backend })
      const target = chunkOf(kind, new Uint8Array(72).fill(0x55))
      const tooSmall = { instanceOf: RangeError, code: 'ERR_OUT_OF_RANGE', message: /"target.*Received .*\b\d+/ }
      t.throws(() => pager.take(handle, target), tooSmall, kind.name)
      t.throws(() => pager.readAt(handle, 0, 80 / kind.elementBytes, target), tooSmall, kind.name)
      t.throws(() => pager.readAtMany(handle, [[0, 80 / kind.elementBytes]], target), tooSmall, kind.name)
      sameBytes(t, target, new Uint8Array(72).fill(0x55))
      t.false(handle.released)
      sameBytes(t, pager.take(handle), pattern(80))
    }
  })

  test(`a target of another class is refused by the ${backend} backend`, t => {
    const pager = newPager(t)
    const other = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE', message: /"target"/ }
    for (const kind of kinds) {
      const handle = pager.pageout(chunkOf(kind, pattern(16)), { backend })
      for (const another of kinds.filter(({ name }) => !isSameFamily(name, kind.name))) {
        const target = chunkOf(another, new Uint8Array(64))
        t.throws(() => pager.take(handle, target), other, `${another.name} for ${kind.name}`)
        sameBytes(t, target, new Uint8Array(64))
      }
      t.throws(() => pager.take(handle, new SharedArrayBuffer(64) as never), other)
      sameBytes(t, pager.take(handle), pattern(16))
    }
  })

  test(`Buffer and Uint8Array are targets of each other, and the payload says the class of the result (${backend})`, t => {
    const pager = newPager(t)
    const bytes = pattern(100)
    for (const name of BYTES) {
      for (const other of BYTES) {
        const handle = pager.pageoutWith(backend, chunkOf(kindOf(name), bytes))
        const check = (read: (target: Chunk) => Chunk, expected: Uint8Array) => {
          const target = chunkOf(kindOf(other), new Uint8Array(128).fill(0x55)) as Uint8Array
          const result = read(target) as Uint8Array
          t.deepEqual(
            [classOf(result), result.buffer, result.byteOffset],
            [name, target.buffer, 0],
            `${other} for ${name}`,
          )
          sameBytes(t, result, expected)
          sameBytes(t, target, Buffer.concat([expected, new Uint8Array(128 - expected.length).fill(0x55)]))
        }
        check(target => pager.readAt(handle, 3, 90, target), bytes.subarray(3, 93))
        check(
          target =>
            pager.readAtMany(
              handle,
              [
                [50, 2],
                [0, 1],
              ],
              target,
            ),
          Uint8Array.of(...bytes.subarray(50, 52), ...bytes.subarray(0, 1)),
        )
        check(target => pager.read(handle, target), bytes)
        check(target => pager.take(handle, target), bytes)
      }
    }
  })

  test(`options may stand where the target stands (${backend})`, t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, Int16Array.of(1, 2, 3, 4))
    const target = new Int16Array(8)
    const calls: Record<string, [(options: TargetOptions<Int16Array>) => Int16Array, number[]]> = {
      readAt: [options => pager.readAt(handle, 1, 2, options), [2, 3]],
      readAtMany: [
        options =>
          pager.readAtMany(
            handle,
            [
              [3, 1],
              [0, 1],
            ],
            options,
          ),
        [4, 1],
      ],
      read: [options => pager.read(handle, options), [1, 2, 3, 4]],
      take: [options => pager.take(handle, options), [1, 2, 3, 4]],
    }
    for (const [verb, [call, expected]] of Object.entries(calls)) {
      if (verb !== 'take') {
        for (const options of [{}, { target: undefined }, Object.create(null)]) {
          const own = call(options)
          t.deepEqual(own, Int16Array.from(expected), verb)
          t.not(own.buffer, target.buffer)
        }
      }
      target.fill(9)
      const result = call({ target })
      t.deepEqual([result.buffer, [...result]], [target.buffer, expected], verb)
      t.deepEqual([...target], [...expected, ...Array(8 - expected.length).fill(9)])
    }
    t.true(handle.released)
  })

  test(`a whole payload is read and stays out (${backend})`, t => {
    const pager = newPager(t)
    for (const kind of kinds) {
      const bytes = pattern(9000 * kind.elementBytes)
      const handle = pager.pageoutWith(backend, chunkOf(kind, bytes))
      for (let round = 0; round < 2; round += 1) {
        const whole = pager.read(handle)
        t.is(classOf(whole), kind.name)
        sameBytes(t, whole, bytes)
        // What comes back is the caller's own.
        bytesOf(whole).fill(0)
      }
      const result = pager.tryRead(handle)
      sameBytes(t, result.ok ? result.value : new Uint8Array(0), bytes)
      t.false(handle.released)
      sameBytes(t, pager.take(handle), bytes)
    }
    t.is(pager.stats().reads, 3 * kinds.length)
    t.is(pager.read(pager.pageoutWith(backend, new Float64Array(0))).length, 0)
  })

  test(`a detached target is refused by the ${backend} backend`, t => {
    const pager = newPager(t)
    const handle = pager.pageout(pattern(16), { backend })
    const target = new Uint8Array(64)
    structuredClone(target.buffer, { transfer: [target.buffer] })
    const refusal = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_VALUE', message: /"target"/ }
    t.throws(() => pager.take(handle, target), refusal)
    t.throws(() => pager.readAt(handle, 0, 0, target), refusal)
    t.false(handle.released)
  })
}

test('a subarray of a small Buffer is a target that leaves its neighbours alone', t => {
  const pager = newPager(t)
  const neighbour = Buffer.from('neighbour')
  const target = Buffer.from('0123456789')
  const handle = pager.pageout(Buffer.from('abc'))
  t.is(pager.take(handle, target.subarray(4)).toString(), 'abc')
  t.is(target.toString(), '0123abc789')
  t.is(neighbour.toString(), 'neighbour')
})

/** The part of a view from a byte on. */
function partOf(view: Chunk, byteOffset: number): Chunk {
  const { buffer } = view as Uint8Array
  const kind = byName.get(classOf(view))
  if (kind?.name === 'DataView') return new DataView(buffer, byteOffset)
  const elements = view as Uint8Array
  return elements.subarray((byteOffset * lengthOf(view)) / bytesOf(view).length)
}
