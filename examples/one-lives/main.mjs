// One dies, one lives: the same job on gigabytes of columns, with little memory. Once the columns are in a Map, once in a
// PagedMap, and once they are not kept at all, which is what the answers are checked against.
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildIfMissing, installIn, ROOT } from '../../scripts/prepare.mjs'
import { failWith } from '../shared/failure.mjs'
import { ProgressLines } from '../shared/progress.mjs'
import { formatCount, formatGib, formatMib, MIB, nowMs } from '../shared/units.mjs'
import { peakRssBytes, watchJob } from '../shared/watch.mjs'
import { bestLimit, deathOf, LIMIT_NAMES, openLimit } from './limits.mjs'
import { drawPicture } from './picture.mjs'
import { report } from './report.mjs'
import { isSourceReady, prepareSource, totalBytes } from './source.mjs'

/** @typedef {import('./job.mjs').Job} Job */
/** @typedef {import('./job.mjs').Result} Result */
/** @typedef {import('./limits.mjs').LimitName} LimitName */
/** @typedef {import('../shared/watch.mjs').Recording & { isDeath: boolean }} Run */
/** @typedef {{ map: Run, pagedMap: Run, stream: Run }} Runs */

/**
 * @typedef {object} Sizes
 * @property {number} limitBytes
 * @property {number} residentBytes of the PagedMap
 * @property {number} tenants
 * @property {number} requestsEach
 */

const FULL = { limitBytes: 512 * MIB, residentBytes: 256 * MIB, tenants: 72, requestsEach: 8 }
const QUICK = { limitBytes: 256 * MIB, residentBytes: 64 * MIB, tenants: 18, requestsEach: 4 }
const FLIGHTS_FOLDER = fileURLToPath(new URL('../flights/', import.meta.url))
const JOB_PATH = fileURLToPath(new URL('job.mjs', import.meta.url))
const OUT_FOLDER = fileURLToPath(new URL('out/', import.meta.url))
const PICTURES_FOLDER = `${ROOT}docs/pictures/`
const USAGE = `Usage: npm run demo -- [--quick] [--write-pictures] [--limit-by WAY] [--scratch DIR]

  --quick           a quarter of the data in less memory, for tests
  --write-pictures  renew the pictures in docs/pictures (default: examples/one-lives/out)
  --limit-by WAY    ${LIMIT_NAMES.join(', ')} (default: the first of them that can be had here)
  --scratch DIR     where pageout keeps its unnamed files (default: its own choice)
  --help            print this text`

/** @param {string[]} args */
async function main(args) {
  const options = optionsOf(args)
  if (options.help) return console.log(USAGE)
  const { scratch: scratchDir } = options
  const sizes = options.quick ? QUICK : FULL
  const startMs = nowMs()
  await prepare()
  const limitName = options['limit-by'] ?? bestLimit(sizes.limitBytes)
  introduce(sizes, limitName)
  const run = (/** @type {import('./job.mjs').Keeper} */ keeper) => runJob(keeper, sizes, limitName, scratchDir)
  const runs = { map: await run('Map'), pagedMap: await run('PagedMap'), stream: await run('stream') }
  const problems = problemsOf(runs)
  console.log(`\n${report(runs, sizes, limitName)}\n`)
  console.log(problems.length > 0 ? ['WRONG:', ...problems].join('\n  ') : verdict(runs.stream.result))
  const folder = options['write-pictures'] ? PICTURES_FOLDER : OUT_FOLDER
  mkdirSync(folder, { recursive: true })
  for (const theme of /** @type {const} */ (['light', 'dark'])) {
    const path = `${folder}one-dies-one-lives-${theme}.svg`
    writeFileSync(path, drawPicture(runs, sizes, limitName, theme))
    console.log(`memory over time: ${path}`)
  }
  console.log(`all of it took ${((nowMs() - startMs) / 1000).toFixed(0)} s`)
  if (problems.length > 0) process.exitCode = 1
}

