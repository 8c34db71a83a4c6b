// Round trip (out and back) by size: pageout beside a temp file per payload, a hand-kept open file, and plain memory.
// All candidates take turns within each round, so that a machine that changes its pace changes it for all of them.
import { writeFileSync } from 'node:fs'
import { buildIfMissing } from '../scripts/prepare.mjs'
import { machine } from './machine.mjs'
import { candidates } from './rivals.mjs'

const KIB = 1024
const SIZES = [4 * KIB, 64 * KIB, 1024 * KIB, 2048 * KIB, 16 * 1024 * KIB]
/** What the ratios are against. */
const REFERENCE = 'a temp file per payload'

/** @typedef {{ name: string, minUs: number, medianUs: number, maxUs: number, ratio: number }} Row */

function options() {
  const args = process.argv.slice(2)
  const quick = args.includes('--quick')
  const jsonAt = args.indexOf('--json')
  const json = jsonAt < 0 ? undefined : args[jsonAt + 1]
  const known = args.filter((arg, at) => arg === '--quick' || (jsonAt >= 0 && (at === jsonAt || at === jsonAt + 1)))
  if (known.length !== args.length || (jsonAt >= 0 && !json)) {
    console.error('usage: npm run bench -- [--quick] [--json FILE]')
    process.exit(2)
  }
  return { json, rounds: quick ? 7 : 15, roundBytes: (quick ? 16 : 64) * 2 ** 20, tripsMax: quick ? 400 : 2000 }
}

/**
 * @param {import('./rivals.mjs').Candidate} candidate
 * @param {number} byteLength
 * @param {number} trips
 */
function microsecondsATrip(candidate, byteLength, trips) {
  let bytes = pattern(byteLength)
  const start = process.hrtime.bigint()
  for (let trip = 0; trip < trips; trip++) bytes = candidate.trip(bytes)
  const elapsed = Number(process.hrtime.bigint() - start) / 1000 / trips
  if (!isPattern(bytes, byteLength)) throw new Error(`${candidate.name} did not give the bytes back`)
  return elapsed
}

/** @param {number} byteLength */
function pattern(byteLength) {
  const bytes = new Uint8Array(byteLength)
  for (let at = 0; at < byteLength; at += 509) bytes[at] = at
  return bytes
}

/**
 * @param {Uint8Array} bytes
 * @param {number} byteLength
 */
function isPattern(bytes, byteLength) {
  if (bytes.byteLength !== byteLength) return false
  for (let at = 0; at < byteLength; at += 509) if (bytes[at] !== (at & 255)) return false
  return true
}

/**
 * @param {number} byteLength
 * @param {ReturnType<typeof options>} settings
 * @returns {Row[]}
 */
function measure(byteLength, { rounds, roundBytes, tripsMax }) {
  const trips = Math.max(4, Math.min(tripsMax, Math.floor(roundBytes / byteLength)))
  const all = candidates(byteLength)
  const times = all.map(() => /** @type {number[]} */ ([]))
  try {
    for (const candidate of all) microsecondsATrip(candidate, byteLength, trips)
    for (let round = 0; round < rounds; round++) {
      for (const [index, candidate] of all.entries()) times[index].push(microsecondsATrip(candidate, byteLength, trips))
    }
  } finally {
    for (const candidate of all) candidate.close()
  }
  const sorted = times.map(list => list.sort((a, b) => a - b))
  const median = (/** @type {number[]} */ list) => list[list.length >> 1]
  const reference = median(sorted[all.findIndex(candidate => candidate.name === REFERENCE)])
  return all.map(({ name }, index) => {
    const [minUs, medianUs, maxUs] = [sorted[index][0], median(sorted[index]), sorted[index].at(-1) ?? 0]
    return { name, minUs, medianUs, maxUs, ratio: reference / medianUs }
  })
}

/** @param {number} byteLength */
function sizeName(byteLength) {
  return byteLength < 2 ** 20 ? `${byteLength / KIB} KiB` : `${byteLength / 2 ** 20} MiB`
}

/** @param {number} us */
function fixed(us) {
  return us.toFixed(us < 100 ? 1 : 0).padStart(9)
}

buildIfMissing()
const settings = options()
const about = machine()
console.log(
  Object.entries(about)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n'),
)
console.log(`\nround trip in microseconds, ${settings.rounds} rounds; ratio: how many times faster than ${REFERENCE}`)
const results = []
for (const byteLength of SIZES) {
  console.log(`\n${sizeName(byteLength).padEnd(34)}      min   median      max    ratio`)
  const rows = measure(byteLength, settings)
  for (const { name, minUs, medianUs, maxUs, ratio } of rows) {
    console.log(`  ${name.padEnd(30)}${fixed(minUs)}${fixed(medianUs)}${fixed(maxUs)}${ratio.toFixed(1).padStart(8)}x`)
  }
  results.push({ byteLength, rows })
}
if (settings.json) writeFileSync(settings.json, `${JSON.stringify({ machine: about, results }, null, 2)}\n`)
