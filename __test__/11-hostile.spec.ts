import { types } from 'node:util'
import { runInNewContext } from 'node:vm'
import test, { type ExecutionContext } from 'ava'
import { Handle, Pager, type Range } from 'pageout'
import { backends, classOf, pattern, sameBytes } from './helpers/chunks.js'
import { countsOf, newPager } from './helpers/places.js'

const detach = (view: ArrayBufferView) => structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] })

const WRONG_TYPE = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE' }
const WRONG_VALUE = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_VALUE' }

/** An object whose property runs code when it is read. */
function trapped<T extends object>(target: T, key: PropertyKey, get: () => unknown): T {
  return Object.defineProperty(target, key, { get, configurable: true, enumerable: true })
}

for (const backend of backends) {
  test(`options that detach the chunk while they are read are seen by the ${backend} backend`, t => {
    const pager = newPager(t)
    for (const key of ['backend', 'detach']) {
      const [chunk, other] = [pattern(64), pattern(64)]
      const before = countsOf(pager)
      const options = trapped({ backend }, key, () => {
        if (chunk.length > 0) detach(chunk)
        return key === 'backend' ? backend : 'auto'
      })
      t.throws(() => pager.pageout([other, chunk], options), { ...WRONG_VALUE, message: /chunks\[1\]/ })
      t.is(other.length, 64)
      t.deepEqual(countsOf(pager), before)
    }
  })

  test(`options that page the chunk out themselves are seen by the ${backend} backend`, t => {
    const pager = newPager(t)
    const chunk = pattern(64)
    const inner: Handle<Uint8Array>[] = []
    const options = trapped({}, 'backend', () => {
      inner.push(pager.pageoutWith(backend, chunk))
      return backend
    })
    t.throws(() => pager.pageout(chunk, options), WRONG_VALUE)
    for (const handle of inner) sameBytes(t, pager.take(handle), pattern(64))
    t.is(pager.stats().handles, 0)
  })

  test(`options that close the pager keep the ${backend} backend from storing`, t => {
    for (const key of ['backend', 'detach']) {
      const pager = newPager(t)
      const chunk = pattern(64)
      const options = trapped({ backend }, key, () => {
        pager.close()
        return key === 'backend' ? backend : 'auto'
      })
      t.throws(() => pager.pageout(chunk, options), { code: 'ERR_PAGEOUT_CLOSED' }, key)
      sameBytes(t, chunk, pattern(64))
    }
  })

  test(`options that throw pass their own error on from the ${backend} backend`, t => {
    const pager = newPager(t)
    const mine = new Error('mine')
    const chunk = pattern(64)
    const before = countsOf(pager)
    const options = trapped({ backend }, 'detach', () => {
      throw mine
    })
    t.is(
      t.throws(() => pager.pageout(chunk, options)),
      mine,
    )
    t.is(
      t.throws(() => pager.tryPageout(chunk, options)),
      mine,
    )
    sameBytes(t, chunk, pattern(64))
    t.deepEqual(countsOf(pager), before)
  })

  for (const [what, spoil] of [
    ['detaches', detach],
    ['shrinks', (view: ArrayBufferView) => (view.buffer as ArrayBuffer).resize(8)],
  ] as const) {
    test(`an array that ${what} a chunk while it is read makes no wrong payload in the ${backend} backend`, t => {
      const pager = newPager(t)
      const first = new Uint8Array(new ArrayBuffer(64, { maxByteLength: 64 })).fill(9)
      const chunks = trapped([first], 1, () => {
        spoil(first)
        return Uint8Array.of(1, 2, 3)
      })
      rightOrRefused(t, pager, () => pager.pageout(chunks, { backend }))
    })

    test(`a prototype that ${what} a chunk while another is looked at makes no wrong payload in the ${backend} backend`, t => {
      const pager = newPager(t)
      const first = new Uint8Array(new ArrayBuffer(64, { maxByteLength: 64 })).fill(9)
      const second = Uint8Array.of(1, 2, 3)
      const prototype = new Proxy(Uint8Array.prototype, {
        getPrototypeOf() {
          if (first.length === 64) spoil(first)
          return Object.prototype
        },
      })
      Object.setPrototypeOf(second, prototype)
      rightOrRefused(t, pager, () => pager.pageout([first, second], { backend }))
    })
  }

  test(`properties in front of the built-in ones change nothing in the ${backend} backend`, t => {
    const pager = newPager(t)
    const chunk = pattern(64)
    const { buffer } = chunk
    for (const [key, value] of Object.entries({
      length: 2,
      byteLength: 3,
      byteOffset: 60,
      buffer: new ArrayBuffer(1),
      constructor: Float64Array,
      BYTES_PER_ELEMENT: 8,
      subarray: () => t.fail(),
      slice: () => t.fail(),
      set: () => t.fail(),
    })) {
      Object.defineProperty(chunk, key, { value })
    }
    Object.defineProperty(chunk, Symbol.toStringTag, { value: 'Float64Array' })
    Object.defineProperty(chunk, Symbol.iterator, { value: () => t.fail() })
    const handle = pager.pageout(chunk, { backend })
    t.is(handle.byteLength, 64)
    t.is(buffer.byteLength, 0)
    const result = pager.take(handle)
    t.is(classOf(result), 'Uint8Array')
    sameBytes(t, result, pattern(64))
  })

  test(`properties in front of those of a buffer change nothing in the ${backend} backend`, t => {
    const pager = newPager(t)
    const { byteLength } = Object.getOwnPropertyDescriptors(ArrayBuffer.prototype)
    for (const value of [0, 3, 1e9]) {
      const chunk = pattern(64)
      Object.defineProperties(chunk.buffer, {
        byteLength: { value },
        resizable: { value: true },
        detached: { value: true },
        transfer: { value: () => t.fail() },
        slice: { value: () => t.fail() },
        constructor: { value: SharedArrayBuffer },
      })
      const handle = pager.pageout(chunk, { backend })
      t.is(byteLength?.get?.call(chunk.buffer), 0, `byteLength looks like ${value}`)
      sameBytes(t, pager.take(handle), pattern(64))
    }
  })

  test(`a length of a buffer that throws when it is read leaves nothing half done in the ${backend} backend`, t => {
    const pager = newPager(t)
    const chunk = pattern(64)
    trapped(chunk.buffer, 'byteLength', () => {
      throw new Error('mine')
    })
    const handle = pager.pageout(chunk, { backend })
    t.is(chunk.length, 0)
    sameBytes(t, pager.take(handle), pattern(64))
    t.deepEqual([pager.stats().handles, pager.stats().usedBytes], [0, 0])
  })

  test(`classes derived from typed arrays are what they are derived from to the ${backend} backend`, t => {
    const pager = newPager(t)
    let made = 0
    class Column extends Float64Array {
      static get [Symbol.species](): never {
        throw new Error('not to be asked')
      }
      constructor(length: number) {
        super(length)
        made += 1
      }
    }
    const column = new Column(3)
    column.set([1, 2, 3])
    const handle = pager.pageout<Float64Array>([column, Float64Array.of(4)], { backend })
    t.is(column.length, 0)
    const result = pager.take(handle)
    t.is(Object.getPrototypeOf(result), Float64Array.prototype)
    t.deepEqual(result, Float64Array.of(1, 2, 3, 4))
    t.is(made, 1)
    class Text extends Buffer {}
    const text = Object.setPrototypeOf(Buffer.from('text'), Text.prototype) as Buffer
    t.is(classOf(pager.take(pager.pageout(text, { backend }))), 'Buffer')
  })

  test(`arrays of chunks may be of any class of arrays for the ${backend} backend`, t => {
    const pager = newPager(t)
    class Chunks extends Array<Uint8Array> {
      override [Symbol.iterator](): never {
        throw new Error('not to be asked')
      }
      override map(): never {
        throw new Error('not to be asked')
      }
      static override get [Symbol.species](): never {
        throw new Error('not to be asked')
      }
    }
    const derived = new Chunks()
    derived.push(pattern(10, 1), pattern(10, 2))
    sameBytes(t, pager.take(pager.pageout(derived, { backend })), Buffer.concat([pattern(10, 1), pattern(10, 2)]))
    const frozen = Object.freeze([pattern(10)])
    sameBytes(t, pager.take(pager.pageout(frozen, { backend })), pattern(10))
    const through = new Proxy([pattern(10)], {})
    sameBytes(t, pager.take(pager.pageout(through, { backend })), pattern(10))
    const [foreign, ranges] = runInNewContext('[[new Uint8Array([1, 2, 3])], [[1, 2], [0, 1]]]') as [
      Uint8Array[],
      Range[],
    ]
    t.deepEqual([...pager.readAtMany(pager.pageout(foreign, { backend }), ranges)], [2, 3, 1])
  })

  test(`ranges are read once, and what is checked is what is read from the ${backend} backend`, t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, pattern(100))
    const reads = new Map<string, number>()
    const once = <T extends object>(target: T, name: string) =>
      new Proxy(target, {
        get(object, key, receiver) {
          const place = `${name}.${String(key)}`
          const count = reads.get(place) ?? 0
          reads.set(place, count + 1)
          return count === 0 || key === 'length' ? Reflect.get(object, key, receiver) : 1e9
        },
      })
    const ranges = once(
      [once([90, 10], 'first') as unknown as Range, once([0, 5], 'second') as unknown as Range],
      'ranges',
    )
    sameBytes(
      t,
      pager.readAtMany(handle, ranges),
      Buffer.concat([pattern(100).subarray(90), pattern(100).subarray(0, 5)]),
    )
    for (const [place, count] of reads)
      t.true(count === 1 || place.endsWith('length'), `${place} was read ${count} times`)
  })

  test(`ranges that dispose of the handle while they are read are seen by the ${backend} backend`, t => {
    const pager = newPager(t)
    for (const verb of ['readAtMany', 'tryReadAtMany', 'prefetch'] as const) {
      for (const end of [(handle: Handle) => handle[Symbol.dispose](), (handle: Handle) => void pager.take(handle)]) {
        const handle = pager.pageoutWith(backend, pattern(100))
        const ranges = trapped([] as Range[], 0, () => {
          if (!handle.released) end(handle)
          return [0, 1]
        })
        t.throws(() => pager[verb](handle, ranges), { code: 'ERR_PAGEOUT_RELEASED' }, verb)
      }
    }
    t.is(pager.stats().handles, 0)
  })

  test(`ranges that close the pager while they are read are seen by the ${backend} backend`, t => {
    for (const verb of ['readAtMany', 'tryReadAtMany', 'prefetch'] as const) {
      const pager = newPager(t)
      const handle = pager.pageoutWith(backend, pattern(100))
      const ranges = trapped([] as Range[], 0, () => {
        pager.close()
        return [0, 1]
      })
      t.throws(() => pager[verb](handle, ranges), { code: 'ERR_PAGEOUT_CLOSED' }, verb)
    }
  })

  test(`ranges that detach or shrink the target while they are read are seen by the ${backend} backend`, t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, pattern(100))
    const target = () => new Uint8Array(new ArrayBuffer(100, { maxByteLength: 100 }))
    const read = (into: Uint8Array, change: () => void) =>
      pager.readAtMany(
        handle,
        trapped([] as Range[], 0, () => {
          change()
          return [0, 50]
        }),
        into,
      )
    const gone = target()
    t.throws(() => read(gone, () => detach(gone)), WRONG_VALUE)
    const small = target()
    t.throws(() => read(small, () => small.buffer.resize(49)), { instanceOf: RangeError, code: 'ERR_OUT_OF_RANGE' })
    const enough = target()
    sameBytes(
      t,
      read(enough, () => enough.buffer.resize(50)),
      pattern(100).subarray(0, 50),
    )
  })

  test(`a handle whose properties were changed is still the same to the ${backend} backend`, t => {
    const pager = newPager(t)
    const handle = pager.pageoutWith(backend, pattern(100))
    Object.defineProperties(handle, {
      length: { value: 1e6 },
      byteLength: { value: 1e6 },
      released: { value: true },
      backend: { value: 'none' },
    })
    t.throws(() => pager.readAt(handle, 100, 1), { code: 'ERR_OUT_OF_RANGE' })
    sameBytes(t, pager.readAt(handle, 99, 1), pattern(100).subarray(99))
    Object.freeze(handle)
    sameBytes(t, pager.take(handle), pattern(100))
    t.throws(() => pager.take(handle), { code: 'ERR_PAGEOUT_RELEASED' })
    const bare = pager.pageoutWith(backend, pattern(100))
    Object.setPrototypeOf(bare, null)
    sameBytes(t, pager.take(bare), pattern(100))
  })

  test(`defaults of the ${backend} backend do not come from Object.prototype`, t => {
    const other = backend === 'file' ? 'swap' : 'file'
    const pager = newPager(t, { backend })
    const polluted = Object.prototype as Record<string, unknown>
    Object.assign(polluted, { backend: other, detach: 'never' })
    try {
      const chunk = pattern(64)
      const handle = pager.pageout(chunk)
      t.is(handle.backend, backend)
      t.is(chunk.length, 0)
    } finally {
      delete polluted.backend
      delete polluted.detach
    }
  })
}

