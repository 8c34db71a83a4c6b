// How much memory the process keeps when payloads have gone out.
import { ask } from '../child.mjs'
import { KIB, MIB, sizeName } from '../payloads.mjs'
import { FILE_PER_PAYLOAD, OPEN_FILE_FREED, PAGEOUT, PAGEOUT_WITHOUT_SPARES } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

const TOTAL_BYTES = 256 * MIB
const SIZES = [64 * KIB, MIB, 2 * MIB, 16 * MIB, 256 * MIB]
/** The size that is also measured in processes that have freed nothing yet. */
const NEW_PROCESS_BYTES = 2 * MIB
const CANDIDATES = [PAGEOUT, PAGEOUT_WITHOUT_SPARES, FILE_PER_PAYLOAD, OPEN_FILE_FREED].map(name => ({ name }))

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  /** @type {Row[]} */
  const rows = []
  for (const payloadBytes of SIZES) rows.push(await measureSize(bench, payloadBytes, true))
  rows.push(await measureSize(bench, NEW_PROCESS_BYTES, false))
  return [
    {
      id: 'resident',
      title: 'Resident memory that stays',
      note: 'Part of 256 MiB that is still resident in the process once all of it is out: with pageout when the last call has returned, with the others after dropping all references and full garbage collections. Behind each array lies a live block of a 64th of its length, and a buffer of 31 MiB was freed before, so that the C library does not give each array a mapping of its own, which freeing would give back, unless it is longer still; in the last row nothing was freed before. Most of what stays with pageout is its spare buffers (32 MiB), whose pages the system takes when it wants them; the rest is the pages that an array shares with its neighbours.',
      unit: '%',
      better: 'less',
      subject: PAGEOUT,
      references: [FILE_PER_PAYLOAD, OPEN_FILE_FREED],
      plot: 'bars',
      rows,
    },
  ]
}

/**
 * @param {Bench} bench
 * @param {number} payloadBytes
 * @param {boolean} isUsed whether the process has used memory before
 */
async function measureSize({ quick, folder, say }, payloadBytes, isUsed) {
  const what = `${sizeName(payloadBytes)}${isUsed ? '' : ', a new process'}`
  say(`resident: ${what}`)
  const stayed = (/** @type {{ name: string }} */ { name }) => {
    const isCollected = name !== PAGEOUT && name !== PAGEOUT_WITHOUT_SPARES
    const question = { name, folder, payloadBytes, payloads: TOTAL_BYTES / payloadBytes, isUsed, isCollected }
    const { bytes } = /** @type {import('./resident-child.mjs').Answer} */ (
      ask('resident-child.mjs', question, { execArgv: ['--expose-gc'] })
    )
    // What the process frees besides can make it a little more than all.
    return Math.max(0, 1 - bytes / TOTAL_BYTES) * 100
  }
  // Memory, unlike time, is nearly the same each time.
  const results = await inTurns(CANDIDATES, quick ? 1 : 3, stayed, 0)
  return row(payloadBytes === TOTAL_BYTES ? `one of ${what}` : `arrays of ${what}`, results, percent => percent)
}
