// The same job twice, on plain typed arrays and through pageout within 8 MiB: the answers must be the same.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildIfMissing, installIn } from '../../scripts/prepare.mjs'
import { failWith } from '../shared/failure.mjs'
import { ProgressLines } from '../shared/progress.mjs'
import { textTable } from '../shared/text-table.mjs'
import { formatCount, formatMib, formatSeconds } from '../shared/units.mjs'
import { peakRssBytes, resultOf, watchJob } from '../shared/watch.mjs'
import { MAX_ROWS, ROW_BYTES } from './schema.mjs'

/** @typedef {import('./job.mjs').Job} Job */
/** @typedef {import('./job.mjs').Result} Result */
/** @typedef {import('../shared/watch.mjs').Recording} Recording */

const MIN_ROWS = 1_000
const JOB_PATH = fileURLToPath(new URL('job.mjs', import.meta.url))
const USAGE = `Usage: npm run demo:flights -- [--rows N] [--scratch DIR]

  --rows N       use the first N rows (${MIN_ROWS} to ${MAX_ROWS}; default: all of them)
  --scratch DIR  where pageout keeps its unnamed files (default: its own choice)
  --help         print this text`

/**
 * The same for both jobs: a small JavaScript heap. Without it the garbage of the Parquet decoder, which is the same in
 * both, makes up most of what can be seen, and a different part of it in each run.
 */
const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=32']

/** @param {string[]} args */
async function main(args) {
  const { rows, scratch: scratchDir, help } = optionsOf(args)
  if (help) return console.log(USAGE)
  buildIfMissing()
  installIn(fileURLToPath(new URL('.', import.meta.url)), 'installing the data set and its decoder')
  console.log(`\n${formatCount(rows)} flights: load, ask, sort by delay, check\n`)
  const memory = await run('in memory', { isPaged: false, rows })
  const pageout = await run('pageout', { isPaged: true, rows, scratchDir })
  console.log(`\n${table(rows, [memory, pageout])}`)
  const differing = differences(resultOf(memory), resultOf(pageout))
  console.log(`\n${differing.length > 0 ? ['DIFFERENT:', ...differing].join('\n  ') : verdict(rows, resultOf(memory))}`)
  if (differing.length > 0) process.exitCode = 1
}

/** @param {string[]} args */
function optionsOf(args) {
  const { values } = parseArgs({
    args,
    options: {
      rows: { type: 'string', default: String(MAX_ROWS) },
      scratch: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const rows = Number(values.rows)
  if (!/^\d+$/.test(values.rows) || rows < MIN_ROWS || rows > MAX_ROWS) {
    throw new RangeError(`--rows: a whole number from ${MIN_ROWS} to ${MAX_ROWS} is needed, received "${values.rows}"`)
  }
  return { ...values, rows }
}

/**
 * @param {string} title
 * @param {Job} job
 */
function run(title, job) {
  const lines = new ProgressLines(title, process.stdout)
  return watchJob(JOB_PATH, job, (message, rssBytes) => lines.show(message, rssBytes), { nodeFlags: NODE_FLAGS })
}

/**
 * What is not the same in two results, in words; empty when all is identical.
 * @param {Result} a
 * @param {Result} b
 * @returns {string[]}
 */
function differences(a, b) {
  return [
    ...Object.keys(a.digests)
      .filter(name => a.digests[name] !== b.digests[name])
      .map(name => `sorted column ${name}`),
    ...Object.keys(a.answers).flatMap(name => answerDifference(name, a.answers[name], b.answers[name])),
  ]
}

/**
 * @param {string} name
 * @param {Float64Array} a
 * @param {Float64Array} b
 */
function answerDifference(name, a, b) {
  if (a.length !== b.length) return [`answer ${name}: ${a.length} and ${b.length} values`]
  const index = a.findIndex((value, place) => !Object.is(value, b[place]))
  return index === -1 ? [] : [`answer ${name}[${index}]: ${a[index]} and ${b[index]}`]
}

/**
 * @param {number} rows
 * @param {Result} result of either job
 */
function verdict(rows, { airports, answers }) {
  const count = Object.values(answers).reduce((sum, { length }) => sum + length, 0)
  const flights = answers.origins.subarray(0, airports.length)
  const busiest = flights.indexOf(Math.max(...flights))
  const median = answers.percentiles[answers.percentiles.length >> 1]
  return [
    `identical: ${formatCount(count)} answers and the SHA-256 of all ${formatCount(rows)} sorted rows`,
    `  busiest airport ${airports[busiest]} (${formatCount(flights[busiest])} departures), ` +
      `median delay ${median} minutes, longest ${formatCount(answers.percentiles.at(-1) ?? NaN)}`,
  ].join('\n')
}

/**
 * @param {number} rows
 * @param {Recording[]} recordings
 */
function table(rows, recordings) {
  const results = recordings.map(resultOf)
  const phases = recordings[0].spans.map(({ phase }, index) => [
    `time: ${phase}`,
    ...recordings.map(({ spans }) => formatSeconds(spans[index].endMs - spans[index].startMs)),
  ])
  return textTable(
    ['in memory', 'pageout'],
    [
      ['table', ...recordings.map(() => formatMib(rows * ROW_BYTES))],
      ['row data held at most', ...results.map(({ heldPeakBytes }) => formatMib(heldPeakBytes))],
      ['paged out, all together', ...results.map(({ stats }) => (stats ? formatMib(stats.pageoutBytes) : '-'))],
      ...phases,
      ['RSS at most', ...recordings.map(recording => formatMib(peakRssBytes(recording)))],
    ],
  )
}

await main(process.argv.slice(2)).catch(error => failWith(error, USAGE))
