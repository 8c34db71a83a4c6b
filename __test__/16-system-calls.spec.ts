import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { runChild } from './helpers/child.js'
import { KIB, MIB } from './helpers/chunks.js'
import { newDirectory } from './helpers/places.js'
import { sealings } from './helpers/sealing.js'

const TRIPS = 50
const canTrace = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
const testWithStrace = canTrace ? test : test.skip

/** A system call of the JavaScript thread. */
interface Call {
  readonly name: string
  readonly line: string
  readonly answer: string
}

/** The calls between the marks that the program makes. */
function callsBetweenMarks(trace: string): Call[] {
  const lines = trace.split('\n')
  const [begin, end] = ['begin', 'end'].map(place => lines.findIndex(line => line.includes(`/no-such-file-${place}`)))
  const thread = lines[begin ?? -1]?.split(' ')[0]
  let begun = ''
  return lines.slice(begin, end).flatMap(line => {
    const [, pid, text = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    if (pid !== thread) return []
    // A call that another thread's came in between of stands in two lines.
    const [, first] = /^(.*)<unfinished \.\.\.>$/.exec(text) ?? []
    if (first !== undefined) begun = first
    const whole = text.replace(/^<\.\.\. \w+ resumed>/, () => begun)
    const [, name, rest, answer] = /^(\w+)(.*) = (\S+)/.exec(whole) ?? []
    return name && rest && answer ? [{ name, line: rest, answer }] : []
  })
}

/** The runtime may open files of its own. */
const changesFiles = ({ name, line }: Call) =>
  /^(unlink|fallocate|ftruncate|f?sync)/.test(name) || /O_TMPFILE|O_CREAT/.test(line)

/** The descriptor that a call is about, where its first argument is one. */
const fileOf = (call: Call) => /^\((\d+)/.exec(call.line)?.[1]

for (const byteLength of [4 * KIB, 64 * KIB, 2 * MIB]) {
  testWithStrace(`warm verbs make no system call for ${byteLength / KIB} KiB but the transfers`, async t => {
    const path = join(newDirectory(t), 'trace')
    await runChild('round-trips.ts', [byteLength, TRIPS], {}, `set -- strace -f -o '${path}' "$@"`)
    const calls = callsBetweenMarks(readFileSync(path, 'utf8'))
    const moved = (name: string) =>
      calls.filter(call => call.name === name && call.answer === String(byteLength)).length
    t.is(moved('pwrite64'), 2 * TRIPS, 'a pageout of an array and one of a copy')
    t.is(moved('pread64'), 3 * TRIPS, 'a read of a range, a take and a read of the whole; a release makes none')
    t.deepEqual(
      calls.filter(call => call.name === 'madvise' && call.line.includes('MADV_FREE')),
      [],
      'nothing is advised',
    )
    const write = calls.find(call => call.name === 'pwrite64')
    const ofFile = calls.filter(call => write && fileOf(call) === fileOf(write))
    t.is(ofFile.length, 5 * TRIPS, 'nothing but the transfers')
    t.deepEqual(calls.filter(changesFiles), [])
  })
}

for (const [sealing, options] of Object.entries(sealings)) {
  testWithStrace(`warm verbs make no system call but the transfers for what is ${sealing}`, async t => {
    const path = join(newDirectory(t), 'trace')
    const args = [64 * KIB, TRIPS, JSON.stringify(options)]
    await runChild('round-trips.ts', args, {}, `set -- strace -f -o '${path}' "$@"`)
    const calls = callsBetweenMarks(readFileSync(path, 'utf8'))
    const transfers = calls.filter(({ name }) => /^p(read|write)(64|v2?)$/.test(name))
    const counts = [/write/, /read/].map(kind => transfers.filter(({ name }) => kind.test(name)).length)
    t.deepEqual(counts, [2 * TRIPS, 3 * TRIPS], 'one for each payload that leaves, and for each that is read')
    const files = new Set(transfers.map(fileOf))
    t.is(calls.filter(call => files.has(fileOf(call))).length, 5 * TRIPS, 'nothing but the transfers')
    t.deepEqual(calls.filter(changesFiles), [])
    t.is(calls.filter(({ name }) => /^(getrandom|mlock)/.test(name)).length, 0, 'no key is drawn')
  })
}

testWithStrace(
  'a look at what is on disk makes no system call but the read, and what leaves for it unchanged makes none',
  async t => {
    const [byteLength, looks] = [64 * KIB, 400]
    const path = join(newDirectory(t), 'trace')
    const trace = `set -- strace -f -o '${path}' "$@"`
    const counts = await runChild<Record<string, number>>('replacements.ts', [byteLength, looks], {}, trace)
    const { residentHits = 0, residentMisses = 0, spareBytes = 0, ...left } = counts
    t.is(residentHits + residentMisses, looks)
    t.true(residentMisses > looks / 2, 'a budget for a quarter of them')
    t.deepEqual(left, {
      evictions: residentMisses,
      evictionsWithoutWrite: residentMisses,
      changedBorrows: 0,
      spareHits: residentMisses,
    })
    t.is(spareBytes, byteLength, 'what has left is what the next one comes into')
    const text = readFileSync(path, 'utf8')
    const calls = callsBetweenMarks(text)
    const count = (name: string) => calls.filter(call => call.name === name).length
    t.is(count('pread64'), residentMisses)
    t.is(count('pwrite64') + count('pwritev'), 0)
  },
)
