// Many small reads of one payload, promised; a part of `promises.mjs`.
import { mkdtempSync } from 'node:fs'
import { open, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KIB, MIB, randomNumbers } from '../payloads.mjs'
import { PROMISED_OPEN_FILE, PROMISED_PAGEOUT } from '../promise-stores.mjs'
import { PAGEOUT } from '../stores.mjs'
import { inTurns, row } from '../turns.mjs'

/** @typedef {import('../types.js').Bench} Bench */
/** @typedef {import('../types.js').Build} Build */
/** @typedef {import('../types.js').Row} Row */
/** @typedef {import('../types.js').Table} Table */

/**
 * @typedef {object} Payload
 * @property {string} name
 * @property {() => (first: number) => Uint32Array | Promise<Uint32Array>} reader what one lane calls: reads the elements
 *   from `first` on, where a reader may use its memory again in its next call
 * @property {() => void | Promise<void>} close
 */

const PAYLOAD_BYTES = 64 * MIB
const READ_BYTES = 4 * KIB
const READ_ELEMENTS = READ_BYTES / Uint32Array.BYTES_PER_ELEMENT
const FIRSTS = PAYLOAD_BYTES / READ_BYTES
const IN_FLIGHT = [1, 8, 64]
/** Reads of each round that are compared whole, before those that are timed. */
const COMPARED_READS = 64

const OPEN_FILE_INTO_TARGET = 'fs.promises, one open file, into a target'
const synchronousName = (/** @type {string} */ name) => `${name}, synchronous`

/**
 * @param {Bench} bench
 * @returns {Promise<Table>}
 */
export async function smallReads(bench) {
  const content = new Uint32Array(PAYLOAD_BYTES / Uint32Array.BYTES_PER_ELEMENT).map((_, position) => position)
  /** @type {Payload[]} */
  const payloads = []
  for (const build of bench.builds) payloads.push(...(await promised(build, bench.folder, content)))
  payloads.push(...(await openFile(bench.folder, content)))
  payloads.push(...bench.builds.map(build => synchronous(build, bench.folder, content)))
  try {
    /** @type {Row[]} */
    const rows = []
    for (const inFlight of IN_FLIGHT) {
      bench.say(`promises: reads of 4 KiB, ${inFlight} in flight`)
      rows.push(await measureReads(bench, payloads, content, inFlight))
    }
    return table(rows)
  } finally {
    for (const payload of payloads) await payload.close()
  }
}

/**
 * @param {readonly Row[]} rows
 * @returns {Table}
 */
function table(rows) {
  return {
    id: 'promised-small-reads',
    title: 'Reads of 4 KiB with promises',
    note: 'Pages at random places of a payload of 64 MiB that is in the page cache, by so many loops of which each waits for its read before it starts the next. Time of all reads divided by their number. Results are new memory each time, except where there is a target, one for each loop. Synchronous calls are never more than one at a time, so there all loops are one.',
    unit: 'us',
    better: 'less',
    subject: PROMISED_PAGEOUT,
    references: [PROMISED_OPEN_FILE, synchronousName(PAGEOUT)],
    plot: 'bars',
    rows: [...rows],
  }
}

/**
 * @param {Bench} bench
 * @param {readonly Payload[]} payloads
 * @param {Uint32Array} content
 * @param {number} inFlight
 */
async function measureReads({ quick, rounds }, payloads, content, inFlight) {
  const reads = quick ? 1024 : 4096
  const results = await inTurns(payloads, rounds, async (payload, round) => {
    const random = randomNumbers(round)
    await inLanes(payload, random, inFlight, COMPARED_READS, isWhole(content))
    const start = performance.now()
    await inLanes(payload, random, inFlight, reads, isThere)
    return ((performance.now() - start) * 1000) / reads
  })
  return row(`${inFlight} in flight`, results, us => us)
}

