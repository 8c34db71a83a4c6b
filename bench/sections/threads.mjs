// Worker threads that all do round trips at the same time.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { setScratchDir } from '../../dist/index.js'
import { KIB } from '../payloads.mjs'
import { FILE_PER_PAYLOAD, OPEN_FILE, OPEN_FILE_FREED, PAGEOUT } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

const PAYLOAD_BYTES = 64 * KIB
const CANDIDATES = [PAGEOUT, FILE_PER_PAYLOAD, OPEN_FILE_FREED, OPEN_FILE]
const WORKER = new URL('threads-worker.mjs', import.meta.url)

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  setScratchDir(bench.folder)
  /** @type {Row[]} */
  const rows = []
  for (const threads of [1, 2]) {
    bench.say(`threads: ${threads}`)
    rows.push(await measureThreads(bench, threads))
  }
  return [
    {
      id: 'threads',
      title: 'Worker threads, round trips of 64 KiB',
      note: 'Round trips of all threads together. The threads share the one pager behind the functions of pageout; of the rivals each thread has its own.',
      unit: 'ops/s',
      better: 'more',
      subject: PAGEOUT,
      references: [FILE_PER_PAYLOAD, OPEN_FILE_FREED],
      plot: 'bars',
      rows,
    },
  ]
}

/**
 * @param {Bench} bench
 * @param {number} threads
 */
async function measureThreads({ quick, rounds, folder }, threads) {
  const teams = CANDIDATES.map(name => new Team(name, folder, threads))
  try {
    const results = await inTurns(teams, rounds, team => team.tripsPerSecond(quick ? 5_000 : 10_000))
    return row(threads === 1 ? '1 thread' : `${threads} threads`, results, perSecond => perSecond)
  } finally {
    for (const team of teams) await team.stop()
  }
}

/** The threads of one candidate. */
class Team {
  /**
   * @param {string} name
   * @param {string} folder
   * @param {number} threads
   */
  constructor(name, folder, threads) {
    this.name = name
    const workerData = { name, folder, payloadBytes: PAYLOAD_BYTES }
    this.workers = Array.from({ length: threads }, () => new Worker(WORKER, { workerData }))
  }

  /** @param {number} trips of each thread */
  async tripsPerSecond(trips) {
    const start = performance.now()
    await Promise.all(this.workers.map(worker => finished(worker, trips)))
    return (trips * this.workers.length * 1000) / (performance.now() - start)
  }

  async stop() {
    await Promise.all(this.workers.map(worker => finished(worker, 0)))
  }
}

/**
 * Lets a thread make trips; none means that it is to end.
 *
 * @param {Worker} worker
 * @param {number} trips
 */
function finished(worker, trips) {
  const end = once(worker, trips > 0 ? 'message' : 'exit')
  worker.postMessage(trips)
  return end
}
