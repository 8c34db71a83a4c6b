// The candidates of the round trip. Each gives the bytes back in memory that is its caller's own.
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const { Pager } = await import('../dist/index.js')

/**
 * @typedef {object} Candidate
 * @property {string} name
 * @property {(bytes: Uint8Array) => Uint8Array} trip out and back
 * @property {() => void} close
 */

/**
 * All candidates, fresh, for payloads of one size.
 *
 * @param {number} byteLength
 * @returns {Candidate[]}
 */
export function candidates(byteLength) {
  return [
    paged('pageout', {}),
    paged('pageout, no spare buffers', { spareBytes: 0 }),
    pagedIntoTarget(byteLength),
    paged('pageout, no checksums', { integrity: 'none' }),
    filePerPayload(),
    openFile(),
    memory(),
  ]
}

/**
 * @param {string} name
 * @param {import('../dist/index.js').PagerOptions} options
 * @returns {Candidate}
 */
function paged(name, options) {
  const pager = new Pager(options)
  return { name, trip: bytes => pager.take(pager.pageout(bytes)), close: () => pager.close() }
}

/**
 * @param {number} byteLength
 * @returns {Candidate}
 */
function pagedIntoTarget(byteLength) {
  const pager = new Pager()
  const target = new Uint8Array(byteLength)
  const trip = (/** @type {Uint8Array} */ bytes) => pager.take(pager.pageout(bytes, { detach: 'never' }), target)
  return { name: 'pageout, into a target', trip, close: () => pager.close() }
}

/** @returns {Candidate} */
function filePerPayload() {
  const folder = mkdtempSync(join(tmpdir(), 'pageout-bench-'))
  let number = 0
  const trip = (/** @type {Uint8Array} */ bytes) => {
    const path = join(folder, `${number++}.bin`)
    writeFileSync(path, bytes)
    const back = readFileSync(path)
    unlinkSync(path)
    return back
  }
  return { name: 'a temp file per payload', trip, close: () => rmSync(folder, { recursive: true }) }
}

/** @returns {Candidate} */
function openFile() {
  const folder = mkdtempSync(join(tmpdir(), 'pageout-bench-'))
  const file = openSync(join(folder, 'open.bin'), 'w+')
  const trip = (/** @type {Uint8Array} */ bytes) => {
    writeSync(file, bytes, 0, bytes.byteLength, 0)
    const back = Buffer.allocUnsafeSlow(bytes.byteLength)
    readSync(file, back, 0, back.byteLength, 0)
    return back
  }
  const close = () => {
    closeSync(file)
    rmSync(folder, { recursive: true })
  }
  return { name: 'one open file, kept by hand', trip, close }
}

/** @returns {Candidate} */
function memory() {
  return { name: 'a copy in memory', trip: bytes => new Uint8Array(bytes), close: () => {} }
}
