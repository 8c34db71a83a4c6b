/** A worker that is started with an `env` of its own: its pagers go by that, and not by the environment of the process. */

import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { Pager } from 'pageout'
import { runChild } from './helpers/child.js'
import { MIB } from './helpers/chunks.js'
import { newDirectory } from './helpers/places.js'

interface Place {
  readonly scratchDir: string | null
  readonly capacityBytes: number
  readonly code?: string
}

async function ownPlace(env: NodeJS.ProcessEnv): Promise<Place> {
  const program = new URL('helpers/workers/places.mjs', import.meta.url)
  const worker = new Worker(program, { workerData: { kinds: ['own'] }, env, execArgv: [] })
  const [{ own }] = (await once(worker, 'message')) as [{ own: Place }]
  await worker.terminate()
  return own
}

test.serial('a pager of a worker goes by the environment of the worker', async t => {
  const [scratch, temporary] = [newDirectory(t), newDirectory(t)]
  const ofProcess = new Pager()
  ofProcess.pageout(new Uint8Array(10))
  const { scratchDir: usual, capacityBytes } = ofProcess.stats()
  ofProcess.close()
  t.not(usual, temporary)

  const both = await ownPlace({ PAGEOUT_SCRATCH_DIR: scratch, TMPDIR: temporary, PAGEOUT_CAPACITY_BYTES: `${MIB}` })
  t.deepEqual(both, { scratchDir: scratch, capacityBytes: MIB, code: 'ERR_PAGEOUT_CAPACITY' })
  const one = await ownPlace({ TMPDIR: temporary })
  t.is(one.scratchDir, temporary)
  t.true(one.capacityBytes > capacityBytes / 2, 'without a capacity of its own it has the usual one')
  t.is(one.code, undefined)
  t.is((await ownPlace({ TMPDIR: temporary, PAGEOUT_SCRATCH_DIR: '' })).scratchDir, temporary)
  t.is(
    (await ownPlace({ ...process.env })).scratchDir,
    usual,
    'a copy of the environment is as good as the environment',
  )

  const later = new Pager()
  later.pageout(new Uint8Array(10))
  t.is(later.stats().scratchDir, usual, 'and this thread goes by its own')
  later.close()
})

test.serial('the environment of a worker that changes while it runs does not change that of others', async t => {
  const directory = newDirectory(t)
  const script = `
    const { parentPort } = require('node:worker_threads')
    const { Pager } = require('pageout')
    process.env.PAGEOUT_SCRATCH_DIR = ${JSON.stringify(directory)}
    const pager = new Pager()
    pager.pageout(new Uint8Array(10))
    parentPort.postMessage(pager.stats().scratchDir)`
  const worker = new Worker(script, { eval: true, env: {}, execArgv: [] })
  t.teardown(() => worker.terminate())
  t.deepEqual(await once(worker, 'message'), [directory])
  const pager = new Pager()
  pager.pageout(new Uint8Array(10))
  t.not(pager.stats().scratchDir, directory)
  pager.close()
})

interface First {
  readonly before: string | null
  readonly processWide: Place & { readonly bytes: number[] }
  readonly own: Place
  readonly after: Place
}

for (const [what, wanted] of [
  ['PAGEOUT_SCRATCH_DIR', 'scratch'],
  ['TMPDIR', 'temporary'],
] as const) {
  test.serial(`the process-wide pager goes by ${what} of the worker that is its first user`, async t => {
    const root = newDirectory(t)
    const [scratch, temporary] = [join(root, 'scratch'), join(root, 'temporary')]
    for (const directory of [scratch, temporary]) mkdirSync(directory)
    const env = {
      TMPDIR: temporary,
      PAGEOUT_CAPACITY_BYTES: String(MIB),
      ...(wanted === 'scratch' && { PAGEOUT_SCRATCH_DIR: scratch }),
    }
    const { before, processWide, own, after } = await runChild<First>('worker-first.ts', [JSON.stringify(env)])
    const directory = wanted === 'scratch' ? scratch : temporary
    t.is(before, null)
    t.deepEqual(processWide, { scratchDir: directory, capacityBytes: MIB, bytes: [1, 2] })
    t.deepEqual([own.scratchDir, own.capacityBytes], [directory, MIB])
    t.deepEqual(after, { scratchDir: directory, capacityBytes: MIB }, 'in all threads, since there is one')
  })
}
