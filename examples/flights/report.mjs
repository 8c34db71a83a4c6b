import { BUDGET_BYTES } from './budget.mjs'
import { countAnswers } from './compare.mjs'
import { FLIGHTS, rowBytes } from './table.mjs'
import { formatCount, formatMib, formatSeconds } from './units.mjs'

/** @typedef {import('./watch.mjs').Recording} Recording */

const LABEL_CELLS = 30
const VALUE_CELLS = 14
const NONE = '-'

/**
 * @param {Recording} memory
 * @param {Recording} pageout
 * @param {string[]} differing
 */
export function report(memory, pageout, differing) {
  const columns = [memory, pageout].map(describe)
  const lines = Object.keys(columns[0]).map(label =>
    line(
      label,
      columns.map(column => column[label]),
    ),
  )
  return [
    line('', ['in memory', 'pageout']),
    '-'.repeat(LABEL_CELLS + 2 * VALUE_CELLS),
    ...lines,
    '',
    verdict(memory, differing),
    ...findings(memory.result),
    '',
    ...notes(pageout),
  ].join('\n')
}

/**
 * @param {string} label
 * @param {string[]} values
 */
function line(label, values) {
  return label.padEnd(LABEL_CELLS) + values.map(value => value.padStart(VALUE_CELLS)).join('')
}

/**
 * @param {Recording} recording
 * @returns {Record<string, string>}
 */
function describe({ job, samples, spans, result }) {
  const { paging } = result
  return {
    rows: formatCount(job.rows),
    table: formatMib(job.rows * rowBytes(FLIGHTS)),
    'row data held at most': formatMib(result.heldPeakBytes),
    'paged out, all together': paging ? formatMib(paging.pagedOutBytes) : NONE,
    pageouts: paging ? formatCount(paging.pageouts) : NONE,
    reads: paging ? formatCount(paging.reads) : NONE,
    takes: paging ? formatCount(paging.takes) : NONE,
    ...Object.fromEntries(spans.map(({ phase, startMs, endMs }) => [`time: ${phase}`, formatSeconds(endMs - startMs)])),
    'RSS before': formatMib(result.rssBeforeBytes),
    'RSS at most': formatMib(Math.max(...samples.map(({ rssBytes }) => rssBytes))),
    'RSS after': formatMib(result.rssAfterBytes),
  }
}

/**
 * @param {Recording} memory
 * @param {string[]} differing
 */
function verdict({ job, result }, differing) {
  if (differing.length > 0) return ['DIFFERENT:', ...differing].join('\n  ')
  return `identical: ${formatCount(countAnswers(result))} answers and the SHA-256 of all ${formatCount(job.rows)} sorted rows`
}

/**
 * Some of the answers, for whoever wonders what the questions were.
 * @param {import('./job.mjs').Result} result
 */
function findings({ airports, answers }) {
  const flights = answers.origins.subarray(0, airports.length)
  const busiest = flights.indexOf(Math.max(...flights))
  const worstWeek = answers.weeks.indexOf(Math.max(...answers.weeks))
  const median = answers.percentiles[answers.percentiles.length >> 1]
  return [
    `  busiest airport ${airports[busiest]} (${formatCount(flights[busiest])} departures), worst week ${worstWeek + 1}` +
      ` (${answers.weeks[worstWeek].toFixed(1)} minutes late on average),`,
    `  median delay ${median} minutes, longest ${formatCount(answers.percentiles.at(-1) ?? NaN)}`,
  ]
}

/** @param {Recording} pageout */
function notes({ result: { rssBeforeBytes, paging } }) {
  return [
    `The pageout job never holds more than ${formatMib(BUDGET_BYTES)} of row data (it would fail). RSS is what the whole process`,
    `holds: Node and the modules (${formatMib(rssBeforeBytes)} before the first row), the decoder's garbage, then the row data.`,
    'Arrays that the in-memory job has given up stay in its RSS until the garbage collector comes by.',
    'What is paged out is no longer in the process: the system keeps it in its page cache while there is room, and on',
    `disk otherwise (here: ${paging?.fileSystem ?? 'unknown'} in ${paging?.scratchDir ?? 'unknown'}).`,
  ]
}
