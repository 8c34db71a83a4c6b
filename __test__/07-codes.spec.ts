import { inspect, isDeepStrictEqual, types } from 'node:util'
import test from 'ava'
import * as pageoutModule from 'pageout'
import { type Handle, PageoutError, Pager, type PagerStats } from 'pageout'
import { sameBytes } from './helpers/chunks.js'
import { countsOf, newDirectory, newPager } from './helpers/places.js'

/** The verbs of the module and those of a pager. */
type Surface = Record<Verb, (...args: unknown[]) => unknown> & { stats(): PagerStats }
type Verb = 'pageout' | 'pageoutWith' | 'readAt' | 'readAtMany' | 'read' | 'take' | 'prefetch' | 'setBackend'

/** What the arguments of a case are made of. */
interface Situation {
  /** A payload of 16 doubles. */
  readonly handle: Handle<Float64Array>
  readonly used: Handle<Float64Array>
  readonly ofAnotherPager: Handle<Float64Array>
  /** Four doubles. */
  readonly chunk: Float64Array
  readonly detached: Float64Array
}

/** One wrong call. */
interface Wrong {
  readonly verb: Verb
  readonly what: string
  readonly args: (situation: Situation) => unknown[]
  readonly error: { instanceOf: new (...rest: never[]) => Error; code: string }
  /** What the message has to say. */
  readonly says: readonly string[]
}

const TYPE = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE' }
const VALUE = { instanceOf: TypeError, code: 'ERR_INVALID_ARG_VALUE' }
const RANGE = { instanceOf: RangeError, code: 'ERR_OUT_OF_RANGE' }
const OVERLAP = { instanceOf: RangeError, code: 'ERR_PAGEOUT_OVERLAP' }
const NOT_DETACHABLE = { instanceOf: TypeError, code: 'ERR_PAGEOUT_NOT_DETACHABLE' }
const RELEASED = { instanceOf: PageoutError, code: 'ERR_PAGEOUT_RELEASED' }
const CLOSED = { instanceOf: PageoutError, code: 'ERR_PAGEOUT_CLOSED' }

/** A value and what a message says of it. */
type Shown = readonly [value: unknown, shown: string]

const primitives: readonly Shown[] = [
  [undefined, 'undefined'],
  [null, 'null'],
  [true, 'true'],
  ['text', 'text'],
  [12n, '12n'],
  [Symbol('sign'), 'sign'],
]
const objects: readonly Shown[] = [
  [{}, 'Object'],
  [[1], 'Array'],
  [new Map(), 'Map'],
  [() => 0, 'function'],
  [new Proxy({}, {}), 'Proxy'],
]
const notNumbers = [...primitives, ...objects]
const notObjects: readonly Shown[] = [
  ...primitives.filter(([value]) => value !== undefined),
  [5, '5'],
  [() => 0, 'function'],
  [[], 'Array'],
]
const notChunks: readonly Shown[] = [
  ...primitives,
  ...objects.filter(([value]) => !Array.isArray(value)),
  [5, '5'],
  [new SharedArrayBuffer(8), 'SharedArrayBuffer'],
  [{ buffer: new ArrayBuffer(8), byteOffset: 0, byteLength: 8, length: 8 }, 'Object'],
  [new Proxy(new Uint8Array(8), {}), 'Proxy'],
  [new Blob([]), 'Blob'],
]
const notHandles = [...primitives, ...objects, [5, '5'], [new Uint8Array(4), 'Uint8Array']] as Shown[]
const outOfRange = (max: number): Shown[] =>
  [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, max + 1, 2 ** 53, -(2 ** 53), 1e300].map(
    value => [value, String(value)],
  )

/** Cases that differ in one value. */
function each(
  values: readonly Shown[],
  make: (value: unknown) => Omit<Wrong, 'says' | 'what'> & { name: string },
): Wrong[] {
  return values.map(([value, shown]) => {
    const { name, ...wrong } = make(value)
    return { ...wrong, what: `${name} is ${shown}`, says: [name, `Received`, shown] }
  })
}

