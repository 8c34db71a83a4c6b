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
 * @param {Uint8Array} bytes
 * @param {number} number
 */
export function stamp(bytes, number) {
  new DataView(bytes.buffer, bytes.byteOffset).setFloat64(0, number)
}

/**
 * @param {Uint8Array} bytes
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
