// What is asked for, and when: the same in every process, since it follows from a seed.
import { seededRandom } from '../shared/random.mjs'

/**
 * A tenant's week with all its columns arrives, then some requests are answered, and so on. Each request is about one of
 * the weeks that are there.
 * @typedef {object} Plan
 * @property {number} groups tenants' weeks, in the order in which they arrive
 * @property {number} requests
 * @property {number} requestsEach how many follow each arrival
 * @property {Uint32Array} groupOf the tenant's week that each request is about
 * @property {Uint8Array} kindOf
 * @property {Uint16Array} airportOf
 * @property {Int16Array} numberOf miles or minutes
 */

/** One in so many requests changes a column. */
const REQUESTS_A_CHANGE = 8
const MILES = 2000
const MINUTES = 60
export const KINDS = { mean: 0, late: 1, correct: 2 }

/**
 * @param {{ groups: number, requestsEach: number, airports: number }} sizes
 * @returns {Plan}
 */
export function makePlan({ groups, requestsEach, airports }) {
  const random = seededRandom(7)
  const requests = groups * requestsEach
  const plan = {
    groups,
    requests,
    requestsEach,
    groupOf: new Uint32Array(requests),
    kindOf: new Uint8Array(requests),
    airportOf: new Uint16Array(requests),
    numberOf: new Int16Array(requests),
  }
  const byPopularity = shuffled(groups, random)
  for (let request = 0; request < requests; request++) {
    const arrived = Math.floor(request / requestsEach) + 1
    plan.groupOf[request] = popular(byPopularity, arrived, random)
    plan.kindOf[request] = kind(random)
    plan.airportOf[request] = rank(airports, random)
    plan.numberOf[request] = plan.kindOf[request] === KINDS.mean ? random(MILES) : random(MINUTES) + 1
  }
  return plan
}

/**
 * One of the tenants' weeks that have arrived, the popular ones more often.
 * @param {Uint32Array} byPopularity
 * @param {number} arrived
 * @param {(limit: number) => number} random
 */
function popular(byPopularity, arrived, random) {
  for (;;) {
    const group = byPopularity[rank(byPopularity.length, random)]
    if (group < arrived) return group
  }
}

/**
 * A rank from 0, the k-th as often as 1 / k, nearly: Zipf's law.
 * @param {number} ranks
 * @param {(limit: number) => number} random
 */
function rank(ranks, random) {
  return Math.min(Math.floor((ranks + 1) ** (random(2 ** 32) / 2 ** 32)), ranks) - 1
}

/** @param {(limit: number) => number} random */
function kind(random) {
  if (random(REQUESTS_A_CHANGE) === 0) return KINDS.correct
  return random(2) === 0 ? KINDS.mean : KINDS.late
}

/**
 * @param {number} length
 * @param {(limit: number) => number} random
 */
function shuffled(length, random) {
  const numbers = Uint32Array.from({ length }, (_, index) => index)
  for (let last = length - 1; last > 0; last--) {
    const other = random(last + 1)
    const number = numbers[last]
    numbers[last] = numbers[other]
    numbers[other] = number
  }
  return numbers
}

/**
 * The requests about each tenant's week, in their order.
 * @param {Plan} plan
 */
export function requestsByGroup({ groups, groupOf }) {
  const lists = Array.from({ length: groups }, () => /** @type {number[]} */ ([]))
  for (const [request, group] of groupOf.entries()) lists[group].push(request)
  return lists
}
