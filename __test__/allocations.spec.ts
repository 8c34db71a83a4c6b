import test from 'ava'
import { runChild } from './helpers/child.js'

/** Bytes that one call of 64 bytes allocates in the JavaScript heap, its result included, by major version of Node. */
const BYTES: Readonly<Record<string, readonly [node20: number, node22: number, node24: number, node26: number]>> = {
  pageout: [1146, 1171, 1189, 1261],
  readAt: [737, 739, 765, 765],
  read: [721, 723, 749, 749],
  take: [609, 611, 637, 637],
  release: [41, 43, 45, 45],
  'pageout, promised': [4090, 3732, 3782, 3549],
  'readAt, promised': [3547, 3548, 3622, 3261],
  'take, promised': [4138, 4140, 4206, 3925],
}
const MAJORS = ['20', '22', '24', '26']
const GROWTH_MAX = 1.05

const [major = ''] = process.versions.node.split('.')
const testWhereRecorded = MAJORS.includes(major) ? test : test.skip

/**
 * Nothing is collected while bytes are counted, and nothing is compiled: what the compiler leaves out depends on when it comes. So every
 * object counts, and the numbers are the same in every run.
 */
const FLAGS = '--min-semi-space-size=64 --max-semi-space-size=64 --no-opt --no-maglev'

testWhereRecorded(`a call of each verb allocates no more than is recorded for Node ${major}`, async t => {
  const flagged = `node=$1 && shift && set -- "$node" ${FLAGS} "$@"`
  const measured = await runChild<Record<string, number>>('allocations.ts', [], {}, flagged)
  t.log(JSON.stringify(measured))
  t.deepEqual(Object.keys(measured), Object.keys(BYTES))
  for (const [verb, recorded] of Object.entries(BYTES)) {
    const [bytes, expected] = [measured[verb] ?? Number.NaN, recorded[MAJORS.indexOf(major)] ?? Number.NaN]
    t.true(bytes <= expected * GROWTH_MAX, `${verb}: ${bytes} bytes where ${expected} are recorded`)
    if (bytes < expected / GROWTH_MAX) t.log(`${verb}: record ${bytes} bytes, which were ${expected}`)
  }
})
