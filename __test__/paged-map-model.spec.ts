/** Random calls of maps of both forms beside a plain Map, which has to say the same; afterwards nothing is left. */

import test, { type ExecutionContext } from 'ava'
import type { Borrow, Chunk, PageoutError } from 'pageout'
import { lengthOf, pattern, sameBytes } from './helpers/chunks.js'
import { type AnyMap, forms, newPromiseMap, untilEmpty } from './helpers/maps.js'
import { type Random, randomFor } from './helpers/random.js'
import { prose, readings, sealings } from './helpers/sealing.js'

/** What does not shrink by compression, and what does. */
const contents = [pattern, readings, prose] as const
const contentOf = (length: number, seed: number) => (contents[seed % 3] as typeof pattern)(length, seed)

const BUDGET = 256 * 1024
const LENGTHS = [0, 1, 1000, 4096, 30_000, 70_000, 120_000]
const KEYS = 6

/** What a value has to be: bytes of a pattern. */
interface Value {
  readonly seed: number
  readonly length: number
}

/** Calls of keys that nobody else uses, one after the other. */
class Actor {
  readonly #t: ExecutionContext
  readonly #map: AnyMap
  readonly #random: Random
  readonly #name: number
  readonly #twin = new Map<string, Value>()
  /** Borrows that are held, of values that may be in the map no more. */
  readonly #held: { borrow: Borrow; key: string; value: Value }[] = []

  constructor(t: ExecutionContext, map: AnyMap, random: Random, name: number) {
    this.#t = t
    this.#map = map
    this.#random = random
    this.#name = name
  }

  get size(): number {
    return this.#twin.size
  }

  get byteLength(): number {
    return [...this.#twin.values()].reduce((sum, { length }) => sum + length, 0)
  }

  async step(): Promise<void> {
    const steps = [
      () => this.#set(),
      () => this.#set(),
      () => this.#read(),
      () => this.#readRanges(),
      () => this.#look(),
      () => this.#look(),
      () => this.#lookAtAll(),
      () => this.#hold(),
      () => this.#hold(),
      () => this.#release(),
      () => this.#release(),
      () => this.#take(),
      () => this.#update(),
      () => this.#update(),
      () => this.#delete(),
      () => this.#prefetch(),
    ]
    await steps[this.#random.below(steps.length)]?.()
  }

  /** Ends all borrows. */
  end(): void {
    while (this.#held.length > 0) this.#release()
  }

  #key(): string {
    return `${this.#name}/${this.#random.below(KEYS)}`
  }

  #value(): Value {
    return { seed: this.#random.below(2 ** 16), length: LENGTHS[this.#random.below(LENGTHS.length)] as number }
  }

  #same(actual: Chunk | undefined, expected: Value | undefined, where: string): void {
    if (expected && actual) sameBytes(this.#t, actual, contentOf(expected.length, expected.seed), where)
    else this.#t.is(actual, undefined, where)
    if (expected && !actual) this.#t.fail(`${where}: it is not there`)
  }

  #isHeld(key: string): boolean {
    const value = this.#twin.get(key)
    return this.#held.some(held => held.key === key && held.value === value)
  }

  /** The result of a call, or nothing where all of the budget is borrowed. */
  async #unlessFull<T>(call: () => T | Promise<T>): Promise<T | 'full'> {
    try {
      return await call()
    } catch (error) {
      if ((error as PageoutError).code !== 'ERR_PAGEOUT_BUDGET') throw error
      return 'full'
    }
  }

  async #set(): Promise<void> {
    const [key, value] = [this.#key(), this.#value()]
    await this.#map.set(key, contentOf(value.length, value.seed))
    this.#twin.set(key, value)
  }

