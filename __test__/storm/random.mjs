/** Random choices that a seed repeats. */

export class Random {
  #state = 0

  /** @param {number[]} keys whole numbers; the same keys give the same choices */
  constructor(...keys) {
    for (const key of keys) this.#state = this.below(2 ** 32) ^ key
  }

  /** A whole number from 0 to `end` - 1 (mulberry32). */
  below(end) {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end)
  }

  oneIn(count) {
    return this.below(count) === 0
  }

  pick(items) {
    return items[this.below(items.length)]
  }

  /** One of the items, which have a `weight`. */
  weighted(items) {
    let place = this.below(items.reduce((sum, { weight }) => sum + weight, 0))
    return items.find(({ weight }) => {
      place -= weight
      return place < 0
    })
  }
}
