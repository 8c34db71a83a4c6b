/** Random numbers that a printed seed repeats. */

import type { ExecutionContext } from 'ava'

/** Whole numbers from a seed (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number from 0 to `end` - 1. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end)
  }

  /** The same items in another order. */
  shuffled<T>(items: readonly T[]): T[] {
    const keyed = items.map(item => ({ item, key: this.below(2 ** 32) }))
    return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
  }
}

/** Random numbers for one test. `PAGEOUT_TEST_SEED` repeats a run. */
export function randomFor(t: ExecutionContext): Random {
  const seed = Number(process.env.PAGEOUT_TEST_SEED ?? Math.floor(Math.random() * 2 ** 32))
  t.log(`PAGEOUT_TEST_SEED=${seed}`)
  return new Random(seed)
}
