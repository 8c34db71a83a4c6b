// What encryption and compression cost, and what they save.

import { Pager } from '../../dist/index.js'
import { MemoryGroup } from '../../scripts/memory-group.mjs'
import { ask } from '../child.mjs'
import { columns, readings } from '../columns.mjs'
import { check, GIB, KIB, MIB, randomBytes, randomNumbers, sizeName } from '../payloads.mjs'
import { PAGEOUT, PAGEOUT_COMPRESSED, PAGEOUT_ENCRYPTED, PAGEOUT_SEALED, SEALINGS, withStores } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'
import { tripUs } from './round-trip.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Column} Column */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */
/** @typedef {import('./out-of-core-child.mjs').Answer} Answer */

const SIZES = [4 * KIB, 64 * KIB, 2 * MIB]
const COLUMN_BYTES = 4 * MIB
const PIECE_BYTES = MIB
const RANGED_BYTES = 64 * MIB
const RANGE_BYTES = 4 * KIB
const RANGES = 64
const GROUP_BYTES = 512 * MIB
const SECONDS = /** @type {const} */ ({ unit: 'us', better: 'less', subject: PAGEOUT, plot: 'bars' })

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  return [await trips(bench), await ranges(bench), ...(await ofColumns(bench)), await outOfCore(bench)]
}

/**
 * Bytes that do not shrink, out and back.
 *
 * @param {Bench} bench
 * @returns {Promise<Table>}
 */
async function trips(bench) {
  /** @type {Row[]} */
  const rows = []
  for (const payloadBytes of SIZES) {
    bench.say(`sealed: round trip, ${sizeName(payloadBytes)}`)
    const expected = randomBytes(payloadBytes)
    const count = Math.min(2000, Math.max(4, ((bench.quick ? 16 : 64) * MIB) / payloadBytes))
    const names = [PAGEOUT, PAGEOUT_ENCRYPTED, PAGEOUT_COMPRESSED, PAGEOUT_SEALED]
    const measure = async (/** @type {readonly import('../types.js').Store[]} */ stores) => {
      const results = await inTurns(stores, bench.quick ? bench.rounds : 15, store => tripUs(store, expected, count))
      return row(sizeName(payloadBytes), results, us => us)
    }
    rows.push(await withStores(bench, names, payloadBytes, measure))
  }
  const note =
    'Out and back of random bytes, which do not shrink: what encryption costs, and what looking costs that finds nothing to compress.'
  return {
    id: 'sealed-round-trip',
    title: 'Round trip, encrypted and compressed',
    note,
    ...SECONDS,
    references: [PAGEOUT],
    rows,
  }
}

/**
 * Small ranges of a payload in the page cache.
 *
 * @param {Bench} bench
 * @returns {Promise<Table>}
 */
async function ranges({ folder, rounds, quick, say }) {
  say('sealed: ranges')
  const payloads = Object.entries(SEALINGS).map(([name, options]) => {
    const pager = new Pager({ scratchDir: folder, ...options })
    return { name, pager, handle: pager.pageout(readings(RANGED_BYTES)) }
  })
  const expected = readings(RANGED_BYTES)
  const elements = RANGE_BYTES / 8
  const firsts = (/** @type {number} */ round) => {
    const random = randomNumbers(round)
    const pages = new Set()
    while (pages.size < RANGES) pages.add(random(RANGED_BYTES / RANGE_BYTES))
    return [...pages].map(page => page * elements)
  }
  /** @type {Record<string, (payload: typeof payloads[number], firsts: number[]) => Float64Array>} */
  const ways = {
    'a range of 4 KiB': ({ pager, handle }, firsts) => {
      let last = new Float64Array()
      for (const first of firsts) last = pager.readAt(handle, first, elements)
      return last
    },
    [`${RANGES} ranges of 4 KiB in a call, each`]: ({ pager, handle }, firsts) =>
      pager.readAtMany(
        handle,
        firsts.map(first => [first, elements]),
      ),
  }
  const batches = quick ? 20 : 100
  try {
    /** @type {Row[]} */
    const rows = []
    for (const [name, read] of Object.entries(ways)) {
      const results = await inTurns(payloads, quick ? rounds : 15, (payload, round) => {
        let elapsedMs = 0
        for (let batch = 0; batch < batches; batch++) {
          const wanted = firsts(round * batches + batch)
          const start = performance.now()
          const found = read(payload, wanted)
          elapsedMs += performance.now() - start
          if (found.at(-1) !== expected[(wanted.at(-1) ?? 0) + elements - 1]) {
            throw new Error(`${payload.name}: another range came back`)
          }
        }
        return (elapsedMs * 1000) / batches / RANGES
      })
      rows.push(row(name, results, us => us))
    }
    const note = `Of ${sizeName(RANGED_BYTES)} of sensor readings (Float64Array), in the page cache. A range of what is compressed decodes the frames of 4 KiB that it touches.`
    return {
      id: 'sealed-ranges',
      title: 'Ranges, encrypted and compressed',
      note,
      ...SECONDS,
      references: [PAGEOUT],
      rows,
    }
  } finally {
    for (const { pager } of payloads) pager.close()
  }
}