const chunks: Wrong[] = (['pageout', 'pageoutWith'] as const).flatMap(verb => {
  const args = (chunks: unknown, options?: unknown) =>
    verb === 'pageout' ? [chunks, options] : ['file', chunks, options]
  const one = (what: string, error: Wrong['error'], says: string[], of: (situation: Situation) => unknown): Wrong => ({
    verb,
    what,
    args: situation => args(of(situation)),
    error,
    says,
  })
  return [
    ...each(notChunks, value => ({ verb, name: 'chunks', args: () => args(value), error: TYPE })),
    ...each(notChunks, value => ({
      verb,
      name: 'chunks[1]',
      args: ({ chunk }) => args([chunk, value, chunk]),
      error: TYPE,
    })),
    one('chunks are an array of arrays', TYPE, ['chunks[0]', 'Array'], ({ chunk }) => [[chunk]]),
    one('chunks are an array with a hole', TYPE, ['chunks[1]', 'undefined'], ({ chunk }) =>
      Object.assign([chunk], { 2: chunk }),
    ),
    one('chunks are an iterator', TYPE, ['chunks', 'Object'], ({ chunk }) => [chunk].values()),
    one('chunks are like an array', TYPE, ['chunks', 'Object'], ({ chunk }) => ({ length: 1, 0: chunk })),
    one('chunks have two classes', TYPE, ['chunks[1]', 'Float64Array', 'Float32Array'], ({ chunk }) => [
      chunk,
      new Float32Array(1),
    ]),
    one('chunks have two classes, without bytes', TYPE, ['chunks[1]'], () => [new Int8Array(0), new Uint8Array(0)]),
    one(
      'an array of another class is among Buffer and Uint8Array',
      TYPE,
      ['chunks[2]', 'Uint8Array', 'Uint8ClampedArray'],
      () => [new Uint8Array(1), Buffer.alloc(1), new Uint8ClampedArray(1)],
    ),
    one('an ArrayBuffer is among views', TYPE, ['chunks[2]', 'ArrayBuffer'], ({ chunk }) => [
      chunk,
      chunk,
      new ArrayBuffer(8),
    ]),
    one('a chunk is detached', VALUE, ['chunks', 'detached', 'Float64Array'], ({ detached }) => detached),
    one('one of the chunks is detached', VALUE, ['chunks[1]', 'detached'], ({ chunk, detached }) => [chunk, detached]),
    one('a detached ArrayBuffer', VALUE, ['chunks', 'detached', 'ArrayBuffer'], ({ detached }) => detached.buffer),
    one('a DataView of a detached buffer', VALUE, ['chunks', 'detached', 'DataView'], () => detachedDataView()),
    one('a view beyond the end of its buffer', VALUE, ['chunks', 'Uint8Array'], () =>
      beyond(buffer => new Uint8Array(buffer, 32)),
    ),
    one('a view that reaches beyond the end of its buffer', VALUE, ['chunks'], () =>
      beyond(buffer => new Uint8Array(buffer, 0, 64)),
    ),
    one('a DataView beyond the end of its buffer', VALUE, ['chunks'], () => beyond(buffer => new DataView(buffer, 32))),
    ...each(notObjects, value => ({ verb, name: 'options', args: ({ chunk }) => args(chunk, value), error: TYPE })),
    ...each([...primitives.slice(1), [5, '5'], ['Auto', 'Auto'], ['', ''], [{}, 'Object']], value => ({
      verb,
      name: 'options.detach',
      args: ({ chunk }) => args(chunk, { detach: value }),
      error: VALUE,
    })),
    {
      verb,
      what: 'a chunk cannot be detached and has to be',
      args: ({ chunk }) => args([chunk, chunk.subarray(1)], { detach: 'required' }),
      error: NOT_DETACHABLE,
      says: ['chunks[1]'],
    },
  ]
})

