// Very many handles that nobody disposes of: whether all of them are freed, and what that costs.
import { ask } from '../child.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Table} Table */
/** @typedef {import('./handles-child.mjs').Answer} Answer */
/** @typedef {import('./handles-child.mjs').Memory} Memory */
/** @typedef {import('./handles-child.mjs').Round} Round */

const DROPPED = 'pageout, handles dropped'
const DISPOSED = 'pageout, handles disposed of'
const CANDIDATES = [
  { name: DROPPED, isDisposed: false },
  { name: DISPOSED, isDisposed: true },
]
const ABOUT = /** @type {const} */ ({ better: 'less', subject: DROPPED, plot: 'bars' })

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run({ quick, folder, say }) {
  const handles = quick ? 100_000 : 1_000_000
  const measure = (/** @type {typeof CANDIDATES[number]} */ { name, isDisposed }) => {
    say(`handles: ${name}`)
    /** @type {Answer} */
    const result = ask('handles-child.mjs', { folder, handles, isDisposed }, { execArgv: ['--expose-gc'] })
    return result
  }
  const results = await inTurns(CANDIDATES, 1, measure, 0)
  const what = `${handles.toLocaleString('en-US')} handles`
  return [timeTable(what, results), heapTable(what, results), residentTable(what, results)]
}

/**
 * @param {string} what
 * @param {Map<string, Answer[]>} results
 * @returns {Table}
 */
function timeTable(what, results) {
  return {
    id: 'handles',
    title: `${what} dropped`,
    note: 'Payloads of one to eight numbers go out until so many handles are alive. Then the references to all are dropped and the garbage is collected until no handle is left, or each handle is disposed of before. All of that is done twice in one process; where nothing is said, the second time counts. The delays are the longest that the event loop did not come round, with a turn for it after each 100 handles: while making, that is the collections of young objects and the system, which writes a page for each payload; while freeing, it is one full collection and then the registry, whose calls the engine makes all at once, also for handles that were disposed of.',
    unit: 'ms',
    ...ABOUT,
    references: [],
    rows: [
      row(
        'alive at the peak',
        results,
        inRound(1, ({ alive }) => alive),
        { unit: 'count', better: 'more' },
      ),
      row(
        'left',
        results,
        inRound(1, ({ left }) => left),
        { unit: 'count' },
      ),
      row(
        'making a handle, the first time',
        results,
        inRound(0, ({ makeUs }) => makeUs),
        { unit: 'us' },
      ),
      row(
        'making a handle',
        results,
        inRound(1, ({ makeUs }) => makeUs),
        { unit: 'us' },
      ),
      row(
        'worst delay while making',
        results,
        inRound(1, ({ makeDelayMs }) => makeDelayMs),
      ),
      row(
        'worst delay while freeing',
        results,
        inRound(1, ({ freeDelayMs }) => freeDelayMs),
      ),
      row(
        'of it, the collection',
        results,
        inRound(1, ({ collectionMs }) => collectionMs),
      ),
    ],
  }
}

/**
 * @param {string} what
 * @param {Map<string, Answer[]>} results
 * @returns {Table}
 */
function heapTable(what, results) {
  return {
    id: 'handles-heap',
    title: `${what}: the JavaScript heap`,
    note: 'At the peak with what garbage there is, else after full collections.',
    unit: 'MiB',
    ...ABOUT,
    references: [],
    rows: memoryRows(results, ({ heapMib }) => heapMib),
  }
}

/**
 * @param {string} what
 * @param {Map<string, Answer[]>} results
 * @returns {Table}
 */
function residentTable(what, results) {
  return {
    id: 'handles-resident',
    title: `${what}: resident memory`,
    note: 'Of the same processes. What stays is the memory of freed handles that the C library keeps, the table of tickets, which is as long as the most handles that were alive at a time, and the space for young objects, which V8 has enlarged. All of it is used again; trim() gives the first two back.',
    unit: 'MiB',
    ...ABOUT,
    references: [],
    rows: memoryRows(results, ({ residentMib }) => residentMib),
  }
}

/**
 * @param {Map<string, Answer[]>} results
 * @param {(memory: Memory) => number} mib
 */
function memoryRows(results, mib) {
  return [
    row('before', results, ({ before }) => mib(before)),
    row(
      'peak',
      results,
      inRound(1, ({ peak }) => mib(peak)),
    ),
    row(
      'after the first time',
      results,
      inRound(0, ({ end }) => mib(end)),
    ),
    row(
      'after the second time',
      results,
      inRound(1, ({ end }) => mib(end)),
    ),
    row(
      'after trim()',
      results,
      inRound(1, ({ trimmed }) => mib(trimmed)),
    ),
  ]
}

/**
 * A number of one of the rounds.
 *
 * @param {number} at
 * @param {(round: Round) => number} number
 * @returns {(answer: Answer) => number}
 */
const inRound =
  (at, number) =>
  ({ rounds }) =>
    number(/** @type {Round} */ (rounds[at]))
