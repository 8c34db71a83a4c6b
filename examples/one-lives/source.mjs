// The columns that arrive: real flights, for many tenants. A file keeps the data set decoded, so that each process reads
// from it what it needs and holds nothing of it.
import { existsSync, mkdirSync, openSync, readFileSync, readSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { COLUMN_NAMES, FLIGHTS, MAX_ROWS, ROW_BYTES } from '../flights/schema.mjs'
import { seededRandom } from '../shared/random.mjs'

/** @typedef {import('../flights/schema.mjs').Values} Values */
/** @typedef {{ start: number, rows: number }} Week */
/** @typedef {{ airports: number, weeks: Week[] }} Index */

const WEEK_MS = 7 * 24 * 60 * 60 * 1000
/** When the first week begins. */
const FIRST_MS = Date.UTC(2001, 0, 1)
const FOLDER = fileURLToPath(new URL('out/', import.meta.url))
const FLIGHTS_PATH = `${FOLDER}flights.bin`
const INDEX_PATH = `${FOLDER}flights.json`
/** Minutes that a tenant's delays differ from the real ones, at most. */
const NOISE_MINUTES = 3

/** Where each column begins in the file: the widest types come first, so that each is aligned. */
const STARTS = Object.fromEntries(
  COLUMN_NAMES.map((name, index) => {
    const before = COLUMN_NAMES.slice(0, index).map(other => FLIGHTS[other].BYTES_PER_ELEMENT)
    return [name, MAX_ROWS * before.reduce((sum, bytes) => sum + bytes, 0)]
  }),
)

/** Whether the data set was decoded. */
export const isSourceReady = () => existsSync(INDEX_PATH)

/** @returns {Index} */
export const readIndex = () => JSON.parse(readFileSync(INDEX_PATH, 'utf8'))

/**
 * Decodes the data set into the file.
 * @param {(done: number, total: number) => void} progress
 */
export async function prepareSource(progress) {
  // Not before it is installed.
  const { readFlights } = await import('../flights/data.mjs')
  mkdirSync(FOLDER, { recursive: true })
  const file = openSync(FLIGHTS_PATH, 'w')
  const weeks = /** @type {Week[]} */ ([])
  const sinks = COLUMN_NAMES.map(name => {
    let position = STARTS[name]
    const append = (/** @type {Values} */ array) => {
      if (name === 'date') addWeeks(weeks, /** @type {Float64Array} */ (array))
      position += writeSync(file, array, 0, array.byteLength, position)
    }
    return [name, { allocate: (/** @type {number} */ rows) => new FLIGHTS[name](rows), append }]
  })
  const airports = await readFlights(Object.fromEntries(sinks), MAX_ROWS, progress)
  // The index is there when the file is whole.
  writeFileSync(`${INDEX_PATH}.new`, JSON.stringify({ airports: airports.length, weeks }))
  renameSync(`${INDEX_PATH}.new`, INDEX_PATH)
}

/**
 * Counts the rows of each week.
 * @param {Week[]} weeks
 * @param {Float64Array} dates in ascending order, those that follow the weeks so far
 */
function addWeeks(weeks, dates) {
  for (const timeMs of dates) {
    const week = Math.floor((timeMs - FIRST_MS) / WEEK_MS)
    while (weeks.length <= week) weeks.push({ start: weeks.reduce((sum, { rows }) => sum + rows, 0), rows: 0 })
    weeks[week].rows++
  }
}

export class Source {
  #file = openSync(FLIGHTS_PATH, 'r')
  #weeks = readIndex().weeks

  /**
   * A column of a tenant's week, as a new array: the real values in an order of the tenant's own, which is the same for
   * all columns of the week, with other delays.
   * @param {string} name
   * @param {number} week
   * @param {number} tenant
   */
  column(name, week, tenant) {
    const { start, rows } = this.#weeks[week]
    const array = new FLIGHTS[name](rows)
    const turn = (tenant * 1009) % rows
    this.#read(name, start + turn, array.subarray(0, rows - turn))
    this.#read(name, start, array.subarray(rows - turn))
    return name === 'delay' ? withNoise(array, seededRandom(week * 1000 + tenant)) : array
  }

  /**
   * @param {string} name
   * @param {number} row
   * @param {Values} target
   */
  #read(name, row, target) {
    const position = STARTS[name] + row * FLIGHTS[name].BYTES_PER_ELEMENT
    const length = readSync(this.#file, target, 0, target.byteLength, position)
    if (length !== target.byteLength) throw new Error(`${FLIGHTS_PATH} is cut short: remove its folder`)
  }
}

/**
 * @param {Values} delays
 * @param {(limit: number) => number} random
 */
function withNoise(delays, random) {
  for (let row = 0; row < delays.length; row++) delays[row] += random(2 * NOISE_MINUTES + 1) - NOISE_MINUTES
  return delays
}

/**
 * Bytes of all columns of so many tenants.
 * @param {number} tenants
 */
export const totalBytes = tenants => tenants * MAX_ROWS * ROW_BYTES
