// The flights: decodes the Parquet file of the data set column by column, row group by row group, so that the decoder
// never holds more than one piece of one column.

import { fileURLToPath } from 'node:url'
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { COLUMN_NAMES } from './schema.mjs'

/** @typedef {import('./schema.mjs').Values} Values */
/** @typedef {{ allocate(rows: number): Values, append(array: Values): void }} Sink */
/** @typedef {{ start: number, rows: number }} RowGroup */

const FLIGHTS_PATH = fileURLToPath(new URL('node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url))

/** Airport names as small numbers, counted up in the order in which they are met. */
class Dictionary {
  /** @type {string[]} */
  texts = []
  /** @type {Map<string, number>} */
  #codes = new Map()
  #decoder = new TextDecoder()

  /** @param {Uint8Array} bytes */
  codeOf(bytes) {
    const text = this.#decoder.decode(bytes)
    const known = this.#codes.get(text)
    if (known !== undefined) return known
    this.#codes.set(text, this.texts.length)
    return this.texts.push(text) - 1
  }
}

/**
 * Gives the first rows of the file, one column after the other, to a sink for each column.
 * @param {Record<string, Sink>} sinks
 * @param {number} rows
 * @param {(done: number, total: number) => void} progress
 * @returns {Promise<string[]>} the airport of each code
 */
export async function readFlights(sinks, rows, progress) {
  const file = await asyncBufferFromFile(FLIGHTS_PATH)
  const metadata = await parquetMetadataAsync(file)
  const airports = new Dictionary()
  const parsers = {
    timestampFromMicroseconds: (/** @type {bigint} */ micros) => Number(micros) / 1000,
    stringFromBytes: (/** @type {Uint8Array} */ bytes) => airports.codeOf(bytes),
  }
  const groups = rowGroups(metadata, rows)
  const pieces = COLUMN_NAMES.flatMap(name => groups.map(group => ({ name, group })))
  for (const [index, { name, group }] of pieces.entries()) {
    const array = sinks[name].allocate(group.rows)
    await decode({ file, metadata, compressors, parsers }, name, group, array)
    sinks[name].append(array)
    progress(index + 1, pieces.length)
  }
  return airports.texts
}

/**
 * The row groups of the first `rows` rows, the last one cut short.
 * @param {import('hyparquet').FileMetaData} metadata
 * @param {number} rows
 * @returns {RowGroup[]}
 */
function rowGroups(metadata, rows) {
  const groups = []
  let start = 0
  for (const { num_rows: groupRows } of metadata.row_groups) {
    if (start < rows) groups.push({ start, rows: Math.min(Number(groupRows), rows - start) })
    start += Number(groupRows)
  }
  return groups
}

/**
 * @param {Parameters<typeof parquetRead>[0]} source
 * @param {string} name
 * @param {RowGroup} group
 * @param {Values} array
 */
async function decode(source, name, group, array) {
  let decodedRows = 0
  await parquetRead({
    ...source,
    columns: [name],
    rowStart: group.start,
    rowEnd: group.start + group.rows,
    onChunk({ columnData, rowStart }) {
      decodedRows += fill(array, rowStart - group.start, columnData)
    },
  })
  if (decodedRows !== array.length) throw new Error(`column ${name}: ${decodedRows} of ${array.length} rows decoded`)
}

/**
 * @param {Values} array
 * @param {number} start
 * @param {ArrayLike<unknown>} values numbers and BigInts; the decoder may give more of them than were asked for
 */
function fill(array, start, values) {
  const rows = Math.min(values.length, array.length - start)
  for (let row = 0; row < rows; row++) {
    const value = values[row]
    if (value === null || value === undefined) throw new Error('a value is missing: the columns have no place for that')
    array[start + row] = Number(value)
  }
  return rows
}