test('methods on wrong receivers throw a TypeError', t => {
  const pager = newPager(t)
  const handle = pager.pageout(pattern(10))
  const receivers = [
    undefined,
    null,
    1,
    {},
    Object.create(handle),
    new Proxy(handle, {}),
    Handle.prototype,
    new Proxy(pager, {}),
    Object.create(pager),
  ]
  for (const owner of [Handle.prototype, Pager.prototype]) {
    for (const [key, { get, value }] of Object.entries(Object.getOwnPropertyDescriptors(owner))) {
      const call = get ?? value
      if (key === 'constructor' || typeof call !== 'function') continue
      for (const receiver of receivers) {
        t.throws(() => Reflect.apply(call, receiver, [handle, 0, 1]), { instanceOf: TypeError }, key)
      }
    }
    for (const receiver of receivers) {
      t.throws(() => Reflect.apply(owner[Symbol.dispose], receiver, []), { instanceOf: TypeError })
    }
  }
  sameBytes(t, pager.take(handle), pattern(10))
})

/** Values that fight against being looked at. */
const prickly: Record<string, () => object> = {
  'a revoked proxy': () => revoked({}),
  'a revoked proxy of an array': () => revoked([]),
  'a revoked proxy of a chunk': () => revoked(new Uint8Array(8)),
  'a proxy whose traps throw': () => new Proxy({}, allTraps()),
  'a value whose tag throws': () =>
    trapped({}, Symbol.toStringTag, () => {
      throw new Error('not to be asked')
    }),
  'a value that cannot be made a text': () => ({ toString: null, valueOf: null, [Symbol.toPrimitive]: null }),
}

