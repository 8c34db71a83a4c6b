// The same job twice, on plain typed arrays and through pageout: what it costs, and that the answers are the same.

import { fileURLToPath } from 'node:url'
import { buildIfMissing, installIn } from '../../scripts/prepare.mjs'
import { differences } from './compare.mjs'
import { parseOptions, USAGE, UsageError } from './options.mjs'
import { drawPicture } from './picture.mjs'
import { ProgressLines } from './progress.mjs'
import { report } from './report.mjs'
import { formatCount } from './units.mjs'
import { JobError, watchJob } from './watch.mjs'

/** @typedef {import('./options.mjs').Options} Options */

const SCRATCH_CODES = ['ERR_PAGEOUT_SCRATCH_DIR', 'ERR_PAGEOUT_RAM_BACKED']

/** @param {string[]} args */
async function main(args) {
  const options = parseOptions(args)
  if (options.help) return console.log(USAGE)
  buildIfMissing()
  installIn(fileURLToPath(new URL('.', import.meta.url)), 'installing the data set and its decoder')
  console.log(`\n${formatCount(options.rows)} flights: load, look up, aggregate, sort by delay, check\n`)
  const memory = await run('in memory', { store: 'memory', rows: options.rows })
  const pageout = await run('pageout', { store: 'pageout', rows: options.rows, scratchDir: options.scratchDir })
  const differing = differences(memory.result, pageout.result)
  console.log(`\n${report(memory, pageout, differing)}`)
  console.log(`\nresident memory over time: ${drawPicture(memory, pageout)}`)
  if (differing.length > 0) process.exitCode = 1
}

/**
 * @param {string} title
 * @param {import('./job.mjs').Job} job
 */
function run(title, job) {
  const lines = new ProgressLines(title, process.stdout)
  return watchJob(job, (message, rssBytes) => lines.show(message, rssBytes))
}

/** @param {Error} error */
function fail(error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${USAGE}`)
    process.exitCode = 2
    return
  }
  console.error(`\nThe demo failed: ${error.message}`)
  if (error instanceof JobError && SCRATCH_CODES.includes(error.code ?? '')) {
    console.error('Choose another directory with --scratch DIR.')
  }
  process.exitCode = 1
}

await main(process.argv.slice(2)).catch(fail)