const wrongBackends: readonly Shown[] = [...primitives, [0, '0'], ['File', 'File'], ['', ''], [['file'], 'Array']]
const backends: Wrong[] = [
  ...each(wrongBackends, value => ({
    verb: 'pageoutWith',
    name: 'backend',
    args: ({ chunk }) => [value, chunk],
    error: VALUE,
  })),
  ...each(wrongBackends, value => ({ verb: 'setBackend', name: 'backend', args: () => [value], error: VALUE })),
  ...each(wrongBackends.slice(1), value => ({
    verb: 'pageout',
    name: 'options.backend',
    args: ({ chunk }) => [chunk, { backend: value }],
    error: VALUE,
  })),
]

const ofHandles = ['readAt', 'readAtMany', 'read', 'take', 'prefetch'] as const
const behindHandle = { readAt: [0, 1], readAtMany: [[[0, 1]]], read: [], take: [], prefetch: [[[0, 1]]] }

const handles: Wrong[] = ofHandles.flatMap(verb => {
  const rest = behindHandle[verb]
  return [
    ...each(notHandles, value => ({ verb, name: 'handle', args: () => [value, ...rest], error: TYPE })),
    {
      verb,
      what: 'the handle is a proxy',
      args: ({ handle }) => [new Proxy(handle, {}), ...rest],
      error: TYPE,
      says: ['handle'],
    },
    { verb, what: 'the handle was used', args: ({ used }) => [used, ...rest], error: RELEASED, says: ['handle'] },
  ] as Wrong[]
})

/** Wrong for a pager; the module serves handles of any. */
const strangers: Wrong[] = ofHandles.map(verb => ({
  verb,
  what: 'the handle is of another pager',
  args: ({ ofAnotherPager }) => [ofAnotherPager, ...behindHandle[verb]],
  error: VALUE,
  says: ['handle', 'pager', 'Received'],
}))

const offsets: Wrong[] = [
  ...each(notNumbers, value => ({
    verb: 'readAt',
    name: 'offset',
    args: ({ handle }) => [handle, value, 1],
    error: TYPE,
  })),
  ...each(notNumbers, value => ({
    verb: 'readAt',
    name: 'length',
    args: ({ handle }) => [handle, 0, value],
    error: TYPE,
  })),
  ...each(outOfRange(16), value => ({
    verb: 'readAt',
    name: 'offset',
    args: ({ handle }) => [handle, value, 0],
    error: RANGE,
  })),
  ...each(outOfRange(16), value => ({
    verb: 'readAt',
    name: 'length',
    args: ({ handle }) => [handle, 0, value],
    error: RANGE,
  })),
  ...each([[2, '2']], value => ({
    verb: 'readAt',
    name: 'length',
    args: ({ handle }) => [handle, 15, value],
    error: RANGE,
  })),
  ...each([[17, '17']], value => ({
    verb: 'readAt',
    name: 'offset',
    args: ({ handle }) => [handle, value, 0],
    error: RANGE,
  })),
]