for (const [what, make] of Object.entries(prickly)) {
  test(`${what} is a wrong argument like any other`, t => {
    const pager = newPager(t)
    const [handle, chunk] = [pager.pageout(pattern(10)), pattern(10)]
    const value = make() as never
    const before = countsOf(pager)
    const wrongTypes: Record<string, () => unknown> = {
      chunks: () => pager.pageout(value),
      'chunks[1]': () => pager.pageout([chunk, value]),
      'handle of readAt': () => pager.readAt(value, 0, 1),
      'handle of take': () => pager.take(value),
      'handle of prefetch': () => pager.prefetch(value),
      offset: () => pager.readAt(handle, value, 1),
      length: () => pager.readAt(handle, 0, value),
      'ranges[0]': () => pager.readAtMany(handle, [value]),
      'ranges[0][0]': () => pager.readAtMany(handle, [[value, 1]]),
      'options.target': () => pager.readAt(handle, 0, 1, { target: value }),
      'options.signal': () => pager.readAt(handle, 0, 1, { signal: value } as object),
      'options.scratchDir': () => new Pager({ scratchDir: value }),
      'options.capacityBytes': () => new Pager({ capacityBytes: value }),
    }
    const wrongValues = {
      'options.backend': () => pager.pageout(chunk, { backend: value }),
      backend: () => pager.pageoutWith(value, chunk),
    }
    const others = [
      ...Object.entries(wrongTypes).filter(([, call]) => codeOf(call) !== 'ERR_INVALID_ARG_TYPE'),
      ...Object.entries(wrongValues).filter(([, call]) => codeOf(call) !== 'ERR_INVALID_ARG_VALUE'),
    ]
    t.deepEqual(
      others.map(([name]) => name),
      [],
      'where it is not refused by its code',
    )
    // An object in the place of a target holds options; a proxy may stand for memory, and is none.
    if (types.isProxy(value)) t.throws(() => pager.readAt(handle, 0, 1, value), WRONG_TYPE)
    t.deepEqual(countsOf(pager), before)
    sameBytes(t, chunk, pattern(10))
    if (!types.isProxy(value)) sameBytes(t, pager.readAt(handle, 0, 1, value), pattern(1))
    sameBytes(t, pager.take(handle), pattern(10))
  })
}

