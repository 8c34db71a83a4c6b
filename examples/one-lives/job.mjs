// A child process: keeps columns in a map and answers requests about them. Which map it is, is all that differs.
import { createHash } from 'node:crypto'
import { PagedMap } from '../../dist/map.js'
import { COLUMN_NAMES } from '../flights/schema.mjs'
import { runJob, runPhase } from '../shared/phases.mjs'
import { KINDS, makePlan, requestsByGroup } from './plan.mjs'
import { readIndex, Source } from './source.mjs'

/** @typedef {import('../flights/schema.mjs').Values} Values */
/** @typedef {import('./plan.mjs').Plan} Plan */
/** @typedef {'Map' | 'PagedMap' | 'stream'} Keeper */
/** @typedef {{ keeper: Keeper, tenants: number, requestsEach: number, residentBytes: number, scratchDir?: string }} Job */
/** @typedef {(done: number, total: number) => void} Progress */

/**
 * @typedef {object} Result
 * @property {Float64Array} answers one for each request
 * @property {string} digest of all columns as they are in the end
 * @property {Record<string, number>} longestMs of the calls of each function of the map
 * @property {import('../../dist/index.js').PagerStats | undefined} stats when all requests were answered
 */

/** Arrays in a plain Map, with the functions of a PagedMap that the job uses. */
class ArrayMap extends Map {
  /**
   * @param {string} key
   * @param {(value: Values) => unknown} work
   */
  borrow(key, work) {
    return work(this.get(key))
  }

  /**
   * @param {string[]} keys
   * @param {(...values: Values[]) => number} work
   */
  borrowAll(keys, work) {
    return work(...keys.map(key => this.get(key)))
  }

  /**
   * @param {string} key
   * @param {(value: Values) => Values} work
   */
  update(key, work) {
    this.set(key, work(this.get(key)))
  }

  stats() {
    return undefined
  }

  close() {
    this.clear()
  }
}

/** The job itself. */
class Service {
  #source = new Source()
  #plan
  #tenants
  #hash = createHash('sha256')
  #answers
  /** @type {Record<string, number>} */
  #longestMs = {}

  /** @param {Job} job */
  constructor({ tenants, requestsEach }) {
    const { airports, weeks } = readIndex()
    this.#tenants = tenants
    this.#plan = makePlan({ groups: tenants * weeks.length, requestsEach, airports })
    this.#answers = new Float64Array(this.#plan.requests)
  }

  /** What the process holds beside the columns is there when the first of them arrives. */
  result(stats = undefined) {
    return { answers: this.#answers, digest: this.#hash.digest('hex'), longestMs: this.#longestMs, stats }
  }

  /**
   * Columns arrive and stay; requests are answered meanwhile.
   * @param {any} map
   * @param {Progress} progress
   */
  serve(map, progress) {
    const { groups, requestsEach } = this.#plan
    for (let group = 0; group < groups; group++) {
      this.#arrive(map, group)
      const first = group * requestsEach
      for (let request = first; request < first + requestsEach; request++) this.#answer(map, request)
      progress(group + 1, groups)
    }
  }

  /**
   * Adds every column to the digest, and deletes it.
   * @param {any} map
   * @param {Progress} progress
   */
  check(map, progress) {
    const { groups } = this.#plan
    for (let group = 0; group < groups; group++) {
      this.#leave(map, group)
      progress(group + 1, groups)
    }
  }

  /**
   * The same answers and the same digest, with one tenant's week in memory at a time: all requests about it, in their
   * order, before the next one arrives.
   * @param {Progress} progress
   */
  stream(progress) {
    for (const [group, requests] of requestsByGroup(this.#plan).entries()) {
      const map = new ArrayMap()
      this.#arrive(map, group)
      for (const request of requests) this.#answer(map, request)
      this.#leave(map, group)
      progress(group + 1, this.#plan.groups)
    }
  }

  /**
   * @param {any} map
   * @param {number} group
   */
  #arrive(map, group) {
    const [week, tenant] = this.#place(group)
    for (const name of COLUMN_NAMES) {
      const column = this.#source.column(name, week, tenant)
      this.#time('set', () => map.set(this.#key(group, name), column))
    }
  }

  /**
   * @param {any} map
   * @param {number} group
   */
  #leave(map, group) {
    for (const name of COLUMN_NAMES) {
      const key = this.#key(group, name)
      this.#time('borrow', () => {
        map.borrow(key, (/** @type {Values} */ value) => void this.#hash.update(value))
      })
      map.delete(key)
    }
  }

