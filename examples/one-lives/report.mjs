// The table at the end.
import { textTable } from '../shared/text-table.mjs'
import { formatCount, formatGib, formatMib, formatSeconds } from '../shared/units.mjs'
import { peakRssBytes } from '../shared/watch.mjs'
import { deathOf } from './limits.mjs'
import { totalBytes } from './source.mjs'

/** @typedef {import('./main.mjs').Run} Run */
/** @typedef {import('./main.mjs').Runs} Runs */
/** @typedef {import('./main.mjs').Sizes} Sizes */
/** @typedef {import('./limits.mjs').LimitName} LimitName */

const NONE = '-'

/**
 * @param {Runs} runs
 * @param {Sizes} sizes
 * @param {LimitName} limitName
 */
export function report({ map, pagedMap, stream }, { tenants }, limitName) {
  const runs = [map, pagedMap, stream]
  const row = (/** @type {string} */ label, /** @type {(run: Run) => string} */ cell) => [label, ...runs.map(cell)]
  const kept = [map, pagedMap].map(run =>
    formatGib(run.result ? totalBytes(tenants) : run.fraction * totalBytes(tenants)),
  )
  return textTable(
    ['Map', 'PagedMap', 'stream'],
    [
      row('end', run => (run.result ? 'finished' : deathOf(limitName, run.status))),
      ['columns kept at most', ...kept, NONE],
      row('time', ({ endMs }) => formatSeconds(endMs)),
      row('RSS at most', run => formatMib(peakRssBytes(run))),
      row('paged out', ({ result }) => statistic(result, stats => formatGib(stats.payloadBytes - stats.residentBytes))),
      row('hit ratio', ({ result }) => statistic(result, hitRatio)),
      row('requests', ({ result }) => (result ? formatCount(result.answers.length) : NONE)),
      row('longest call', ({ result }) => (result ? longestCall(result.longestMs) : NONE)),
    ],
  )
}

/**
 * @param {import('./job.mjs').Result | undefined} result
 * @param {(stats: import('../../dist/index.js').PagerStats) => string} format
 */
function statistic(result, format) {
  return result?.stats ? format(result.stats) : NONE
}

/** @param {import('../../dist/index.js').PagerStats} stats */
function hitRatio({ residentHits, residentMisses }) {
  return `${((100 * residentHits) / (residentHits + residentMisses)).toFixed(1)} %`
}

/** @param {Record<string, number>} longestMs */
function longestCall(longestMs) {
  const [name, ms] = Object.entries(longestMs).reduce((longest, entry) => (entry[1] > longest[1] ? entry : longest))
  return `${ms.toFixed(0)} ms (${name})`
}