  async #read(): Promise<void> {
    const key = this.#key()
    this.#same(await this.#map.read(key), this.#twin.get(key), 'read')
  }

  async #readRanges(): Promise<void> {
    const key = this.#key()
    const value = this.#twin.get(key)
    if (!value) return
    const cut = this.#random.below(value.length + 1)
    const both = await this.#map.readAtMany(key, [
      [cut, value.length - cut],
      [0, cut],
    ])
    const whole = contentOf(value.length, value.seed)
    sameBytes(this.#t, both as Chunk, Buffer.concat([whole.subarray(cut), whole.subarray(0, cut)]), 'readAtMany')
    const start = await this.#map.readAt(key, 0, cut)
    sameBytes(this.#t, start as Chunk, whole.slice(0, cut), 'readAt')
  }

  async #look(): Promise<void> {
    const key = this.#key()
    const expected = this.#twin.get(key)
    const isSeen = await this.#unlessFull(() =>
      this.#map.borrow(key, value => {
        this.#same(value, expected, 'borrow')
        return true
      }),
    )
    this.#t.true(isSeen === 'full' || isSeen === (expected ? true : undefined))
  }

  async #lookAtAll(): Promise<void> {
    const keys = [this.#key(), this.#key(), this.#key()]
    const expected = keys.map(key => this.#twin.get(key))
    const count = await this.#unlessFull(() =>
      this.#map.borrowAll(keys, (...values) => {
        for (const [at, value] of values.entries()) this.#same(value, expected[at], 'borrowAll')
        return values.length
      }),
    )
    this.#t.true(count === 'full' || count === (expected.includes(undefined) ? undefined : 3))
  }

  async #hold(): Promise<void> {
    const key = this.#key()
    const value = this.#twin.get(key)
    const borrow = await this.#unlessFull(() => this.#map.borrow(key))
    if (borrow === 'full') return
    this.#t.is(borrow === undefined, value === undefined)
    if (borrow && value) this.#held.push({ borrow, key, value })
  }

  #release(): void {
    const [held] = this.#held.splice(this.#random.below(this.#held.length), 1)
    if (!held) return
    const { value } = held.borrow
    this.#same(value, held.value, 'what is held')
    held.borrow.release()
    const isOthers = this.#held.some(other => other.value === held.value)
    if (!isOthers) this.#t.is(lengthOf(value), 0)
  }

  async #take(): Promise<void> {
    const key = this.#key()
    if (this.#isHeld(key)) {
      await this.#borrowed(() => this.#map.take(key))
      return
    }
    this.#same(await this.#map.take(key), this.#twin.get(key), 'take')
    this.#twin.delete(key)
  }

  async #update(): Promise<void> {
    const [key, next] = [this.#key(), this.#value()]
    const before = this.#twin.get(key)
    const how = this.#random.below(4)
    const change = (value: Chunk | undefined) => {
      this.#same(value, before, 'update')
      if (how === 0) throw new Error('work failed')
      if (how === 1) return undefined
      return how === 2 && value ? value : contentOf(next.length, next.seed)
    }
    if (this.#isHeld(key)) {
      await this.#borrowed(() => this.#map.update(key, change))
      return
    }
    if (how === 0) await this.#fails(() => this.#map.update(key, change), { message: 'work failed' })
    else await this.#map.update(key, change)
    if (how === 1) this.#twin.delete(key)
    if (how === 3 || (how === 2 && !before)) this.#twin.set(key, next)
  }

  async #borrowed(call: () => unknown): Promise<void> {
    await this.#fails(call, { code: 'ERR_PAGEOUT_BORROWED' })
  }

  async #fails(call: () => unknown, expectation: object): Promise<void> {
    await this.#t.throwsAsync(async () => await call(), expectation)
  }

  async #delete(): Promise<void> {
    const key = this.#key()
    this.#t.is(this.#map.has(key), this.#twin.has(key))
    this.#t.is(await this.#map.delete(key), this.#twin.delete(key))
  }

  #prefetch(): void {
    this.#map.prefetch(this.#key(), this.#key())
  }
}

for (const [form, open] of Object.entries(forms)) {
  for (const [name, options] of Object.entries({ checksum: {}, none: { integrity: 'none' }, ...sealings })) {
    test(`random calls do what they do to a plain Map, and leave nothing (${form}, ${name})`, async t => {
      const random = randomFor(t)
      const map = open(t, { residentBytes: BUDGET, ...options })
      const actors = Array.from({ length: form === 'promise' ? 5 : 2 }, (_, name) => new Actor(t, map, random, name))
      for (let round = 0; round < 300; round++) {
        await Promise.all(actors.map(actor => actor.step()))
        t.true(map.stats().residentBytes <= BUDGET)
        t.is(
          map.size,
          actors.reduce((sum, { size }) => sum + size, 0),
        )
        t.is(
          map.byteLength,
          actors.reduce((sum, { byteLength }) => sum + byteLength, 0),
        )
      }
      await map.clear()
      for (const actor of actors) actor.end()
      await untilEmpty(t, map)
      t.is(map.stats().changedBorrows, 0)
    })
  }
}