  /**
   * @param {any} map
   * @param {number} request
   */
  #answer(map, request) {
    const { groupOf, kindOf, airportOf, numberOf } = this.#plan
    const key = (/** @type {string} */ name) => this.#key(groupOf[request], name)
    const question = QUESTIONS[kindOf[request]]
    this.#answers[request] = this.#time(question.verb, () =>
      question.answer(map, key, airportOf[request], numberOf[request]),
    )
  }

  /** @param {number} group */
  #place(group) {
    return [Math.floor(group / this.#tenants), group % this.#tenants]
  }

  /**
   * @param {number} group
   * @param {string} column
   */
  #key(group, column) {
    const [week, tenant] = this.#place(group)
    return `${tenant}/${week}/${column}`
  }

  /**
   * @template T
   * @param {string} name
   * @param {() => T} call
   */
  #time(name, call) {
    const startMs = performance.now()
    const result = call()
    this.#longestMs[name] = Math.max(this.#longestMs[name] ?? 0, performance.now() - startMs)
    return result
  }
}

/** @typedef {(column: string) => string} Key */
/** @typedef {{ verb: string, answer(map: any, key: Key, airport: number, number: number): number }} Question */

/** @type {Question[]} */
const QUESTIONS = []

/** The mean delay of flights from an airport over at least so many miles. */
QUESTIONS[KINDS.mean] = {
  verb: 'borrowAll',
  answer: (map, key, airport, miles) =>
    map.borrowAll(
      [key('origin'), key('distance'), key('delay')],
      (/** @type {Values} */ origin, /** @type {Values} */ distance, /** @type {Values} */ delay) => {
        let [flights, minutes] = [0, 0]
        for (let row = 0; row < origin.length; row++) {
          if (origin[row] !== airport || distance[row] < miles) continue
          flights++
          minutes += delay[row]
        }
        return flights === 0 ? 0 : minutes / flights
      },
    ),
}

/** How many flights come to an airport more than so many minutes late. */
QUESTIONS[KINDS.late] = {
  verb: 'borrowAll',
  answer: (map, key, airport, minutes) =>
    map.borrowAll(
      [key('destination'), key('delay')],
      (/** @type {Values} */ destination, /** @type {Values} */ delay) => {
        let late = 0
        for (let row = 0; row < destination.length; row++) {
          if (destination[row] === airport && delay[row] > minutes) late++
        }
        return late
      },
    ),
}

/** Corrects the delays of all flights from an airport by some minutes; how many these are. */
QUESTIONS[KINDS.correct] = {
  verb: 'update',
  answer(map, key, airport, minutes) {
    let corrected = 0
    map.update(key('delay'), (/** @type {Values} */ delay) =>
      map.borrow(key('origin'), (/** @type {Values} */ origin) => {
        for (let row = 0; row < origin.length; row++) {
          if (origin[row] !== airport) continue
          delay[row] += minutes
          corrected++
        }
        return delay
      }),
    )
    return corrected
  },
}

/**
 * @param {Job} job
 * @returns {Promise<Result>}
 */
async function main(job) {
  const service = new Service(job)
  if (job.keeper === 'stream') {
    await runPhase('stream', progress => service.stream(progress))
    return service.result()
  }
  const { residentBytes, scratchDir } = job
  const map = job.keeper === 'Map' ? new ArrayMap() : new PagedMap({ residentBytes, scratchDir })
  await runPhase('serve', progress => service.serve(map, progress))
  const stats = map.stats()
  await runPhase('check', progress => service.check(map, progress))
  map.close()
  return service.result(stats)
}

await runJob(main)
