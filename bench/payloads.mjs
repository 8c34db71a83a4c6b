// The bytes that are moved.
import { randomFillSync } from 'node:crypto'

export const KIB = 2 ** 10
export const MIB = 2 ** 20
export const GIB = 2 ** 30

/**
 * Bytes that no file system can compress.
 *
 * @param {number} byteLength
 */
export function randomBytes(byteLength) {
  return randomFillSync(new Uint8Array(byteLength))
}

/**
 * @param {Uint8Array} bytes
 * @param {Uint8Array} expected
 * @param {string} candidate
 */
export function check(bytes, expected, candidate) {
  if (Buffer.compare(bytes, expected) !== 0) throw new Error(`${candidate}: other bytes came back`)
}

/**
 * Writes a number into the first bytes, which tells a payload from all others.
 *
 * @param {ArrayBufferView} bytes
 * @param {number} number
 */
export function stamp(bytes, number) {
  new DataView(bytes.buffer, bytes.byteOffset).setFloat64(0, number)
}

/**
 * @param {ArrayBufferView} bytes
 * @param {number} number
 * @param {string} candidate
 */
export function checkStamp(bytes, number, candidate) {
  const found = new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0)
  if (found !== number) throw new Error(`${candidate}: payload ${found} came back for payload ${number}`)
}

/** @param {number} byteLength */
export function sizeName(byteLength) {
  return byteLength < MIB ? `${byteLength / KIB} KiB` : `${byteLength / MIB} MiB`
}

/**
 * Random whole numbers, the same in every run (mulberry32).
 *
 * @param {number} seed
 * @returns {(below: number) => number}
 */
export function randomNumbers(seed) {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/**
 * Random whole numbers below `count` of which few are drawn often: that of rank n with a weight of 1 / n^exponent. Which rank a
 * number has is random; all of it is the same in every run.
 *
 * @param {number} count
 * @param {number} exponent
 * @returns {() => number}
 */
export function popularNumbers(count, exponent) {
  const random = randomNumbers(0)
  const numbers = Uint32Array.from({ length: count }, (_, number) => number)
  for (let last = count - 1; last > 0; last--) {
    const other = random(last + 1)
    const number = /** @type {number} */ (numbers[last])
    numbers[last] = /** @type {number} */ (numbers[other])
    numbers[other] = number
  }
  let sum = 0
  const sums = Float64Array.from({ length: count }, (_, rank) => {
    sum += (rank + 1) ** -exponent
    return sum
  })
  return () => numbers[firstAbove(sums, (random(STEPS) / STEPS) * sum)] ?? NaN
}

/** Of how many steps a random share is. */
const STEPS = 2 ** 30

/**
 * The first position of ascending numbers that is above another number.
 *
 * @param {Float64Array} ascending
 * @param {number} number
 */
function firstAbove(ascending, number) {
  let [low, high] = [0, ascending.length - 1]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (/** @type {number} */ (ascending[middle]) > number) high = middle
    else low = middle + 1
  }
  return low
}
