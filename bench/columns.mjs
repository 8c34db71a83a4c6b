// Data that shrinks by compression: made up, of this repository, and where the example's data set is installed its columns.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { ROOT } from '../scripts/prepare.mjs'
import { randomNumbers } from './payloads.mjs'

/** @typedef {import('./types.js').Column} Column */

const FLIGHTS = `${ROOT}examples/flights/`
/** Of which there are enough to fill a payload of 4 MiB with the narrowest column. */
const FLIGHT_ROWS = 2_100_000

/** What a sensor gives: numbers with two decimals that change a little from one to the next. */
export const READINGS = 'sensor readings, Float64Array'
export const TEXT = 'text, Uint8Array'

/**
 * Sensor readings.
 *
 * @param {number} byteLength
 */
export function readings(byteLength) {
  const random = randomNumbers(1)
  let hundredths = 2000
  return Float64Array.from({ length: byteLength / 8 }, () => {
    hundredths += random(21) - 10
    return hundredths / 100
  })
}

/**
 * Columns of so many bytes each.
 *
 * @param {number} byteLength
 * @returns {Promise<Column[]>}
 */
export async function columns(byteLength) {
  return [
    { name: READINGS, values: readings(byteLength) },
    { name: TEXT, values: text(byteLength) },
    ...(await flights(byteLength)),
  ]
}

/**
 * The documents and sources of the package, as often as it takes.
 *
 * @param {number} byteLength
 */
function text(byteLength) {
  const files = ['docs/', 'src/'].flatMap(folder => {
    const names = readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: 'utf8' })
    return names.filter(name => /\.(md|ts)$/.test(name)).map(name => readFileSync(`${ROOT}${folder}${name}`))
  })
  const once = Buffer.concat(files)
  const all = Buffer.concat(Array.from({ length: Math.ceil(byteLength / once.length) }, () => once))
  return new Uint8Array(all.subarray(0, byteLength))
}

/**
 * @param {number} byteLength
 * @returns {Promise<Column[]>}
 */
async function flights(byteLength) {
  if (!existsSync(`${FLIGHTS}node_modules`)) return []
  const { readFlights } = await import(`${FLIGHTS}data.mjs`)
  const { FLIGHTS: schema } = await import(`${FLIGHTS}schema.mjs`)
  /** @type {Record<string, { allocate(rows: number): ArrayBufferView, append(array: ArrayBufferView): void }>} */
  const sinks = {}
  /** @type {Record<string, ArrayBufferView[]>} */
  const pieces = {}
  for (const [name, Type] of Object.entries(schema)) {
    pieces[name] = []
    sinks[name] = { allocate: rows => new Type(rows), append: array => pieces[name]?.push(array) }
  }
  await readFlights(sinks, FLIGHT_ROWS, () => {})
  // The destinations are as the origins.
  return Object.entries(schema)
    .filter(([name]) => name !== 'destination')
    .map(([name, Type]) => {
      const bytes = Buffer.concat(
        (pieces[name] ?? []).map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
      )
      return {
        name: `flights: ${name}, ${Type.name}`,
        values: new Type(new Uint8Array(bytes.subarray(0, byteLength)).buffer),
      }
    })
}