/**
 * @param {Payload} payload
 * @param {(below: number) => number} random
 * @param {number} inFlight
 * @param {number} reads
 * @param {(elements: Uint32Array, first: number) => boolean} isRight
 */
async function inLanes(payload, random, inFlight, reads, isRight) {
  let started = 0
  const lane = async () => {
    const read = payload.reader()
    while (started++ < reads) {
      const first = random(FIRSTS) * READ_ELEMENTS
      const result = read(first)
      // A result that is there is not waited for: that would be the time of a promise.
      const elements = result instanceof Uint32Array ? result : await result
      if (!isRight(elements, first)) throw new Error(`${payload.name}: other bytes came back`)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
}

/**
 * Every element is its own position, so a look at both ends takes hardly any time and says much.
 *
 * @param {Uint32Array} elements
 * @param {number} first
 */
function isThere(elements, first) {
  return elements[0] === first && elements[READ_ELEMENTS - 1] === first + READ_ELEMENTS - 1
}

/** @param {Uint32Array} content */
function isWhole(content) {
  const bytes = new Uint8Array(content.buffer)
  return (/** @type {Uint32Array} */ elements, /** @type {number} */ first) => {
    const start = first * Uint32Array.BYTES_PER_ELEMENT
    const found = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength)
    return Buffer.compare(found, bytes.subarray(start, start + READ_BYTES)) === 0
  }
}

/**
 * @param {Build} build
 * @param {string} folder
 * @param {Uint32Array} content
 * @returns {Promise<Payload[]>}
 */
async function promised({ promisedName, PromisePager }, folder, content) {
  const pager = new PromisePager({ scratchDir: folder })
  const handle = await pager.pageout(content, { detach: 'never' })
  const fresh = () => (/** @type {number} */ first) => pager.readAt(handle, first, READ_ELEMENTS)
  const intoTarget = () => {
    const target = new Uint32Array(READ_ELEMENTS)
    return (/** @type {number} */ first) => pager.readAt(handle, first, READ_ELEMENTS, target)
  }
  return [
    { name: promisedName, reader: fresh, close: () => {} },
    { name: `${promisedName}, into a target`, reader: intoTarget, close: () => pager.close() },
  ]
}

/**
 * @param {Build} build
 * @param {string} folder
 * @param {Uint32Array} content
 * @returns {Payload}
 */
function synchronous({ name, Pager }, folder, content) {
  const pager = new Pager({ scratchDir: folder })
  const handle = pager.pageout(content, { detach: 'never' })
  const reader = () => (/** @type {number} */ first) => pager.readAt(handle, first, READ_ELEMENTS)
  return { name: synchronousName(name), reader, close: () => pager.close() }
}

/**
 * @param {string} folder
 * @param {Uint32Array} content
 * @returns {Promise<Payload[]>}
 */
async function openFile(folder, content) {
  const path = join(mkdtempSync(join(folder, 'open-')), 'open.bin')
  await writeFile(path, content)
  const file = await open(path, 'r')
  await unlink(path)
  /**
   * @param {Uint8Array} bytes
   * @param {number} first
   */
  const readInto = async (bytes, first) => {
    const { bytesRead } = await file.read(bytes, 0, READ_BYTES, first * Uint32Array.BYTES_PER_ELEMENT)
    if (bytesRead !== READ_BYTES) throw new Error(`only ${bytesRead} bytes were read`)
    return new Uint32Array(bytes.buffer)
  }
  const fresh = () => (/** @type {number} */ first) => readInto(Buffer.allocUnsafeSlow(READ_BYTES), first)
  const intoTarget = () => {
    const target = new Uint8Array(READ_BYTES)
    return (/** @type {number} */ first) => readInto(target, first)
  }
  return [
    { name: PROMISED_OPEN_FILE, reader: fresh, close: () => {} },
    { name: OPEN_FILE_INTO_TARGET, reader: intoTarget, close: () => file.close() },
  ]
}
