// Payloads that are more than the memory: out in a row, then back in the same order, in a memory group.
import { ask } from '../child.mjs'
import { MemoryGroup } from '../memory-group.mjs'
import { GIB, MIB } from '../payloads.mjs'
import { OPEN_FILE, PAGEOUT } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Table} Table */
/** @typedef {import('./out-of-core-child.mjs').Answer} Answer */

const GROUP_BYTES = 512 * MIB
const PAYLOAD_BYTES = 2 * MIB
const CANDIDATES = [PAGEOUT, OPEN_FILE].map(name => ({ name }))

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
    return [{ ...about, ...table(await measure(bench, group, totalBytes)) }]
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
    const question = { name, folder, payloadBytes: PAYLOAD_BYTES, payloads: totalBytes / PAYLOAD_BYTES }
    return /** @type {Answer} */ (ask('out-of-core-child.mjs', question, { prefix }))
  }
  return inTurns(CANDIDATES, rounds, measureOne, 0)
}

/** @param {Map<string, Answer[]>} results */
function table(results) {
  const duration = /** @type {const} */ ({ unit: 'ms', better: 'less' })
  const size = /** @type {const} */ ({ unit: 'MiB', better: 'less' })
  return {
    note: `Payloads of 2 MiB. The rates have everything in them: making the payloads, collecting the garbage. "${OPEN_FILE}" leaves memory to the garbage collector. The peaks are of the resident memory of the whole process, garbage included.`,
    unit: 'MB/s',
    better: /** @type {const} */ ('more'),
    subject: PAGEOUT,
    references: [OPEN_FILE],
    plot: /** @type {const} */ ('bars'),
    rows: [
      row('out', results, ({ out }) => out.megabytesPerSecond),
      row('back', results, ({ back }) => back.megabytesPerSecond),
      row('longest call out', results, ({ out }) => out.longestMs, duration),
      row('longest call back', results, ({ back }) => back.longestMs, duration),
      row('peak of resident memory, all out', results, ({ out }) => out.peakBytes / MIB, size),
      row('peak of resident memory, all back', results, ({ back }) => back.peakBytes / MIB, size),
    ],
  }
}