const ranges: Wrong[] = (['readAtMany', 'prefetch'] as const).flatMap(verb => {
  const many = (values: readonly Shown[], error: Wrong['error'], name: string, of: (value: unknown) => unknown) =>
    each(values, value => ({ verb, name, args: ({ handle }) => [handle, of(value)], error }))
  const overlapping = (what: string, ranges: unknown, ...says: string[]): Wrong => ({
    verb,
    what,
    args: ({ handle }) => [handle, ranges],
    error: OVERLAP,
    says,
  })
  const pairs: readonly Shown[] = [
    ...notNumbers.filter(([value]) => !Array.isArray(value)),
    [5, '5'],
    [[], 'Array'],
    [[1], 'Array'],
    [[1, 2, 3], 'Array'],
  ]
  const list = verb === 'prefetch' ? primitives.slice(1) : primitives
  return [
    ...many(
      [...list, ...objects.filter(([value]) => !Array.isArray(value)), [5, '5'], [new Float64Array(2), 'Float64Array']],
      TYPE,
      'ranges',
      value => value,
    ),
    ...many(pairs, TYPE, 'ranges[1]', value => [[0, 1], value]),
    ...many(notNumbers, TYPE, 'ranges[1][0]', value => [
      [0, 1],
      [value, 1],
    ]),
    ...many(notNumbers, TYPE, 'ranges[0][1]', value => [[0, value]]),
    ...many(outOfRange(16), RANGE, 'ranges[0][0]', value => [[value, 0]]),
    ...many(outOfRange(16), RANGE, 'ranges[1][1]', value => [
      [0, 1],
      [0, value],
    ]),
    ...many([[3, '3']], RANGE, 'ranges[2][1]', value => [
      [0, 1],
      [1, 1],
      [14, value],
    ]),
    overlapping(
      'one range is there twice',
      [
        [3, 2],
        [3, 2],
      ],
      '[3, 2]',
    ),
    overlapping(
      'ranges share their last element',
      [
        [0, 3],
        [2, 1],
      ],
      '[0, 3]',
      '[2, 1]',
    ),
    overlapping(
      'ranges overlap, last one first',
      [
        [8, 4],
        [0, 1],
        [5, 4],
      ],
      '[5, 4]',
      '[8, 4]',
    ),
    overlapping(
      'a range lies within another',
      [
        [0, 16],
        [4, 1],
      ],
      '[0, 16]',
      '[4, 1]',
    ),
    overlapping(
      'ranges overlap around an empty one',
      [
        [0, 4],
        [2, 0],
        [3, 1],
      ],
      '[0, 4]',
      '[3, 1]',
    ),
  ]
})

const targets: Wrong[] = (['readAt', 'readAtMany', 'read', 'take'] as const).flatMap(verb => {
  const args = (handle: unknown, target: unknown) =>
    ({
      readAt: [handle, 0, 16, target],
      readAtMany: [handle, [[0, 16]], target],
      read: [handle, target],
      take: [handle, target],
    })[verb]
  const values: Shown[] = [...notChunks.filter(([value]) => value !== undefined), [[new Float64Array(16)], 'Array']]
  // An object that is no memory holds options.
  const isBag = (value: unknown) => value instanceof Map || value instanceof Blob || isPlain(value)
  const others: Shown[] = [new Float32Array(64), Buffer.alloc(512), new ArrayBuffer(512), new BigInt64Array(64)].map(
    value => [value, value.constructor.name],
  )
  return [
    ...each([...values.filter(([value]) => !isBag(value)), ...others], value => ({
      verb,
      name: 'target',
      args: ({ handle }) => args(handle, value),
      error: TYPE,
    })),
    ...each([...values, ...others], value => ({
      verb,
      name: 'target',
      args: ({ handle }) => args(handle, { target: value }),
      error: TYPE,
    })),
    ...each([...primitives.slice(1), [{ aborted: false }, 'Object']], value => ({
      verb,
      name: 'options.signal',
      args: ({ handle }) => args(handle, { signal: value }),
      error: TYPE,
    })),
    ...[(target: unknown) => target, (target: unknown) => ({ target })].flatMap(given => [
      {
        verb,
        what: 'the target is too small',
        args: ({ handle }: Situation) => args(handle, given(new Float64Array(15))),
        error: RANGE,
        says: ['target', '15', '16'],
      },
      {
        verb,
        what: 'the target is detached',
        args: ({ handle, detached }: Situation) => args(handle, given(detached)),
        error: VALUE,
        says: ['target', 'detached'],
      },
    ]),
  ] as Wrong[]
})

function isPlain(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && Reflect.get(value, 'constructor') === Object && !types.isProxy(value)
  )
}

