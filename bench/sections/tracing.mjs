// What it costs that every verb can be watched.
import { ask } from '../child.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Table} Table */
/** @typedef {import('./tracing-child.mjs').Answer} Answer */

const UNWATCHED = 'pageout, no subscriber'
const WATCHED = 'pageout, a subscriber on all channels'
const CANDIDATES = [
  { name: UNWATCHED, isWatched: false },
  { name: WATCHED, isWatched: true },
]

/**
 * Each turn has a process of its own: channels that lost their subscriber are slower than those that never had one.
 *
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run({ quick, folder, say }) {
  const [rounds, calls] = quick ? [3, 10_000] : [9, 20_000]
  say('tracing')
  const measure = (/** @type {typeof CANDIDATES[number]} */ { isWatched }) => {
    /** @type {Answer} */
    const result = ask('tracing-child.mjs', { folder, calls, isWatched })
    return result
  }
  const results = await inTurns(CANDIDATES, rounds, measure, 0)
  return [
    {
      id: 'tracing',
      title: 'Tracing channels',
      note: 'Synchronous verbs, and alone, in a loop over the three channels, the check for subscribers that each verb makes once; a round trip is two verbs. The subscriber listens to all events of all channels and counts them. Each turn has a process of its own.',
      unit: 'us',
      better: 'less',
      subject: UNWATCHED,
      references: [WATCHED],
      plot: 'bars',
      rows: [
        row('round trip of 4 KiB', results, ({ tripUs }) => tripUs),
        row('readAt of 64 bytes', results, ({ readUs }) => readUs),
        row('one check for subscribers', results, ({ checkNs }) => checkNs, { unit: 'ns' }),
      ],
    },
  ]
}
