// What the event loop notices when a pager of promises that holds very much is closed.
import { setImmediate } from 'node:timers/promises'
import { worstDelayMs } from '../event-loop.mjs'
import { KIB, MIB, sizeName } from '../payloads.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Build} Build */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

const SIZES = [64 * KIB, 4 * MIB]
const IN_FLIGHT = 16

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  const totalBytes = (bench.quick ? 256 : 3072) * MIB
  /** @type {Row[]} */
  const rows = []
  for (const payloadBytes of SIZES) rows.push(await measureSize(bench, totalBytes, payloadBytes))
  return [
    {
      id: 'closing',
      title: 'Closing a pager that holds much',
      note: `${totalBytes / MIB} MiB are out. The longest that the event loop did not come round while the promise of close() was pending.`,
      unit: 'ms',
      better: 'less',
      subject: bench.builds[0]?.promisedName ?? '',
      references: [],
      plot: 'none',
      rows,
    },
  ]
}

/**
 * @param {Bench} bench
 * @param {number} totalBytes
 * @param {number} payloadBytes
 */
async function measureSize({ builds, folder, say, quick }, totalBytes, payloadBytes) {
  const what = `payloads of ${sizeName(payloadBytes)}`
  say(`closing: ${what}`)
  const candidates = builds.map(build => ({ ...build, name: build.promisedName }))
  const delayMs = async (/** @type {Build} */ { PromisePager }) => {
    const pager = new PromisePager({ scratchDir: folder })
    for (let out = 0; out < totalBytes; out += IN_FLIGHT * payloadBytes) {
      await Promise.all(Array.from({ length: IN_FLIGHT }, () => pager.pageout(new Uint8Array(payloadBytes).fill(1))))
    }
    return await worstDelayMs(async () => {
      await pager.close()
      // The loop comes round once more, so that work which blocked it to the end is seen.
      await setImmediate()
    })
  }
  return row(what, await inTurns(candidates, quick ? 1 : 3, delayMs, 0), ms => ms)
}
