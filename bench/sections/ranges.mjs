// Small ranges of a large payload, scattered.
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { LMDB } from '../lmdb.mjs'
import { KIB, MIB, randomNumbers } from '../payloads.mjs'
import { PAGEOUT } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Build} Build */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

/**
 * @typedef {object} Payload
 * @property {string} name
 * @property {(firsts: readonly number[], target?: Uint32Array) => Uint32Array | Promise<Uint32Array>} read the ranges that begin
 *   with these elements, into a target or new memory
 * @property {boolean} [hasPagesOnly] whether a range has to begin with a page
 * @property {() => void | Promise<void>} close
 */

/**
 * @typedef {object} Shape
 * @property {string} name
 * @property {number} shift elements between the beginning of a page and that of a range
 * @property {boolean} hasTarget
 */

const PAYLOAD_BYTES = 256 * MIB
const RANGE_BYTES = 4 * KIB
const RANGES = 64
const IN_FLIGHT = 4
const ELEMENT_BYTES = Uint32Array.BYTES_PER_ELEMENT
const RANGE_ELEMENTS = RANGE_BYTES / ELEMENT_BYTES

const ONE_BY_ONE = 'one open file, a readSync per range'
const IN_TURN = 'fs.promises, four reads in flight'
const DATABASE = 'lmdb, a key per page'

const COUNT = `${RANGES} ranges of 4 KiB`
/** @type {Shape} */
const PAGES = { name: COUNT, shift: 0, hasTarget: false }
/** @type {readonly Shape[]} */
const SHAPES = [
  PAGES,
  { name: `${COUNT}, into a target`, shift: 0, hasTarget: true },
  { name: `${COUNT} from the middle of a page`, shift: RANGE_ELEMENTS / 2, hasTarget: false },
  { name: `${COUNT} from the middle of a page, into a target`, shift: RANGE_ELEMENTS / 2, hasTarget: true },
]

/**
 * @param {Bench} bench
 * @returns {Promise<Table[]>}
 */
export async function run(bench) {
  bench.say('ranges: writing the payloads')
  const { builds, folder } = bench
  const paging = builds.map(build => paged(build, folder))
  const payloads = [...paging, oneByOne(folder), await inFlight(folder), ...inDatabase(bench)]
  try {
    return [await warm(bench, payloads), await cold(bench, payloads)]
  } finally {
    for (const payload of payloads) await payload.close()
  }
}

/**
 * @param {Bench} bench
 * @param {readonly Payload[]} payloads
 * @returns {Promise<Table>}
 */
async function warm(bench, payloads) {
  const batches = bench.quick ? 50 : 200
  /** @type {Row[]} */
  const rows = []
  for (const shape of SHAPES) {
    bench.say(`ranges: warm, ${shape.name}`)
    const able = payloads.filter(({ hasPagesOnly }) => !hasPagesOnly || shape.shift === 0)
    const results = await inTurns(able, bench.rounds, (payload, round) => rangeUs(payload, shape, batches, round))
    rows.push(row(shape.name, results, us => us))
  }
  return table('ranges-warm', 'in the page cache', ` ${bench.lmdbNote}`, rows)
}

/**
 * @param {Bench} bench
 * @param {readonly Payload[]} payloads
 * @returns {Promise<Table>}
 */
async function cold(bench, payloads) {
  bench.say('ranges: cold')
  try {
    dropPageCache()
  } catch (error) {
    const skipped = `the page cache cannot be emptied here (${/** @type {Error} */ (error).message})`
    return { id: 'ranges-cold', title: title('on the disk'), skipped }
  }
  const results = await inTurns(payloads, bench.quick ? 5 : 15, (payload, round) => {
    dropPageCache()
    return rangeUs(payload, PAGES, 1, round)
  })
  return table('ranges-cold', 'on the disk', ' The page cache of the whole machine is emptied before each call.', [
    row(PAGES.name, results, us => us),
  ])
}

/** Leaves what is not written yet; so everything is written first. */
function dropPageCache() {
  const { error, status } = spawnSync('sync')
  if (error ?? status !== 0) throw error ?? new Error(`sync ended with ${status}`)
  writeFileSync('/proc/sys/vm/drop_caches', '1')
}

/**
 * @param {string} id
 * @param {string} where
 * @param {string} how
 * @param {Row[]} rows
 * @returns {Table}
 */
function table(id, where, how, rows) {
  return {
    id,
    title: title(where),
    note: `Time of a range. pageout verifies whole pages: of a range that begins with one it reads none in vain, of one from the middle twice as many bytes as it gives back. Results are new memory unless there is a target.${how}`,
    unit: 'us',
    better: 'less',
    subject: PAGEOUT,
    references: [ONE_BY_ONE, IN_TURN],
    plot: 'bars',
    rows,
  }
}