/** @param {string[]} args */
function optionsOf(args) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      'write-pictures': { type: 'boolean', default: false },
      'limit-by': { type: 'string' },
      scratch: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const limitName = /** @type {LimitName | undefined} */ (values['limit-by'])
  if (limitName !== undefined && !LIMIT_NAMES.includes(limitName)) {
    throw new RangeError(`--limit-by: one of ${LIMIT_NAMES.join(', ')} is needed, received "${limitName}"`)
  }
  return { ...values, 'limit-by': limitName }
}

/** What a fresh clone lacks. */
async function prepare() {
  buildIfMissing()
  installIn(FLIGHTS_FOLDER, 'installing the data set and its decoder')
  if (isSourceReady()) return
  const lines = new ProgressLines('data set', process.stdout)
  const show = (/** @type {import('../shared/phases.mjs').Message} */ message) =>
    lines.show(message, process.memoryUsage.rss())
  show({ type: 'start', phase: 'decode', timeMs: nowMs() })
  await prepareSource((done, total) => show({ type: 'progress', phase: 'decode', fraction: done / total }))
  show({ type: 'end', phase: 'decode', timeMs: nowMs() })
}

/**
 * @param {Sizes} sizes
 * @param {LimitName} limitName
 */
function introduce({ limitBytes, tenants, residentBytes }, limitName) {
  const limit = openLimit(limitName, limitBytes)
  limit.close()
  console.log(
    [
      '',
      `${formatGib(totalBytes(tenants))} of columns: three million flights, as ${tenants} tenants would have them`,
      `Each process has ${limit.about}`,
      `The PagedMap has residentBytes: ${formatMib(residentBytes)}`,
      '',
    ].join('\n'),
  )
}

/**
 * @param {import('./job.mjs').Keeper} keeper
 * @param {Sizes} sizes
 * @param {LimitName} limitName
 * @param {string | undefined} scratchDir
 */
async function runJob(keeper, { limitBytes, tenants, residentBytes, requestsEach }, limitName, scratchDir) {
  const limit = openLimit(limitName, limitBytes)
  const lines = new ProgressLines(keeper, process.stdout)
  const job = /** @type {Job} */ ({ keeper, tenants, requestsEach, residentBytes, scratchDir })
  try {
    // A Node that ends itself for lack of memory prints its stack, which says nothing here.
    const stderr = limitName === 'data' && keeper === 'Map' ? 'ignore' : 'inherit'
    const listener = (/** @type {import('../shared/phases.mjs').Message} */ message, /** @type {number} */ rssBytes) =>
      lines.show(message, rssBytes)
    const recording = await watchJob(JOB_PATH, job, listener, { limit, stderr })
    const isDeath = recording.result === undefined && limit.isDeath(recording)
    if (isDeath) lines.line('serve', peakRssBytes(recording), `   ${deathOf(limitName, recording.status)}`)
    return { ...recording, isDeath }
  } finally {
    limit.close()
  }
}

/**
 * What is not as it has to be.
 * @param {Runs} runs
 */
function problemsOf({ map, pagedMap, stream }) {
  const problems = []
  if (!map.isDeath) problems.push(`the process with a Map was not ended by the limit (${map.status})`)
  if (!pagedMap.result) problems.push(`the process with a PagedMap did not finish (${pagedMap.status})`)
  if (!stream.result) problems.push(`the process that keeps nothing did not finish (${stream.status})`)
  if (pagedMap.result && stream.result) problems.push(...differences(pagedMap.result, stream.result))
  return problems
}

/**
 * @param {Result} a
 * @param {Result} b
 */
function differences(a, b) {
  const differing = a.answers.findIndex((answer, request) => !Object.is(answer, b.answers[request]))
  return [
    ...(a.answers.length === b.answers.length ? [] : [`${a.answers.length} and ${b.answers.length} answers`]),
    ...(differing === -1 ? [] : [`answer ${differing}: ${a.answers[differing]} and ${b.answers[differing]}`]),
    ...(a.digest === b.digest ? [] : ['the SHA-256 of all columns']),
  ]
}

/** @param {Result} result */
function verdict({ answers, digest }) {
  return [
    `identical in PagedMap and stream: ${formatCount(answers.length)} answers,`,
    `and the SHA-256 of all columns with their changes, ${digest.slice(0, 16)}...`,
  ].join('\n')
}

await main(process.argv.slice(2)).catch(error => failWith(error, USAGE))
