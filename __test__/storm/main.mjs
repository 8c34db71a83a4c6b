/**
 * A storm: random interleavings of all that can be done with pagers, whose every outcome is checked.
 *
 * npm run storm -- [--interleavings N] [--seed N] [--from N] [--seconds N]
 *
 * `--seed` makes the choices of an earlier storm again, and `--from` begins with one of its interleavings.
 */

import { parseArgs } from 'node:util'
import { buildIfMissing } from '../../scripts/prepare.mjs'

buildIfMissing()
const { campaign, Tally } = await import('./campaign.mjs')
const { Watch } = await import('./watch.mjs')
const { stats } = await import('pageout')

const PROGRESS_EVERY_MS = 10_000

const number = { type: 'string' }
const { values } = parseArgs({ options: { interleavings: number, seed: number, from: number, seconds: number } })
const given = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, wholeNumber(name, value)]))
const plan = { seed: Math.floor(Math.random() * 2 ** 32), interleavings: 100_000, ...given }
const tally = new Tally()

function wholeNumber(name, value) {
  if (!/^\d+$/.test(value)) throw new Error(`--${name} is a whole number`)
  return Number(value)
}

let toldAt = Date.now()
function tell({ interleavings, terminated }) {
  if (Date.now() - toldAt < PROGRESS_EVERY_MS) return
  toldAt = Date.now()
  console.log(`${interleavings} interleavings, ${terminated} threads terminated`)
}

function report() {
  const total = counts => Object.values(counts).reduce((sum, count) => sum + count, 0)
  for (const [group, counts] of Object.entries(tally.counts).sort()) {
    const parts = Object.entries(counts).sort(([, a], [, b]) => b - a)
    console.log(`${group}: ${total(counts)} (${parts.map(([name, count]) => `${name} ${count}`).join(', ')})`)
  }
}

process.on('unhandledRejection', error => {
  console.error(`a rejection that nobody handled, seed ${plan.seed}:`, error)
  process.exit(1)
})
console.log(`node ${process.version}, seed ${plan.seed}`)
const beganAt = Date.now()
const watch = new Watch()
try {
  await campaign(plan, tally, { watch, tell })
  await watch.stop()
  report()
  const seconds = ((Date.now() - beganAt) / 1000).toFixed(1)
  const { user, system } = process.cpuUsage()
  const used = `${((user + system) / 1e6).toFixed(1)} s of processors`
  const threads = `${tally.terminated} threads terminated, ${stats().movingHandles} of them between move() and adopt()`
  console.log(
    `${tally.interleavings} interleavings, ${threads}, seed ${plan.seed}: all well after ${seconds} s, ${used}`,
  )
} catch (error) {
  console.error(error)
  // The threads beside the storm would go on.
  process.exit(1)
}