/** @param {string} where */
const title = where => `Scattered ranges of a payload of 256 MiB, ${where}`

/**
 * @param {Payload} payload
 * @param {Shape} shape
 * @param {number} batches
 * @param {number} seed
 */
async function rangeUs(payload, { shift, hasTarget }, batches, seed) {
  const random = randomNumbers(seed)
  const target = hasTarget ? new Uint32Array(RANGES * RANGE_ELEMENTS) : undefined
  let elapsedMs = 0
  for (let batch = 0; batch < batches; batch++) {
    const firsts = scattered(random, shift)
    const start = performance.now()
    const elements = await payload.read(firsts, target)
    elapsedMs += performance.now() - start
    for (const [at, first] of firsts.entries()) {
      if (elements[at * RANGE_ELEMENTS] !== first) throw new Error(`${payload.name}: another range came back`)
    }
  }
  return (elapsedMs * 1000) / batches / RANGES
}

/**
 * The first elements of ranges that do not overlap, in random order.
 *
 * @param {(below: number) => number} random
 * @param {number} shift
 */
function scattered(random, shift) {
  /** @type {Set<number>} */
  const firsts = new Set()
  // Of the last page nothing follows the middle.
  while (firsts.size < RANGES) firsts.add(random(PAYLOAD_BYTES / RANGE_BYTES - 1) * RANGE_ELEMENTS + shift)
  return [...firsts]
}

/** Every element is its own position. */
function content() {
  return new Uint32Array(PAYLOAD_BYTES / ELEMENT_BYTES).map((_, position) => position)
}

/**
 * @param {Build} build
 * @param {string} folder
 * @returns {Payload}
 */
function paged({ name, Pager }, folder) {
  const pager = new Pager({ scratchDir: folder })
  const handle = pager.pageout(content())
  /** @type {Payload['read']} */
  const read = (firsts, target) =>
    pager.readAtMany(
      handle,
      firsts.map(first => [first, RANGE_ELEMENTS]),
      target,
    )
  return { name, read, close: () => pager.close() }
}

/**
 * Memory for all ranges: that of a target, or new.
 *
 * @param {Uint32Array | undefined} target
 */
function memoryFor(target) {
  return target ? Buffer.from(target.buffer) : Buffer.allocUnsafeSlow(RANGES * RANGE_BYTES)
}

/**
 * @param {string} folder
 * @returns {Payload}
 */
function oneByOne(folder) {
  const file = openSync(writePayload(folder, 'one-by-one'), 'r')
  /** @type {Payload['read']} */
  const read = (firsts, target) => {
    const bytes = memoryFor(target)
    for (const [at, first] of firsts.entries()) {
      readSync(file, bytes, at * RANGE_BYTES, RANGE_BYTES, first * ELEMENT_BYTES)
    }
    return target ?? new Uint32Array(bytes.buffer)
  }
  return { name: ONE_BY_ONE, read, close: () => closeSync(file) }
}

/**
 * @param {string} folder
 * @returns {Promise<Payload>}
 */
async function inFlight(folder) {
  const file = await open(writePayload(folder, 'in-flight'), 'r')
  /** @type {Payload['read']} */
  const read = async (firsts, target) => {
    const bytes = memoryFor(target)
    // One iterator for all, so that each range is read by whoever is free first.
    const todo = firsts.entries()
    const reader = async () => {
      for (const [at, first] of todo) await file.read(bytes, at * RANGE_BYTES, RANGE_BYTES, first * ELEMENT_BYTES)
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, reader))
    return target ?? new Uint32Array(bytes.buffer)
  }
  return { name: IN_TURN, read, close: () => file.close() }
}

/**
 * @param {Bench} bench
 * @returns {Payload[]}
 */
function inDatabase({ makers, folder }) {
  const store = makers[LMDB]?.({ folder, payloadBytes: RANGE_BYTES })
  if (!store?.read) return []
  const pages = new Uint8Array(content().buffer)
  /** @type {unknown[]} */
  const keys = []
  for (let start = 0; start < PAYLOAD_BYTES; start += RANGE_BYTES) {
    keys.push(store.out(pages.subarray(start, start + RANGE_BYTES)))
  }
  /** @type {Payload['read']} */
  const read = (firsts, target) => {
    const bytes = memoryFor(target)
    for (const [at, first] of firsts.entries()) {
      bytes.set(store.read?.(keys[first / RANGE_ELEMENTS]) ?? [], at * RANGE_BYTES)
    }
    return target ?? new Uint32Array(bytes.buffer)
  }
  return [{ name: DATABASE, read, hasPagesOnly: true, close: () => store.close() }]
}

/**
 * @param {string} folder
 * @param {string} name
 */
function writePayload(folder, name) {
  const path = join(folder, `${name}.bin`)
  writeFileSync(path, content())
  return path
}