test('the module serves handles of any pager, closed ones excepted', t => {
  const [pager, closed] = [newPager(t), newPager(t)]
  const handle = pager.pageout(Float64Array.of(1, 2))
  t.deepEqual(pageoutModule.readAt(handle, 1, 1), Float64Array.of(2))
  t.deepEqual(
    pageoutModule.readAtMany(handle, [
      [1, 1],
      [0, 1],
    ]),
    Float64Array.of(2, 1),
  )
  t.deepEqual(pageoutModule.read(handle), Float64Array.of(1, 2))
  t.is(pageoutModule.prefetch(handle), undefined)
  t.is(pager.stats().reads, 3, 'they count where the payload is')
  t.deepEqual(pageoutModule.take(handle), Float64Array.of(1, 2))
  t.deepEqual([pager.stats().takes, pager.stats().handles, handle.released], [1, 0, true])
  const left = closed.pageout(Float64Array.of(1))
  closed.close()
  for (const verb of ofHandles) {
    const call = () => (pageoutModule as unknown as Surface)[verb](left, ...behindHandle[verb])
    t.throws(call, CLOSED, verb)
  }
})

test('no chunks are an empty payload of bytes, and Buffer and Uint8Array are one class', t => {
  const pager = newPager(t)
  for (const empty of [pager.pageout([]), pager.pageoutWith('swap', []), pager.pageout([], { detach: 'required' })]) {
    t.deepEqual([empty.length, empty.byteLength, empty.type], [0, 0, 'Uint8Array'])
    const back: unknown = pager.take(empty)
    t.deepEqual(back, new Uint8Array(0))
  }
  t.is(pager.stats().usedBytes, 0)
  const bytes = () => [Uint8Array.of(1, 2), Buffer.from([3]), new Uint8Array(0), Buffer.from([4])]
  for (const backend of ['file', 'swap'] as const) {
    const [first, last] = [pager.pageoutWith(backend, bytes()), pager.pageoutWith(backend, bytes().reverse())]
    t.deepEqual([first.type, last.type], ['Uint8Array', 'Buffer'], 'the first chunk decides')
    const [array, buffer] = [pager.take(first), pager.take(last)]
    t.is(Object.getPrototypeOf(array), Uint8Array.prototype)
    t.true(Buffer.isBuffer(buffer))
    t.deepEqual(
      [[...array], [...buffer]],
      [
        [1, 2, 3, 4],
        [4, 3, 1, 2],
      ],
    )
  }
})

for (const [name, wrongs] of Object.entries({ chunks, backends, handles, strangers, offsets, ranges, targets })) {
  test.serial(`wrong ${name} of a pager throw what Node throws, and nothing happens`, t => {
    const [pager, another] = [newPager(t), newPager(t)]
    t.deepEqual(
      wrongs.flatMap(wrong => problems(wrong, pager as unknown as Surface, another)),
      [],
    )
  })

  if (name === 'strangers') continue
  test.serial(`wrong ${name} of the module throw what Node throws, and nothing happens`, t => {
    const another = newPager(t)
    t.deepEqual(
      wrongs.flatMap(wrong => problems(wrong, pageoutModule as unknown as Surface, another)),
      [],
    )
  })
}

/** Makes the wrong call in both forms, and lists what is not as it should be. */
function problems({ verb, what, args, error, says }: Wrong, surface: Surface, another: Pager): string[] {
  const sixteen = () => Float64Array.from({ length: 16 }, (_, position) => position)
  const four = () => Float64Array.of(1, 2, 3, 4)
  const situation: Situation = {
    handle: surface.pageout(sixteen()) as Handle<Float64Array>,
    used: surface.pageout(sixteen()) as Handle<Float64Array>,
    ofAnotherPager: another.pageout(sixteen()),
    chunk: four(),
    detached: four(),
  }
  situation.used[Symbol.dispose]()
  structuredClone(situation.detached.buffer, { transfer: [situation.detached.buffer as ArrayBuffer] })
  const given = args(situation)
  const before = countsOf(surface)
  const form = `try${verb.charAt(0).toUpperCase()}${verb.slice(1)}` as Verb
  const found = [verb, form]
    .filter(name => name in surface)
    .flatMap(name => complaint(() => surface[name](...given), error, says))
  if (!isDeepStrictEqual(countsOf(surface), before)) found.push('something is counted')
  if (!isDeepStrictEqual(situation.chunk, four())) found.push('the chunk is not as it was')
  if (situation.handle.released || !isDeepStrictEqual(surface.take(situation.handle), sixteen()))
    found.push('the payload is gone')
  another.take(situation.ofAnotherPager)
  return found.map(problem => `${verb}, ${what}: ${problem}`)
}