test('random calls of few keys that nobody waits for have the results of their order', async t => {
  const random = randomFor(t)
  const map = newPromiseMap(t, { residentBytes: BUDGET })
  const twin = new Map<number, Value>()
  const failed = new Error('work failed')
  const checks: Promise<void>[] = []
  const expect = async (call: Promise<Chunk | undefined>, value: Value | undefined) => {
    const chunk = await call
    if (value) sameBytes(t, chunk as Chunk, pattern(value.length, value.seed))
    else t.is(chunk, undefined)
  }
  for (let call = 0; call < 1500; call++) {
    const key = random.below(3)
    const before = twin.get(key)
    const value = { seed: call, length: LENGTHS[random.below(LENGTHS.length)] as number }
    const chunk = () => pattern(value.length, value.seed)
    const calls = [
      () => {
        twin.set(key, value)
        return map.set(key, chunk()).then(() => {})
      },
      () => expect(map.read(key), before),
      () => expect(map.readAt(key, 0, before?.length ?? 0), before),
      () => {
        twin.delete(key)
        return expect(map.take(key), before)
      },
      async () => {
        twin.delete(key)
        t.is(await map.delete(key), before !== undefined)
      },
      async () => {
        twin.set(key, value)
        await map.update(key, async taken => {
          await null
          t.is(taken?.length, before?.length)
          return chunk()
        })
      },
      async () => {
        const error = await map
          .update(key, async () => {
            await null
            throw failed
          })
          .catch(thrown => thrown)
        t.is(error, failed)
      },
    ]
    checks.push((calls[random.below(calls.length)] as () => Promise<void>)())
    if (random.below(20) === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await Promise.all(checks)
  t.deepEqual([...map.keys()].sort(), [...twin.keys()].sort())
  for (const [key, value] of twin) await expect(map.take(key), value)
  await untilEmpty(t, map)
})

for (const [form, open] of Object.entries(forms)) {
  test(`what goes past the limit is what goes of a plain Map in the order of use (${form})`, async t => {
    const random = randomFor(t)
    const maxBytes = 200_000
    const twin = new Map<number, number>()
    const gone: number[] = []
    const map = open(t, { residentBytes: BUDGET, maxBytes, onEvict: (key: number) => void gone.push(key) })
    const use = (key: number): number | undefined => {
      const length = twin.get(key)
      twin.delete(key)
      if (length !== undefined) twin.set(key, length)
      return length
    }
    const bytes = () => [...twin.values()].reduce((sum, length) => sum + length, 0)
    /** Borrowed all the time. */
    const held = new Map<number, Borrow>()
    for (let round = 0; round < 500; round++) {
      const key = random.below(20)
      const what = random.below(6)
      if (what <= 1) {
        const length = 1 + random.below(40_000)
        const excess = bytes() - (twin.get(key) ?? 0) + length - maxBytes
        const expected: number[] = []
        let freed = 0
        for (const [other, otherLength] of twin) {
          if (freed >= excess) break
          if (other === key || held.has(other)) continue
          expected.push(other)
          freed += otherLength
        }
        gone.length = 0
        await map.set(key, pattern(length, key))
        held.get(key)?.release()
        held.delete(key)
        twin.delete(key)
        twin.set(key, length)
        for (const other of expected) twin.delete(other)
        t.deepEqual(gone, expected)
      } else if (what === 2) {
        t.is(lengthOf((await map.read(key)) ?? new Uint8Array()), use(key) ?? 0)
      } else if (what === 3) {
        t.is(await map.borrow(key, value => lengthOf(value)), use(key))
      } else if (what === 4 && held.size < 3 && !held.has(key)) {
        const borrow = await map.borrow(key)
        if (use(key) !== undefined) held.set(key, borrow as Borrow)
      } else if (held.size > 0) {
        const [[oldest, borrow]] = held as unknown as [[number, Borrow]]
        held.delete(oldest)
        borrow.release()
      }
      t.deepEqual([map.size, map.byteLength], [twin.size, bytes()])
      t.true(map.byteLength <= maxBytes)
    }
  })
}
