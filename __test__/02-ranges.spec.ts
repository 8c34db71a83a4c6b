import test from 'ava'
import type { Backend, Pager, Range } from 'pageout'
import {
  backends,
  chunkOf,
  classOf,
  type Kind,
  kinds,
  MIB,
  pattern,
  pieces,
  rangesOf,
  sameBytes,
} from './helpers/chunks.js'
import { newPager } from './helpers/places.js'
import { type Random, randomFor } from './helpers/random.js'
import { prose, readings, sealings } from './helpers/sealing.js'

/** A class for each size of elements. */
const sizes = ['Uint8Array', 'Int16Array', 'Float32Array', 'Float64Array'].map(
  name => kinds.find(kind => kind.name === name) as Kind,
)

for (const backend of backends) {
  for (const kind of sizes) {
    test(`reads of ${kind.name} in the ${backend} backend agree with subarrays`, t => {
      const random = randomFor(t)
      const pager = newPager(t)
      for (let round = 0; round < 8; round += 1) agree(t, pager, { backend, kind, random })
    })
  }

  test(`reads without checksums agree with subarrays in the ${backend} backend`, t => {
    const random = randomFor(t)
    const pager = newPager(t, { integrity: 'none' })
    for (const kind of sizes) agree(t, pager, { backend, kind, random })
  })

  if (backend === 'file') {
    for (const [name, options] of Object.entries(sealings)) {
      test(`reads of what is ${name} agree with subarrays`, t => {
        const random = randomFor(t)
        const pager = newPager(t, options)
        for (const make of [pattern, readings, prose]) {
          for (const kind of sizes) agree(t, pager, { backend, kind, random, make })
        }
      })
    }
  }

  test(`ranges of the ${backend} backend may touch, come in any order and be empty`, t => {
    const pager = newPager(t)
    const handle = pager.pageout(
      Uint16Array.from({ length: 10 }, (_, position) => position),
      { backend },
    )
    const read = (...ranges: Range[]) => [...pager.readAtMany(handle, ranges)]
    t.deepEqual(read([0, 3], [3, 3], [6, 4]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    t.deepEqual(read([6, 4], [0, 3], [3, 3]), [6, 7, 8, 9, 0, 1, 2, 3, 4, 5])
    t.deepEqual(read([9, 1], [8, 1], [7, 1]), [9, 8, 7])
    t.deepEqual(read(), [])
    t.deepEqual(read([0, 0], [10, 0], [5, 0], [5, 0]), [], 'empty ranges at the start, the end and inside, and twice')
    t.deepEqual(read([4, 0], [2, 5], [3, 0]), [2, 3, 4, 5, 6], 'an empty range inside another never overlaps')
    t.deepEqual(read([0, 10]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    t.deepEqual([...pager.readAt(handle, 10, 0)], [])
    t.deepEqual([...pager.readAt(handle, 0, 0)], [])
    t.deepEqual([...pager.readAt(handle, 9, 1)], [9])
    t.deepEqual([...pager.take(handle)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 'reads leave the payload whole')
  })

  test(`thousands of single elements come back in request order from the ${backend} backend`, t => {
    const random = randomFor(t)
    const pager = newPager(t)
    const values = Float64Array.from({ length: 200_000 }, (_, position) => position / 3)
    const handle = pager.pageout(values.slice(), { backend })
    const offsets = random.shuffled(Array.from({ length: 20_000 }, (_, position) => position * 10))
    const result = pager.readAtMany(
      handle,
      offsets.map(offset => [offset, 1]),
    )
    t.deepEqual(
      result,
      Float64Array.from(offsets, offset => values[offset] ?? Number.NaN),
    )
  })

  test(`ranges across the end of the largest slot come back from the ${backend} backend`, t => {
    const random = randomFor(t)
    const pager = newPager(t)
    const bytes = pattern(66 * MIB)
    const handle = pager.pageout(bytes.slice(), { backend })
    const edge = 64 * MIB
    for (const [offset, length] of [
      [edge - 1, 2],
      [edge, 1],
      [edge - 1, 1],
      [edge - 5000, 10_000],
      [edge - MIB, 3 * MIB],
    ] as const) {
      sameBytes(t, pager.readAt(handle, offset, length), bytes.subarray(offset, offset + length))
    }
    const ranges = disjoint(random, 20_000).map(([offset, length]): Range => [edge - 10_000 + offset, length])
    sameBytes(t, pager.readAtMany(handle, ranges), rangesOf(bytes, 1, ranges))
  })
}

test('ranges are refused exactly when an element is asked for twice, and the error names two that share one', t => {
  const random = randomFor(t)
  const pager = newPager(t)
  const length = 60
  const handle = pager.pageout(pattern(length))
  const outcomes = new Set<boolean>()
  for (let round = 0; round < 3000; round += 1) {
    const ranges = Array.from({ length: 2 + random.below(7) }, (): Range => {
      const offset = random.below(length)
      return [offset, random.below(Math.min(12, length - offset + 1))]
    })
    const asked = ranges.flatMap(([offset, count]) => Array.from({ length: count }, (_, at) => offset + at))
    const isTwice = new Set(asked).size < asked.length
    outcomes.add(isTwice)
    const read = () => pager.readAtMany(handle, ranges)
    if (!isTwice) {
      t.deepEqual(read(), rangesOf(pattern(length), 1, ranges), JSON.stringify(ranges))
      continue
    }
    const error = t.throws(read, { instanceOf: RangeError, code: 'ERR_PAGEOUT_OVERLAP' }, JSON.stringify(ranges))
    const [first = 0, firstLength = 0, second = 0, secondLength = 0] = (error?.message.match(/\d+/g) ?? []).map(Number)
    const named = [JSON.stringify([first, firstLength]), JSON.stringify([second, secondLength])]
    const isAmong = (range: string | undefined) => ranges.some(other => JSON.stringify(other) === range)
    t.true(named.every(isAmong), `${error?.message} of ${JSON.stringify(ranges)}`)
    t.true(first <= second && second < first + firstLength && secondLength > 0, error?.message)
  }
  t.is(outcomes.size, 2)
})

interface Setting {
  readonly backend: Backend
  readonly kind: Kind
  readonly random: Random
  /** What the payload is made of. */
  readonly make?: (byteLength: number, seed: number) => Uint8Array
}

/** Reads a random payload in random ways, and compares with the bytes it was made of. */
function agree(
  t: Parameters<typeof sameBytes>[0],
  pager: Pager,
  { backend, kind, random, make = pattern }: Setting,
): void {
  const { elementBytes } = kind
  const length = 1 + random.below(40_000)
  const bytes = make(length * elementBytes, random.below(2 ** 32))
  const cuts = [random.below(length), random.below(length)].sort((a, b) => a - b)
  const [first = 0, second = 0] = cuts
  const parts = pieces(bytes, [first * elementBytes, (second - first) * elementBytes])
  const handle = pager.pageout(
    parts.map(part => chunkOf(kind, part)),
    { backend },
  )
  for (let step = 0; step < 30; step += 1) {
    const offset = random.below(length + 1)
    const range: Range = [offset, random.below(length - offset + 1)]
    const single = pager.readAt(handle, ...range)
    t.is(classOf(single), kind.name)
    sameBytes(t, single, rangesOf(bytes, elementBytes, [range]), `[${range}] of ${length}`)
    const ranges = disjoint(random, length)
    sameBytes(t, pager.readAtMany(handle, ranges), rangesOf(bytes, elementBytes, ranges), JSON.stringify(ranges))
  }
  sameBytes(t, pager.take(handle), bytes)
}

/** Ranges within `length` elements that share none; some touch, some are empty, in any order. */
function disjoint(random: Random, length: number): Range[] {
  const cuts = Array.from({ length: 2 + random.below(60) }, () => random.below(length + 1)).sort((a, b) => a - b)
  const between = cuts.slice(1).map((end, position): Range => {
    const start = cuts[position] ?? 0
    return [start, end - start]
  })
  return random.shuffled(between.filter(() => random.below(3) > 0))
}
