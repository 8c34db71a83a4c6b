/** Maps of several threads within one budget. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { MemoryBudget } from 'pageout'
import { pattern, sameBytes } from './helpers/chunks.js'
import { BUDGET, newPromiseMap, PIECE } from './helpers/maps.js'
import { newDirectory } from './helpers/places.js'
import { until } from './helpers/until.js'

const PROGRAM = new URL('helpers/workers/maps.mjs', import.meta.url)

for (const isLeftOpen of [false, true]) {
  test(`threads use maps within one budget, and leave nothing${isLeftOpen ? ' when they are terminated' : ''}`, async t => {
    const budget = new MemoryBudget(BUDGET)
    const map = newPromiseMap(t, { residentBytes: budget })
    const workers = Array.from({ length: 2 }, () => {
      const workerData = { token: budget.token, scratchDir: newDirectory(t), rounds: 300, isLeftOpen }
      return new Worker(PROGRAM, { workerData, execArgv: [] })
    })
    const seen = Promise.all(workers.map(worker => once(worker, 'message')))
    const ended = Promise.all(workers.map(worker => once(worker, 'exit')))
    for (let round = 0; round < 100; round++) {
      const key = round % 20
      await map.set(key, pattern(PIECE, round))
      await map.borrow(key, value => sameBytes(t, value, pattern(PIECE, round)), { wait: true })
      t.true(budget.residentBytes <= BUDGET)
    }
    for (const [said] of await seen) t.deepEqual({ ...said, full: 0 }, { wrong: [], full: 0, isOver: false })
    if (isLeftOpen) for (const worker of workers) void worker.terminate()
    await ended
    await map.close()
    await until(
      t,
      () => budget.residentBytes === 0,
      () => budget.residentBytes,
    )
  })
}
