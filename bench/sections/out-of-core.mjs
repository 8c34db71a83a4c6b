// Payloads that are more than the memory: out in a row, then back in the same order, in a memory group.

import { MemoryGroup } from '../../scripts/memory-group.mjs'
import { ask } from '../child.mjs'
import { GIB, MIB } from '../payloads.mjs'
import { OPEN_FILE, PAGEOUT, PAGEOUT_BUDGET } from '../stores.mjs'
import { inTurns, only, row, without } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */
/** @typedef {import('./out-of-core-child.mjs').Answer} Answer */
/** @typedef {import('./device-child.mjs').Answer} Device */

const GROUP_BYTES = 512 * MIB
const PAYLOAD_BYTES = 2 * MIB
/** Half of the group; the rest is for the page cache and the process. */
const RESIDENT_BYTES = 256 * MIB
const DEVICE = 'the device, direct I/O'
const CANDIDATES = [PAGEOUT, PAGEOUT_BUDGET, OPEN_FILE, DEVICE].map(name => ({ name }))
const DURATION = /** @type {const} */ ({ unit: 'ms', better: 'less' })
const SIZE = /** @type {const} */ ({ unit: 'MiB', better: 'less' })

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  const totalBytes = (bench.quick ? 1 : 4) * GIB
  const about = { id: 'out-of-core', title: `${totalBytes / GIB} GiB through a memory group of 512 MiB` }
  const group = makeGroup()
  if (group instanceof Error) return [{ ...about, skipped: `no memory group can be made here (${group.message})` }]
  try {
    const results = await measure(bench, group, totalBytes)
    const budget = { id: 'out-of-core-budget', title: `${about.title}, within a memory budget` }
    return [
      { ...about, ...table(results) },
      { ...budget, ...budgetTable(results) },
    ]
  } finally {
    group.remove()
  }
}

function makeGroup() {
  try {
    return new MemoryGroup(GROUP_BYTES)
  } catch (error) {
    return /** @type {Error} */ (error)
  }
}

/**
 * @param {Bench} bench
 * @param {MemoryGroup} group
 * @param {number} totalBytes
 */
function measure({ rounds, folder, say }, { prefix }, totalBytes) {
  const measureOne = (/** @type {{ name: string }} */ { name }, /** @type {number} */ round) => {
    say(`out of core: round ${round}, ${name}`)
    const payloads = totalBytes / PAYLOAD_BYTES
    const question = { name, folder, payloadBytes: PAYLOAD_BYTES, payloads, residentBytes: RESIDENT_BYTES }
    return name === DEVICE
      ? deviceAnswer(ask('device-child.mjs', question, { prefix }))
      : /** @type {Answer} */ (ask('out-of-core-child.mjs', question, { prefix }))
  }
  return inTurns(CANDIDATES, rounds, measureOne, 0)
}

/**
 * The device has rates and nothing else.
 *
 * @param {Device} rates
 * @returns {Answer}
 */
function deviceAnswer({ out, back }) {
  const phase = (/** @type {number} */ megabytesPerSecond) => ({ megabytesPerSecond, longestMs: NaN, peakBytes: NaN })
  return { out: phase(out), back: phase(back), grownBytes: NaN }
}

/** @param {Map<string, Answer[]>} results */
function table(results) {
  return {
    note: `Payloads of 2 MiB. The rates have everything in them: making the payloads, collecting the garbage. "${OPEN_FILE}" leaves memory to the garbage collector. The peaks are of the resident memory of the whole process, garbage included.`,
    unit: 'MB/s',
    better: /** @type {const} */ ('more'),
    subject: PAGEOUT,
    references: [OPEN_FILE],
    plot: /** @type {const} */ ('bars'),
    rows: [
      ...callRows(results),
      row('peak of resident memory, all out', results, ({ out }) => out.peakBytes / MIB, SIZE),
      row('peak of resident memory, all back', results, ({ back }) => back.peakBytes / MIB, SIZE),
    ].map(row => only(row, [PAGEOUT, OPEN_FILE])),
  }
}

/** @param {Map<string, Answer[]>} results */
function budgetTable(results) {
  const [out, back, ...others] = callRows(results)
  const grown = row('peak of resident memory above idle', results, ({ grownBytes }) => grownBytes / MIB, SIZE)
  return {
    note: `The same run, with a memory budget of ${RESIDENT_BYTES / MIB} MiB. The device's rate is that of ${PAYLOAD_BYTES / MIB} MiB at a time from four threads, in the same group. Resident memory is looked at each millisecond, by a thread that every candidate but the device has.`,
    unit: 'MB/s',
    better: /** @type {const} */ ('more'),
    subject: PAGEOUT_BUDGET,
    references: [PAGEOUT, OPEN_FILE, DEVICE],
    plot: /** @type {const} */ ('bars'),
    rows: [out, back, ...[...others, grown].map(row => without(row, [DEVICE]))],
  }
}

/**
 * @param {Map<string, Answer[]>} results
 * @returns {[out: Row, back: Row, longestOut: Row, longestBack: Row]}
 */
function callRows(results) {
  return [
    row('out', results, ({ out }) => out.megabytesPerSecond),
    row('back', results, ({ back }) => back.megabytesPerSecond),
    row('longest call out', results, ({ out }) => out.longestMs, DURATION),
    row('longest call back', results, ({ back }) => back.longestMs, DURATION),
  ]
}