test('options in the place of a target may throw, and their error comes through', t => {
  const pager = newPager(t)
  const handle = pager.pageout(pattern(10))
  const mine = new Error('mine')
  const throws = trapped({}, 'target', () => {
    throw mine
  })
  const calls = [
    () => pager.readAt(handle, 0, 1, throws),
    () => pager.readAtMany(handle, [[0, 1]], throws),
    () => pager.read(handle, throws),
    () => pager.tryTake(handle, throws),
  ]
  for (const call of calls) t.is(t.throws(call), mine)
  sameBytes(t, pager.take(handle), pattern(10))
})

test('options in the place of a target that end the handle or the pager while they are read are seen', t => {
  for (const read of [
    (pager: Pager, handle: Handle<Uint8Array>, options: object) => pager.readAt(handle, 0, 1, options),
    (pager: Pager, handle: Handle<Uint8Array>, options: object) => pager.readAtMany(handle, [[0, 1]], options),
    (pager: Pager, handle: Handle<Uint8Array>, options: object) => pager.read(handle, options),
    (pager: Pager, handle: Handle<Uint8Array>, options: object) => pager.take(handle, options),
  ]) {
    const pager = newPager(t)
    const [released, left] = [pager.pageout(pattern(10)), pager.pageout(pattern(10))]
    const releases = trapped({}, 'target', () => released.release())
    t.throws(() => read(pager, released, releases), { code: 'ERR_PAGEOUT_RELEASED' })
    const closes = trapped({}, 'target', () => pager.close())
    t.throws(() => read(pager, left, closes), { code: 'ERR_PAGEOUT_CLOSED' })
  }
})

