/** Threads and processes that end while promise calls are pending. */

import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { pageout, stats, take } from 'pageout'
import { type End, endOf, output } from './helpers/child.js'
import { pattern, sameBytes } from './helpers/chunks.js'
import { hasProc, newDirectory } from './helpers/places.js'

/** The kinds of calls of helpers/in-flight.mjs. */
const kinds = ['pageout', 'swap', 'readAt', 'readAtMany', 'take', 'abort']
const TERMINATED_THREADS = 30

const pathOf = (program: string) => fileURLToPath(new URL(`helpers/${program}`, import.meta.url))

// With many threads in the pool all calls are at work; with the usual few, most of them wait for their turn.
for (const poolThreads of ['4', '128']) {
  test(`threads that are terminated with 64 calls in flight leave nothing behind (pool of ${poolThreads})`, async t => {
    const env = { ...process.env, UV_THREADPOOL_SIZE: poolThreads }
    const program = [pathOf('children/terminate.mjs'), String(TERMINATED_THREADS)]
    const printed = await output(process.execPath, program, { env })
    t.deepEqual(JSON.parse(printed), { handles: 0, usedBytes: 0, isIntact: true })
  })
}

for (const kind of kinds) {
  test(`a process that exits with 64 calls in flight exits as it says (${kind})`, async t => {
    for (const how of ['now', 'later']) {
      const { end, printed, complaints } = await endInFlight(t, kind, how)
      t.deepEqual([end, printed, complaints], [7, '', ''], how)
    }
  })

  test(`an exception that nobody catches is all that is told of 64 calls in flight (${kind})`, async t => {
    const { end, printed, complaints } = await endInFlight(t, kind, 'throw')
    t.deepEqual([end, printed], [1, ''])
    t.regex(complaints, /^file:.*\n.*throw new Error.*\n *\^\n\nError: not caught\n(?: {4}at .*\n)+\nNode\.js v.*\n$/)
  })
}

for (const [how, code] of [
  ['throw', 1],
  ['exit', 7],
] as const) {
  test.serial(`a thread that ends by ${how} with 64 calls in flight leaves nothing behind`, async t => {
    const mine = pageout(pattern(10_000))
    const before = stats()
    for (const kind of kinds) {
      const worker = new Worker(pathOf('workers/in-flight.mjs'), { workerData: { kind, how }, execArgv: [] })
      const failures: string[] = []
      worker.on('error', error => failures.push((error as Error).message))
      t.is(await new Promise(resolve => worker.once('exit', resolve)), code, kind)
      t.deepEqual(failures, how === 'throw' ? ['not caught'] : [])
      const after = stats()
      t.deepEqual([after.handles, after.usedBytes], [before.handles, before.usedBytes], kind)
    }
    sameBytes(t, take(mine), pattern(10_000))
  })
}

test('a thread that was terminated no longer counts among those that share the pool', async t => {
  const printed = await output(process.execPath, [pathOf('children/lanes.mjs')])
  t.deepEqual(JSON.parse(printed), { before: 0, meanwhile: 1, after: 0 })
})

const testWithProc = hasProc ? test : test.skip

testWithProc(
  'a thread that loaded the package ends, and what it left to the background goes on to its end',
  async t => {
    const entry = new URL('../dist/index.js', import.meta.url).href
    const env: NodeJS.ProcessEnv = { ...process.env, PAGEOUT_SCRATCH_DIR: newDirectory(t) }
    const program = [pathOf('children/outlive.mjs'), entry, newDirectory(t)]
    const { end, printed, complaints } = await endOf(process.execPath, program, { env })
    t.deepEqual([end, complaints], [0, ''])
    const went = { code: 0, wasIdle: true, isLoaded: true, forked: 0, isOver: true, isGivenBack: true, sum: 3 }
    t.deepEqual(JSON.parse(printed), went)
  },
)

/** Ends a process with all its calls at work. */
async function endInFlight(t: ExecutionContext, kind: string, how: string): Promise<End> {
  const scratchDir = newDirectory(t)
  const env = { ...process.env, UV_THREADPOOL_SIZE: '128' }
  const ended = await endOf(process.execPath, [pathOf('children/ends-in-flight.mjs'), scratchDir, kind, how], { env })
  t.deepEqual(readdirSync(scratchDir), [])
  return ended
}
