// More payloads than memory, of which some are looked at often: what stays in memory, and what that costs.
import { CACHES, LRU_OVER_FILES, LRU_OVER_LMDB } from '../caches.mjs'
import { ask } from '../child.mjs'
import { LMDB } from '../lmdb.mjs'
import { KIB, MIB } from '../payloads.mjs'
import { PAGEOUT_BUDGET } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Table} Table */
/** @typedef {import('./popular-child.mjs').Answer} Answer */

/** @typedef {{ id: string, payloads: number, residentBytes: number, looks: number, rounds: number }} Size */

const PAYLOAD_BYTES = 64 * KIB
const EXPONENT = 0.9

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  const tables = []
  for (const size of sizes(bench.quick)) tables.push(await measureSize(bench, size))
  return tables
}

/**
 * @param {boolean} quick
 * @returns {Size[]}
 */
function sizes(quick) {
  const scale = quick ? 20 : 1
  // Few payloads are looked at often all the same: the compiler of JavaScript takes a second.
  const looks = quick ? 40_000 : 100_000
  return [
    // Gigabytes go out before anything is measured, so once is enough.
    {
      id: 'popular-quarter',
      payloads: 100_000 / scale,
      residentBytes: (25_000 / scale) * PAYLOAD_BYTES,
      looks,
      rounds: 1,
    },
    {
      id: 'popular-tenth',
      payloads: 20_000 / scale,
      residentBytes: Math.floor(128 / scale) * MIB,
      looks,
      rounds: quick ? 1 : 3,
    },
  ]
}

/**
 * @param {Bench} bench
 * @param {Size} size
 */
async function measureSize({ makers, folder, lmdbNote, say }, { id, payloads, residentBytes, looks, rounds }) {
  const caches = CACHES.filter(name => LMDB in makers || name !== LRU_OVER_LMDB).map(name => ({ name }))
  const question = { folder, payloads, payloadBytes: PAYLOAD_BYTES, residentBytes, exponent: EXPONENT, looks }
  const measured = (/** @type {boolean} */ isChanging) =>
    inTurns(caches, rounds, ({ name }, round) => answer(name, round, isChanging), 0)
  const answer = (/** @type {string} */ name, /** @type {number} */ round, /** @type {boolean} */ isChanging) => {
    say(`popular: ${payloads} payloads${isChanging ? ' that change' : ''}, round ${round}, ${name}`)
    return /** @type {Answer} */ (ask('popular-child.mjs', { ...question, name, isChanging }))
  }
  return table(id, question, await measured(false), await measured(true), lmdbNote)
}

/**
 * @param {string} id
 * @param {{ payloads: number, residentBytes: number }} size
 * @param {Map<string, Answer[]>} looks
 * @param {Map<string, Answer[]>} changes
 * @param {string} lmdbNote
 * @returns {Table}
 */
function table(id, { payloads, residentBytes }, looks, changes, lmdbNote) {
  const [hits, memory] = /** @type {const} */ ([
    { unit: '%', better: 'more' },
    { unit: 'MiB', better: 'less' },
  ])
  return {
    id,
    title: `Popular payloads: ${payloads.toLocaleString('en-US')} of 64 KiB, ${Math.round(residentBytes / MIB)} MiB in memory`,
    note: `Payloads are looked at by a Zipf distribution of exponent ${EXPONENT}: with pageout each is borrowed, with lru-cache it is got, and read and set where it is not there; in looks they do not change, so what leaves again is not written again; a change takes a payload, writes to it and puts it back (with lru-cache in its place, and what leaves is written). Beside a scan, every second look is at the next payload in order; the hits are those of the others. Stored payloads come from the page cache; only pageout verifies them, and before what was borrowed leaves, that it is unchanged; without checksums it does neither, as the others. Each cache has a process of its own. ${lmdbNote}`,
    unit: 'ops/s',
    better: 'more',
    subject: PAGEOUT_BUDGET,
    references: [LRU_OVER_FILES, LRU_OVER_LMDB],
    plot: 'bars',
    rows: [
      row('looks', looks, ({ alone }) => alone.perSecond),
      row('looks, beside a scan', looks, ({ besideScan }) => besideScan?.perSecond ?? 0),
      row('changes', changes, ({ alone }) => alone.perSecond),
      row('found in memory', looks, ({ alone }) => alone.hitPercent, hits),
      row('found in memory, beside a scan', looks, ({ besideScan }) => besideScan?.hitPercent ?? 0, hits),
      row('resident memory at most', looks, ({ alone }) => alone.peakBytes / MIB, memory),
      row(
        'resident memory at most, beside a scan',
        looks,
        ({ besideScan }) => (besideScan?.peakBytes ?? 0) / MIB,
        memory,
      ),
      row('resident memory at most, changes', changes, ({ alone }) => alone.peakBytes / MIB, memory),
    ],
  }
}
