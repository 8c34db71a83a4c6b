// Measuring in turns: within each round every candidate is measured once, and another one begins, so that a machine that
// changes its pace changes it for all of them.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** @typedef {import('./types.js').Cell} Cell */
/** @typedef {import('./types.js').Row} Row */
/** @typedef {import('./types.js').Unit} Unit */

const PERCENTILES = [50, 90, 99, 99.9, 100]

setFlagsFromString('--expose-gc')
const gc = /** @type {(options: { type: 'minor' | 'major' }) => void} */ (runInNewContext('gc'))

/**
 * What every candidate measured, by its name, one result for each round.
 *
 * @template {{ name: string }} C
 * @template T
 * @param {readonly C[]} candidates
 * @param {number} rounds
 * @param {(candidate: C, round: number) => T | Promise<T>} measure
 * @param {number} [warmUpRounds] rounds before that, measured and forgotten
 * @returns {Promise<Map<string, T[]>>}
 */
export async function inTurns(candidates, rounds, measure, warmUpRounds = 1) {
  const results = new Map(candidates.map(({ name }) => [name, /** @type {T[]} */ ([])]))
  for (let round = -warmUpRounds; round < rounds; round++) {
    for (const candidate of orderOf(candidates, round + warmUpRounds)) {
      collectYoungGarbage()
      const result = await measure(candidate, round)
      if (round >= 0) results.get(candidate.name)?.push(result)
    }
  }
  return results
}

/**
 * The candidates from another one on in each round, and in every second one backwards, so that none always follows the same.
 *
 * @template C
 * @param {readonly C[]} candidates
 * @param {number} round
 */
function orderOf(candidates, round) {
  const first = round % candidates.length
  const order = [...candidates.slice(first), ...candidates.slice(0, first)]
  return round % 2 === 0 ? order : order.reverse()
}

/**
 * One row of a table: a number of each result.
 *
 * @template T
 * @param {string} name
 * @param {Map<string, T[]>} results
 * @param {(result: T) => number} number
 * @param {Partial<Unit>} [unit]
 * @returns {Row}
 */
export function row(name, results, number, unit = {}) {
  return { name, ...unit, cells: [...results].map(([candidate, list]) => cell(candidate, list.map(number))) }
}

/**
 * The row with some of its candidates.
 *
 * @param {Row} row
 * @param {readonly string[]} names
 * @returns {Row}
 */
export function only(row, names) {
  return { ...row, cells: row.cells.filter(({ candidate }) => names.includes(candidate)) }
}

/**
 * The row without some of its candidates.
 *
 * @param {Row} row
 * @param {readonly string[]} names
 * @returns {Row}
 */
export function without(row, names) {
  return { ...row, cells: row.cells.filter(({ candidate }) => !names.includes(candidate)) }
}

/**
 * One row of curves: the single times of all rounds together.
 *
 * @template T
 * @param {string} name
 * @param {Map<string, T[]>} results
 * @param {(result: T) => readonly number[]} times
 * @returns {Row}
 */
export function curveRow(name, results, times) {
  const curve = (/** @type {[string, T[]]} */ [candidate, list]) => {
    const all = list.flatMap(times)
    const points = percentiles(all, PERCENTILES).map((value, at) => [PERCENTILES[at], rounded(value)])
    return { ...cell(candidate, all), points: /** @type {[number, number][]} */ (points) }
  }
  return { name, cells: [...results].map(curve) }
}

/**
 * @param {string} candidate
 * @param {readonly number[]} numbers
 * @returns {Cell}
 */
function cell(candidate, numbers) {
  const [min = NaN, median = NaN, max = NaN] = percentiles(numbers, [0, 50, 100]).map(rounded)
  return { candidate, min, median, max }
}

/**
 * The smallest numbers that so many percent of all are not above.
 *
 * @param {readonly number[]} numbers
 * @param {readonly number[]} percents
 */
export function percentiles(numbers, percents) {
  const ascending = Float64Array.from(numbers).sort()
  return percents.map(percent => ascending[Math.max(0, Math.ceil((percent / 100) * ascending.length) - 1)] ?? NaN)
}

/** @param {readonly number[]} numbers */
export function median(numbers) {
  return percentiles(numbers, [50])[0] ?? NaN
}

/** What is more precise than that is noise. */
const rounded = (/** @type {number} */ number) => Number(number.toPrecision(4))

/**
 * What one candidate leaves behind should not be collected in the time of the next. A full collection would do more than
 * that: it shrinks the space of young objects, and the next candidate pays for its growing again.
 */
function collectYoungGarbage() {
  gc({ type: 'minor' })
}

/** Collects all garbage, for measurements that warm up after it. */
export function collectGarbage() {
  gc({ type: 'major' })
}