/** @typedef {{ out: number, back: number, ratio: number }} Rates GB/s, and how many times fewer bytes are stored */

/**
 * Real columns, in payloads of a length that synchronous calls are for.
 *
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
async function ofColumns({ folder, rounds, quick, say }) {
  say('sealed: columns')
  const candidates = Object.entries(SEALINGS).map(([name, options]) => ({ name, options }))
  /** @type {Record<keyof Rates, Row[]>} */
  const rows = { out: [], back: [], ratio: [] }
  for (const column of await columns(COLUMN_BYTES)) {
    const measure = (/** @type {typeof candidates[number]} */ { name, options }) =>
      rates(column, name, { scratchDir: folder, ...options }, quick ? 4 : 16)
    const results = await inTurns(candidates, rounds, measure)
    for (const part of /** @type {const} */ (['out', 'back', 'ratio']))
      rows[part].push(row(column.name, results, rates => rates[part]))
  }
  const about = {
    subject: PAGEOUT_COMPRESSED,
    references: [PAGEOUT],
    better: /** @type {const} */ ('more'),
    plot: /** @type {const} */ ('bars'),
  }
  const note = `Columns in payloads of ${sizeName(PIECE_BYTES)}, on one thread, into the page cache and out of it; what is read goes into a target. Gigabytes are of what the program has, not of what is stored.`
  return [
    { id: 'columns-out', title: 'Columns, compressed: out', note, unit: 'GB/s', ...about, rows: rows.out },
    { id: 'columns-back', title: 'Columns, compressed: back', note, unit: 'GB/s', ...about, rows: rows.back },
    {
      id: 'columns-ratio',
      title: 'Columns, compressed: how many times fewer bytes',
      note: 'Bytes of the payloads by `storedBytes`.',
      unit: 'x',
      ...about,
      rows: rows.ratio,
    },
  ]
}

/**
 * @param {Column} column
 * @param {string} name
 * @param {import('../../dist/index.js').PagerOptions} options
 * @param {number} times
 * @returns {Rates}
 */
function rates({ values }, name, options, times) {
  const pager = new Pager(options)
  const elements = PIECE_BYTES / values.BYTES_PER_ELEMENT
  const target = values.slice(0, elements)
  let [outMs, backMs, ratio] = [0, 0, 0]
  try {
    // The first time is for warming up.
    for (let time = -1; time < times; time++) {
      const pieces = []
      for (let first = 0; first < values.length; first += elements) pieces.push(values.slice(first, first + elements))
      const start = performance.now()
      const handles = pieces.map(piece => pager.pageout(piece))
      const middle = performance.now()
      ratio = pager.stats().payloadBytes / pager.stats().storedBytes
      const beforeBack = performance.now()
      for (const handle of handles) pager.take(handle, target)
      const end = performance.now()
      check(bytesOf(target), bytesOf(values.subarray(values.length - elements)), name)
      if (time < 0) continue
      outMs += middle - start
      backMs += end - beforeBack
    }
  } finally {
    pager.close()
  }
  const gigabytesPerSecond = (/** @type {number} */ ms) => (times * values.byteLength) / ms / 1e6
  return { out: gigabytesPerSecond(outMs), back: gigabytesPerSecond(backMs), ratio }
}

/** @param {ArrayBufferView} values */
const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength)

/**
 * More than the memory.
 *
 * @param {Bench} bench
 * @returns {Promise<Table>}
 */
async function outOfCore({ folder, quick, rounds, say }) {
  const totalBytes = (quick ? 1 : 4) * GIB
  const about = {
    id: 'sealed-out-of-core',
    title: `${totalBytes / GIB} GiB through a memory group of 512 MiB, encrypted and compressed`,
  }
  let group
  try {
    group = new MemoryGroup(GROUP_BYTES)
  } catch (error) {
    return { ...about, skipped: `no memory group can be made here (${/** @type {Error} */ (error).message})` }
  }
  try {
    const { prefix } = group
    const candidates = [PAGEOUT, PAGEOUT_ENCRYPTED, PAGEOUT_COMPRESSED].map(name => ({ name }))
    const measure = (/** @type {{ name: string }} */ { name }, /** @type {number} */ round) => {
      say(`sealed: out of core, round ${round}, ${name}`)
      const question = { name, folder, payloadBytes: 2 * MIB, payloads: totalBytes / (2 * MIB), isOfReadings: true }
      return /** @type {Answer} */ (ask('out-of-core-child.mjs', question, { prefix }))
    }
    const results = await inTurns(candidates, Math.min(rounds, 3), measure, 0)
    return {
      ...about,
      note: 'Payloads of 2 MiB of sensor readings, out in a row and back in the same order. The rates have everything in them: making the payloads, collecting the garbage. What is compressed may fit into the page cache.',
      unit: 'MB/s',
      better: 'more',
      subject: PAGEOUT_COMPRESSED,
      references: [PAGEOUT],
      plot: 'bars',
      rows: [
        row('out', results, ({ out }) => out.megabytesPerSecond),
        row('back', results, ({ back }) => back.megabytesPerSecond),
      ],
    }
  } finally {
    group.remove()
  }
}