function complaint(call: () => unknown, { instanceOf, code }: Wrong['error'], says: readonly string[]): string[] {
  try {
    return [`returned ${inspect(call())}`]
  } catch (thrown) {
    if (!(thrown instanceof instanceOf)) return [`threw ${inspect(thrown)}`]
    const { message, code: actual } = thrown as Error & { code?: string }
    if (actual !== code) return [`threw ${actual}: ${message}`]
    return says.filter(part => !message.includes(part)).map(part => `says nothing of ${part}: ${message}`)
  }
}

function detachedDataView(): DataView {
  const view = new DataView(new ArrayBuffer(8))
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] })
  return view
}

/** A view of 32 or 64 bytes of which the buffer keeps 8. */
function beyond<View>(view: (buffer: ArrayBuffer) => View): View {
  const buffer = new ArrayBuffer(64, { maxByteLength: 64 })
  const whole = view(buffer)
  buffer.resize(8)
  return whole
}

test('every verb of a closed pager throws ERR_PAGEOUT_CLOSED', t => {
  const pager = newPager(t)
  const [handle, chunk] = [pager.pageout(Uint8Array.of(1)), Uint8Array.of(2)]
  pager.close()
  const calls: Record<string, () => unknown> = {
    pageout: () => pager.pageout(chunk),
    tryPageout: () => pager.tryPageout(chunk),
    pageoutWith: () => pager.pageoutWith('swap', chunk),
    tryPageoutWith: () => pager.tryPageoutWith('file', chunk),
    'pageout of nothing': () => pager.pageout(new Uint8Array(0)),
    pageoutFrom: () => pager.pageoutFrom([chunk]),
    tryPageoutFrom: () => pager.tryPageoutFrom([chunk]),
    toReadableStream: () => pager.toReadableStream(handle),
    readAt: () => pager.readAt(handle, 0, 1),
    tryReadAt: () => pager.tryReadAt(handle, 0, 1),
    readAtMany: () => pager.readAtMany(handle, [[0, 1]]),
    tryReadAtMany: () => pager.tryReadAtMany(handle, []),
    read: () => pager.read(handle),
    tryRead: () => pager.tryRead(handle),
    take: () => pager.take(handle),
    tryTake: () => pager.tryTake(handle),
    borrow: () => pager.borrow(handle),
    tryBorrow: () => pager.tryBorrow(handle),
    prefetch: () => pager.prefetch(handle),
    backend: () => pager.backend(),
    setBackend: () => pager.setBackend('swap'),
    stats: () => pager.stats(),
    trim: () => pager.trim(),
  }
  for (const [name, call] of Object.entries(calls)) t.throws(call, CLOSED, name)
  const prototypes = [Pager.prototype, Object.getPrototypeOf(Pager.prototype) as object]
  const verbs = prototypes
    .flatMap(prototype => Object.getOwnPropertyNames(prototype))
    .filter(name => name !== 'constructor' && name !== 'close')
  t.true(['pageout', 'trim'].every(name => verbs.includes(name)))
  t.deepEqual(
    verbs.filter(name => !(name in calls)),
    [],
    'no verb is forgotten here',
  )
  sameBytes(t, chunk, Uint8Array.of(2))
})

