// Many live payloads, replaced in random order: what a cache or a table of cold pages does all day.
import { readdirSync } from 'node:fs'
import { LMDB, LMDB_NOTE } from '../lmdb.mjs'
import { checkStamp, KIB, randomBytes, randomNumbers, stamp } from '../payloads.mjs'
import { FILE_PER_PAYLOAD, OPEN_FILE, OPEN_FILE_FREED, PAGEOUT, withStores } from '../stores.mjs'
import { curveRow, inTurns, percentiles, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Store} Store */
/** @typedef {import('../types.js').Table} Table */

/** @typedef {{ perSecond: number, timesUs: number[] }} Replacements */

const LIVE = 10_000
const PAYLOAD_BYTES = 64 * KIB
const CANDIDATES = [PAGEOUT, FILE_PER_PAYLOAD, OPEN_FILE_FREED, OPEN_FILE, LMDB]
const REFERENCES = [FILE_PER_PAYLOAD, OPEN_FILE_FREED]

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export function run(bench) {
  return withStores(bench, CANDIDATES, PAYLOAD_BYTES, async stores => {
    const populations = stores.map(store => {
      bench.say(`churn: filling ${store.name}`)
      return new Population(store)
    })
    bench.say('churn: replacing')
    const results = await inTurns(populations, bench.rounds, (population, round) =>
      population.replace(bench.quick ? 2_000 : 10_000, randomNumbers(round)),
    )
    return tables(bench, populations, results)
  })
}

/**
 * @param {Bench} bench
 * @param {readonly Population[]} populations
 * @param {Map<string, Replacements[]>} results
 * @returns {Table[]}
 */
function tables(bench, populations, results) {
  const descriptors = new Map(populations.map(({ name, descriptors }) => [name, [descriptors]]))
  const timeAt = (/** @type {number} */ percent) => (/** @type {Replacements} */ { timesUs }) =>
    percentiles(timesUs, [percent])[0] ?? NaN
  const shared = { subject: PAGEOUT, references: REFERENCES }
  return [
    {
      id: 'churn',
      title: `Churn: ${LIVE.toLocaleString('en-US')} live payloads of 64 KiB`,
      note: `One replacement takes a random payload and puts it out again with another content. A file per payload gets a new directory each round, which ext4 needs to stay fast. ${LMDB_NOTE} ${bench.leftOut}`.trim(),
      unit: 'us',
      better: 'less',
      plot: 'bars',
      rows: [
        row('replacements', results, ({ perSecond }) => perSecond, { unit: 'ops/s', better: 'more' }),
        row('p50', results, timeAt(50)),
        row('p99', results, timeAt(99)),
        row('longest', results, timeAt(100)),
        row('open descriptors', descriptors, count => count, { unit: 'count' }),
      ],
      ...shared,
    },
    {
      id: 'churn-latency',
      title: 'Churn: time of one replacement',
      note: 'All replacements of all rounds together.',
      unit: 'us',
      better: 'less',
      plot: 'curve',
      rows: [curveRow('one replacement', results, ({ timesUs }) => timesUs)],
      ...shared,
    },
  ]
}

/** The live payloads of one store. Each carries a number of its own. */
class Population {
  #store
  /** @type {{ handle: unknown, number: number }[]} */
  #live = []
  #made = 0

  /** @param {Store} store */
  constructor(store) {
    this.#store = store
    this.name = store.name
    const before = countDescriptors()
    const content = randomBytes(PAYLOAD_BYTES)
    store.prepare?.()
    for (let place = 0; place < LIVE; place++) this.#put(place, new Uint8Array(content))
    this.descriptors = countDescriptors() - before
  }

  /**
   * @param {number} count
   * @param {(below: number) => number} random
   * @returns {Replacements}
   */
  replace(count, random) {
    this.#store.prepare?.()
    const timesUs = []
    const start = performance.now()
    for (let done = 0; done < count; done++) {
      const place = random(LIVE)
      const taken = performance.now()
      this.#put(place, this.#take(place))
      timesUs.push((performance.now() - taken) * 1000)
    }
    return { perSecond: (count * 1000) / (performance.now() - start), timesUs }
  }

  /** @param {number} place */
  #take(place) {
    const { handle, number } = /** @type {{ handle: unknown, number: number }} */ (this.#live[place])
    const bytes = this.#store.back(handle)
    checkStamp(bytes, number, this.name)
    return bytes
  }

  /**
   * @param {number} place
   * @param {Uint8Array} bytes
   */
  #put(place, bytes) {
    const number = this.#made++
    stamp(bytes, number)
    this.#live[place] = { handle: this.#store.out(bytes), number }
  }
}

/** Descriptors that this process has open. */
function countDescriptors() {
  return readdirSync('/dev/fd').length
}
