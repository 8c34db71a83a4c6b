/**
 * Numbers that are the same in each run (mulberry32): both jobs must ask the same questions.
 * @param {number} seed
 * @returns {(limit: number) => number} a whole number below `limit`
 */
export function seededRandom(seed) {
  return limit => {
    seed = (seed + 0x6d2b79f5) | 0
    let bits = Math.imul(seed ^ (seed >>> 15), seed | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
}