test('wrong options of a pager are refused before anything is opened', t => {
  const found: string[] = []
  const wrong = (name: string, error: Wrong['error'], values: readonly Shown[]) => {
    for (const [value, shown] of values) {
      const open = () => new Pager({ [name]: value } as never)
      const some = complaint(open, error, [`options.${name}`, 'Received', shown])
      found.push(...some.map(problem => `${name}, ${shown}: ${problem}`))
    }
  }
  const given = primitives.slice(1)
  wrong('scratchDir', TYPE, [
    ...given.filter(([value]) => typeof value !== 'string'),
    ...objects,
    [5, '5'],
    [Buffer.from('/tmp'), 'Buffer'],
  ])
  wrong('scratchDir', VALUE, [
    ['', "''"],
    ['a\0b', 'a\\u0000b'],
  ])
  wrong('backend', VALUE, [...given, [0, '0'], ['memory', 'memory'], [{}, 'Object']])
  wrong('capacityBytes', TYPE, [...given, ...objects])
  wrong('capacityBytes', RANGE, [...outOfRange(Number.MAX_SAFE_INTEGER), [0, '0']])
  wrong('allowRamBacked', TYPE, [...given.filter(([value]) => value !== true), ...objects, [0, '0'], [1, '1']])
  wrong('integrity', VALUE, [...given, [0, '0'], ['Checksum', 'Checksum'], [{}, 'Object']])
  wrong('encryption', TYPE, [...given.filter(([value]) => value !== true), ...objects, [0, '0'], ['aes', 'aes']])
  wrong('compression', VALUE, [...given, [0, '0'], ['LZ4', 'LZ4'], ['zstd', 'zstd'], [{}, 'Object']])
  wrong('spareBytes', TYPE, [...given, ...objects])
  wrong('spareBytes', RANGE, outOfRange(Number.MAX_SAFE_INTEGER))
  t.deepEqual(found, [])
  for (const [value, shown] of notObjects) {
    t.throws(() => new Pager(value as never), { ...TYPE, message: /"options".*Received/ }, shown)
  }
  t.throws(() => (Pager as unknown as () => unknown)(), { instanceOf: TypeError }, 'without new')
})

test('a wrong option beside a good scratch directory does not create it', async t => {
  const { existsSync } = await import('node:fs')
  const scratchDir = `${newDirectory(t)}/new`
  t.throws(() => new Pager({ scratchDir, capacityBytes: -1 }), RANGE)
  t.throws(() => new Pager({ scratchDir, spareBytes: -1 }), RANGE)
  t.throws(() => new Pager({ scratchDir, integrity: 'no' as never }), VALUE)
  t.throws(() => new Pager({ scratchDir, encryption: 1 as never }), TYPE)
  t.throws(() => new Pager({ scratchDir, compression: true as never }), VALUE)
  t.false(existsSync(scratchDir))
})

test('options that are undefined are as good as absent', t => {
  const names = ['backend', 'capacityBytes', 'integrity', 'encryption', 'compression', 'spareBytes']
  const options = Object.fromEntries(names.map(name => [name, undefined]))
  const pager = newPager(t, options)
  const handle = pager.pageout(Uint8Array.of(1), { backend: undefined, detach: undefined } as never)
  t.is(handle.backend, 'file')
  t.deepEqual([...pager.readAt(handle, 0, 1, undefined)], [1])
  pager.prefetch(handle, undefined)
})

test('a wrong scratch directory of the process is refused', t => {
  for (const [value, shown] of [
    ...primitives.filter(([value]) => typeof value !== 'string'),
    ...objects,
    [5, '5'],
  ] as Shown[]) {
    t.throws(() => pageoutModule.setScratchDir(value as never), { ...TYPE, message: /"dir".*Received/ }, shown)
  }
  t.throws(() => pageoutModule.setScratchDir(''), { ...VALUE, message: /"dir".*Received/ })
  t.throws(() => pageoutModule.setScratchDir('/tmp/a\0b'), { ...VALUE, message: /"dir".*Received/ })
})

test('errors are of the classes they say', t => {
  const pager = newPager(t)
  const handle = pager.pageout(Uint8Array.of(1))
  pager.take(handle)
  const error = t.throws(() => pager.take(handle)) as PageoutError
  t.is(error.name, 'PageoutError')
  t.true(error instanceof Error)
  t.is(String(error), `PageoutError: ${error.message}`)
  t.true(error.stack?.includes('07-codes.spec'), 'the stack leads to the caller')
  t.deepEqual(Object.keys(error), ['code'])
})
