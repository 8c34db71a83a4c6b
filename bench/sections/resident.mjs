// How much memory the process keeps when payloads have gone out.
import { ask } from '../child.mjs'
import { KIB, MIB, sizeName } from '../payloads.mjs'
import { FILE_PER_PAYLOAD, OPEN_FILE_FREED, PAGEOUT, PAGEOUT_WITHOUT_SPARES } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

const TOTAL_BYTES = 256 * MIB
const SIZES = [64 * KIB, 2 * MIB]
const CANDIDATES = [PAGEOUT, PAGEOUT_WITHOUT_SPARES, FILE_PER_PAYLOAD, OPEN_FILE_FREED].map(name => ({ name }))

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  /** @type {Row[]} */
  const rows = []
  for (const payloadBytes of SIZES) rows.push(await measureSize(bench, payloadBytes))
  return [
    {
      id: 'resident',
      title: 'Resident memory that stays',
      note: 'Part of 256 MiB that is still resident in the process once all of it is out: with pageout when the last call has returned, with the others after dropping all references and full garbage collections. Most of what stays with pageout is its spare buffers (32 MiB), whose pages the system takes when it wants them; the rest is the pages that a payload of 64 KiB shares with its neighbours. Buffers of 2 MiB that were never freed before are mappings of their own, which freeing gives back; after some use of the process they no longer are.',
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
 */
async function measureSize({ rounds, folder, say }, payloadBytes) {
  say(`resident: ${sizeName(payloadBytes)}`)
  const stayed = (/** @type {{ name: string }} */ { name }) => {
    const isCollected = name !== PAGEOUT && name !== PAGEOUT_WITHOUT_SPARES
    const question = { name, folder, payloadBytes, payloads: TOTAL_BYTES / payloadBytes, isCollected }
    const { bytes } = /** @type {import('./resident-child.mjs').Answer} */ (
      ask('resident-child.mjs', question, { execArgv: ['--expose-gc'] })
    )
    // What the process frees besides can make it a little more than all.
    return Math.max(0, 1 - bytes / TOTAL_BYTES) * 100
  }
  return row(`arrays of ${sizeName(payloadBytes)}`, await inTurns(CANDIDATES, rounds, stayed, 0), percent => percent)
}
