import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { runChild } from './helpers/child.js'
import { KIB, MIB } from './helpers/chunks.js'
import { newDirectory } from './helpers/places.js'

const TRIPS = 50
/** What the allocator, the collector and the other threads of the runtime make the kernel do as they like. */
const RUNTIME = ['brk', 'mmap', 'munmap', 'mremap', 'mprotect', 'madvise', 'futex', 'getpid', 'sched_yield', 'statx']

const canTrace = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
const testWithStrace = canTrace ? test : test.skip

/** A system call of the JavaScript thread. */
interface Call {
  readonly name: string
  readonly line: string
  readonly answer: string
}

/** The calls between the marks that round-trips.ts makes. */
function callsBetweenMarks(trace: string): Call[] {
  const lines = trace.split('\n')
  const [begin, end] = ['begin', 'end'].map(place => lines.findIndex(line => line.includes(`/no-such-file-${place}`)))
  const thread = lines[begin ?? -1]?.split(' ')[0]
  return lines.slice(begin, end).flatMap(line => {
    // A call that another thread's came in between of ends in a line of its own, which has the answer.
    const [, pid, name, rest, answer] = /^(\d+) +(?:<\.\.\. )?(\w+)(.*) = (\S+)/.exec(line) ?? []
    return pid === thread && name && rest && answer ? [{ name, line: rest, answer }] : []
  })
}

for (const byteLength of [4 * KIB, 64 * KIB, 2 * MIB]) {
  testWithStrace(`a warm round trip of ${byteLength / KIB} KiB makes no system call but the transfers`, async t => {
    const path = join(newDirectory(t), 'trace')
    await runChild('round-trips.ts', [byteLength, TRIPS], {}, `set -- strace -f -o '${path}' "$@"`)
    const calls = callsBetweenMarks(readFileSync(path, 'utf8'))
    const moved = (name: string) =>
      calls.filter(call => call.name === name && call.answer === String(byteLength)).length
    t.is(moved('pwrite64'), TRIPS)
    t.is(moved('pread64'), 2 * TRIPS, 'a read and a take')
    const offers = calls.filter(call => call.line.includes('MADV_FREE'))
    t.is(
      offers.length,
      byteLength < 64 * KIB ? 0 : TRIPS,
      'a buffer that is kept as a spare is offered to the kernel once',
    )
    // The memory limit is looked at again after 64 MiB; the files that tell it are short.
    const limit = (call: Call) => call.name === 'pread64' && Number(call.answer) < 4 * KIB
    const others = calls.filter(({ name }) => !['pwrite64', 'pread64', ...RUNTIME].includes(name))
    t.deepEqual(others, [])
    t.true(calls.filter(limit).length <= (8 * TRIPS * byteLength) / (64 * MIB) + 8)
  })
}
