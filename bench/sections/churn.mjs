// Many live payloads, replaced in random order: what a cache or a table of cold pages does all day.
import { readdirSync } from 'node:fs'
import { LMDB } from '../lmdb.mjs'
import { checkStamp, GIB, KIB, randomBytes, randomNumbers, stamp } from '../payloads.mjs'
import { FILE_PER_PAYLOAD, OPEN_FILE, OPEN_FILE_FREED, PAGEOUT, PAGEOUT_BUDGET, withStores } from '../stores.mjs'
import { curveRow, inTurns, percentiles, row, without } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Store} Store */
/** @typedef {import('../types.js').Table} Table */

/** @typedef {{ perSecond: number, timesUs: number[], descriptors: number }} Churn */

const PAYLOAD_BYTES = 64 * KIB
const CANDIDATES = [PAGEOUT_BUDGET, FILE_PER_PAYLOAD, OPEN_FILE_FREED, OPEN_FILE, LMDB]
/** Of so many payloads, one has room in the memory budget. */
const PAYLOADS_PER_ROOM = 2
const REFERENCES = [FILE_PER_PAYLOAD, OPEN_FILE, OPEN_FILE_FREED, LMDB]

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  const [live, replacements] = bench.quick ? [3_000, 2_000] : [GIB / PAYLOAD_BYTES, 10_000]
  const present = [...bench.builds, ...CANDIDATES.filter(name => name in bench.makers).map(name => ({ name }))]
  const results = await inTurns(present, bench.rounds, ({ name }, round) => {
    bench.say(`churn: round ${round}, ${name}`)
    return churn(bench, name, live, replacements, randomNumbers(round))
  })
  return tables(bench, live, results)
}

/**
 * Each candidate is opened, filled and closed again in each of its turns, so that the written pages of one are not what
 * the system is busy with when it is the turn of another.
 *
 * @param {Bench} bench
 * @param {string} name
 * @param {number} live
 * @param {number} replacements
 * @param {(below: number) => number} random
 * @returns {Promise<Churn>}
 */
function churn(bench, name, live, replacements, random) {
  const before = countDescriptors()
  const use = async (/** @type {readonly Store[]} */ stores) => {
    const population = new Population(/** @type {Store} */ (stores[0]), live)
    const descriptors = countDescriptors() - before
    return { ...population.replace(replacements, random), descriptors }
  }
  return withStores(bench, [name], PAYLOAD_BYTES, use, (live / PAYLOADS_PER_ROOM) * PAYLOAD_BYTES)
}

/** Descriptors that this process has open. */
function countDescriptors() {
  return readdirSync('/dev/fd').length
}

/** The live payloads of one store. Each carries a number of its own. */
class Population {
  #store
  /** @type {{ handle: unknown, number: number }[]} */
  #live = []
  #made = 0

  /**
   * @param {Store} store
   * @param {number} live
   */
  constructor(store, live) {
    this.#store = store
    const content = randomBytes(PAYLOAD_BYTES)
    store.prepare?.()
    for (let place = 0; place < live; place++) this.#put(place, new Uint8Array(content))
  }

  /**
   * @param {number} count
   * @param {(below: number) => number} random
   */
  replace(count, random) {
    this.#store.prepare?.()
    const timesUs = []
    const start = performance.now()
    for (let done = 0; done < count; done++) {
      const place = random(this.#live.length)
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
    checkStamp(bytes, number, this.#store.name)
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

/**
 * @param {Bench} bench
 * @param {number} live
 * @param {Map<string, Churn[]>} results
 * @returns {Table[]}
 */
function tables(bench, live, results) {
  const what = `Churn, ${live.toLocaleString('en-US')} live payloads of 64 KiB`
  const timeAt =
    (/** @type {number} */ percent) =>
    (/** @type {Churn} */ { timesUs }) =>
      percentiles(timesUs, [percent])[0] ?? NaN
  const times = /** @type {const} */ ({ unit: 'us', better: 'less', subject: PAGEOUT, references: REFERENCES })
  const rows = [
    row('replacements', results, ({ perSecond }) => perSecond, { unit: 'ops/s', better: 'more' }),
    row('p50', results, timeAt(50)),
    row('p99', results, timeAt(99)),
    row('longest', results, timeAt(100)),
  ]
  return [
    {
      id: 'churn',
      title: what,
      note: `One replacement takes a random payload and puts it out again with another content. A file per payload gets a new directory before, which ext4 needs to stay fast. ${bench.lmdbNote}`,
      ...times,
      plot: 'bars',
      rows: rows.map(row => without(row, [PAGEOUT_BUDGET])),
    },
    {
      id: 'churn-budget',
      title: `${what}, within a memory budget`,
      note: 'The same run. The memory budget has room for half of the payloads; the others come from the page cache.',
      ...times,
      subject: PAGEOUT_BUDGET,
      references: [PAGEOUT, ...REFERENCES],
      plot: 'bars',
      rows,
    },
    {
      id: 'churn-latency',
      title: `${what}: the time of one replacement`,
      note: 'All replacements of all rounds together.',
      ...times,
      plot: 'curve',
      rows: [curveRow('one replacement', results, ({ timesUs }) => timesUs)],
    },
    {
      id: 'churn-descriptors',
      title: `${what}: open descriptors`,
      note: 'Descriptors that are open because of payloads that are out. Of those of pageout one is the directory, one the file; the others tell how much memory there is (ARCHITECTURE.md: "When payloads are more than the memory").',
      unit: 'count',
      better: 'less',
      subject: PAGEOUT,
      references: [],
      plot: 'none',
      rows: [row('descriptors', results, ({ descriptors }) => descriptors)],
    },
  ]
}