test('numbers that are objects are no numbers, and are not asked for their value', t => {
  const pager = newPager(t)
  const handle = pager.pageout(pattern(10))
  const asks = { valueOf: () => t.fail(), toString: () => t.fail(), [Symbol.toPrimitive]: () => t.fail() }
  for (const value of [asks, new Number(1), new Date(1), [1]] as never[]) {
    t.throws(() => pager.readAt(handle, value, 1), WRONG_TYPE)
    t.throws(() => pager.readAtMany(handle, [[0, value]]), WRONG_TYPE)
  }
})

/** Asserts that of 64 nines that may go away on the way, and 1, 2, 3, just what is there goes out, or that they are refused. */
function rightOrRefused(t: ExecutionContext, pager: Pager, out: () => Handle<Uint8Array>): void {
  const before = countsOf(pager)
  try {
    const result = pager.take(out())
    t.deepEqual([...result], [...Array(result.length - 3).fill(9), 1, 2, 3])
  } catch (thrown) {
    t.is((thrown as { code?: string }).code, 'ERR_INVALID_ARG_VALUE', String(thrown))
    t.deepEqual(countsOf(pager), before)
  }
}

function codeOf(call: () => unknown): unknown {
  try {
    call()
    return undefined
  } catch (thrown) {
    return (thrown as { code?: unknown }).code
  }
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function allTraps(): ProxyHandler<object> {
  const fail = () => {
    throw new Error('not to be asked')
  }
  return Object.fromEntries(Reflect.ownKeys(Reflect).map(name => [name, fail]))
}
