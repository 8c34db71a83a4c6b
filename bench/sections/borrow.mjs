// Looking at a payload that is in memory already.
import { LRUCache } from 'lru-cache'
import { LMDB } from '../lmdb.mjs'
import { check, KIB, MIB, randomBytes, sizeName } from '../payloads.mjs'
import { PAGEOUT_BUDGET, withStores } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

/**
 * @typedef {object} Candidate
 * @property {string} name
 * @property {() => Uint8Array | number | undefined | Promise<number | undefined>} look
 * @property {boolean} [isCopying] whether a look takes longer the longer the payload is
 * @property {() => void | Promise<void>} [close]
 */

const SIZES = [4 * KIB, 64 * KIB, 2 * MIB, 16 * MIB]
const RESIDENT_BYTES = 64 * MIB
const WITH_WORK = `${PAGEOUT_BUDGET}, borrow with work`
const PROMISED = 'pageout/promises within a memory budget'
const READ = `${PAGEOUT_BUDGET}, read`
const LRU = 'lru-cache, which keeps all in memory (the floor)'

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  /** @type {Row[]} */
  const rows = []
  for (const payloadBytes of SIZES) {
    bench.say(`borrow: ${sizeName(payloadBytes)}`)
    rows.push(await measureSize(bench, payloadBytes))
  }
  return [
    {
      id: 'borrow',
      title: 'Borrow of a payload that is in memory, and its release',
      note: `One byte of it is looked at. "read" and lmdb copy the payload. ${bench.lmdbNote}`,
      unit: 'us',
      better: 'less',
      subject: PAGEOUT_BUDGET,
      references: [READ, LMDB],
      plot: 'bars',
      rows,
    },
  ]
}

/**
 * @param {Bench} bench
 * @param {number} payloadBytes
 */
function measureSize(bench, payloadBytes) {
  const expected = randomBytes(payloadBytes)
  const many = bench.quick ? 2_000 : 10_000
  const few = Math.min(many, ((bench.quick ? 128 : 512) * MIB) / payloadBytes)
  return withStores(bench, [LMDB], payloadBytes, async ([lmdb]) => {
    const candidates = [...pageouts(bench, expected), lruCache(expected)]
    if (lmdb) {
      const key = lmdb.out(new Uint8Array(expected))
      candidates.push({ name: LMDB, look: () => lmdb.read?.(key), isCopying: true })
    }
    const results = await inTurns(candidates, bench.quick ? bench.rounds : 15, candidate =>
      lookUs(candidate, candidate.isCopying ? few : many),
    )
    for (const { close } of candidates) await close?.()
    return row(sizeName(payloadBytes), results, us => us)
  })
}

/**
 * @param {Bench} bench
 * @param {Uint8Array} expected
 * @returns {Candidate[]}
 */
function pageouts({ builds: [build], folder }, expected) {
  const { Pager, PromisePager } = /** @type {import('../types.js').Build} */ (build)
  const options = { scratchDir: folder, residentBytes: RESIDENT_BYTES }
  const pager = new Pager(options)
  const handle = pager.pageout(new Uint8Array(expected))
  pager.borrow(handle, bytes => check(bytes, expected, PAGEOUT_BUDGET))
  const promises = new PromisePager(options)
  const promised = promises.pageout(new Uint8Array(expected))
  const release = () => {
    const borrowed = pager.borrow(handle)
    const byte = borrowed.value[0]
    borrowed.release()
    return byte
  }
  return [
    { name: PAGEOUT_BUDGET, look: release, close: () => pager.close() },
    { name: WITH_WORK, look: () => pager.borrow(handle, bytes => bytes[0]) },
    { name: READ, look: () => pager.read(handle), isCopying: true },
    {
      name: PROMISED,
      look: async () => promises.borrow(await promised, bytes => bytes[0]),
      close: () => promises.close(),
    },
  ]
}

/**
 * @param {Uint8Array} expected
 * @returns {Candidate}
 */
function lruCache(expected) {
  /** @type {LRUCache<number, Uint8Array>} */
  const cache = new LRUCache({ max: 10 })
  cache.set(0, new Uint8Array(expected))
  return { name: LRU, look: () => cache.get(0)?.[0] }
}

/**
 * @param {Candidate} candidate
 * @param {number} looks
 */
async function lookUs({ look, name }, looks) {
  const start = performance.now()
  let found = 0
  for (let done = 0; done < looks; done++) {
    const result = look()
    // A result that is there is not waited for: that would be the time of a promise.
    const value = result instanceof Promise ? await result : result
    if (value !== undefined) found++
  }
  const elapsedMs = performance.now() - start
  if (found !== looks) throw new Error(`${name}: a payload was lost`)
  return (elapsedMs * 1000) / looks
}
