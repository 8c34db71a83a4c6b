// The candidates whose verbs have done their work when they return. Files are removed as soon as they are open, where that
// is possible, so that nothing stays behind.
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
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { Pager } from '../dist/index.js'
import { MIB } from './payloads.mjs'

/** @typedef {import('./types.js').Bench} Bench */
/** @typedef {import('./types.js').Build} Build */
/** @typedef {import('./types.js').Makers} Makers */
/** @typedef {import('./types.js').Place} Place */
/** @typedef {import('./types.js').Store} Store */

export const PAGEOUT = 'pageout'
export const PAGEOUT_BUDGET = 'pageout within a memory budget'
export const PAGEOUT_BUDGET_UNCHECKED = 'pageout within a memory budget, no checksums'
export const PAGEOUT_INTO_TARGET = 'pageout, into a target'
export const PAGEOUT_UNCHECKED = 'pageout, no checksums'
export const PAGEOUT_ENCRYPTED = 'pageout, encrypted'
export const PAGEOUT_COMPRESSED = 'pageout, compressed'
export const PAGEOUT_SEALED = 'pageout, compressed and encrypted'
export const PAGEOUT_WITHOUT_SPARES = 'pageout, no spare buffers'
export const FILE_PER_PAYLOAD = 'a named temp file per payload'
export const OPEN_FILE = 'one open file'
export const OPEN_FILE_FREED = 'one open file, source freed'
export const OPEN_FILE_INTO_TARGET = 'one open file, into a target'
export const COPY = 'a copy in memory (the floor)'

/** The memory budget of stores that have one, unless a section says another. */
const RESIDENT_BYTES = 64 * MIB

/**
 * Options of pagers by what they do to what lies on the disk.
 *
 * @type {Readonly<Record<string, import('../dist/index.js').PagerOptions>>}
 */
export const SEALINGS = {
  [PAGEOUT]: {},
  [PAGEOUT_ENCRYPTED]: { encryption: true },
  [PAGEOUT_COMPRESSED]: { compression: 'lz4' },
  [PAGEOUT_SEALED]: { compression: 'lz4', encryption: true },
}

/** @type {Makers} */
export const MAKERS = {
  ...Object.fromEntries(
    Object.entries(SEALINGS).map(([name, options]) => [
      name,
      (/** @type {Place} */ place) => paged({ name, Pager }, place, options),
    ]),
  ),
  [PAGEOUT_BUDGET]: place => {
    return paged({ name: PAGEOUT_BUDGET, Pager }, place, { residentBytes: place.residentBytes ?? RESIDENT_BYTES })
  },
  [PAGEOUT_INTO_TARGET]: pagedIntoTarget,
  [PAGEOUT_UNCHECKED]: place => paged({ name: PAGEOUT_UNCHECKED, Pager }, place, { integrity: 'none' }),
  [PAGEOUT_WITHOUT_SPARES]: place => paged({ name: PAGEOUT_WITHOUT_SPARES, Pager }, place, { spareBytes: 0 }),
  [FILE_PER_PAYLOAD]: place => new FilePerPayload(place),
  [OPEN_FILE]: place => new OpenFile(OPEN_FILE, place),
  [OPEN_FILE_FREED]: openFileFreed,
  [OPEN_FILE_INTO_TARGET]: openFileIntoTarget,
  [COPY]: () => ({ name: COPY, out: bytes => new Uint8Array(bytes), back: copy => copy, close: () => {} }),
}

/**
 * Opens one of the stores of this module.
 *
 * @param {string} name
 * @param {Place} place
 */
export function openStore(name, place) {
  const make = MAKERS[name]
  if (!make) throw new Error(`there is no store ${name}`)
  return make(place)
}

/**
 * Opens those of the named stores that there are here, and closes them after their use.
 *
 * @template T
 * @param {Bench} bench
 * @param {readonly string[]} names
 * @param {number} payloadBytes
 * @param {(stores: readonly Store[]) => Promise<T>} use
 * @param {number} [residentBytes]
 */
export async function withStores({ makers, folder }, names, payloadBytes, use, residentBytes) {
  /** @type {Store[]} */
  const stores = []
  try {
    for (const name of names) {
      const store = makers[name]?.({ folder, payloadBytes, residentBytes })
      if (store) stores.push(store)
    }
    return await use(stores)
  } finally {
    for (const store of stores) await store.close()
  }
}

/**
 * @param {Pick<Build, 'name' | 'Pager'>} build
 * @param {Place} place
 * @param {import('../dist/index.js').PagerOptions} options
 * @returns {Store}
 */
export function paged({ name, Pager }, { folder }, options) {
  const pager = new Pager({ scratchDir: folder, ...options })
  return {
    name,
    out: bytes => pager.pageout(bytes),
    back: handle => pager.take(handle),
    drop: handle => handle.release(),
    close: () => pager.close(),
  }
}

/**
 * @param {Place} place
 * @returns {Store}
 */
function pagedIntoTarget({ folder, payloadBytes }) {
  const pager = new Pager({ scratchDir: folder })
  const target = new Uint8Array(payloadBytes)
  return {
    name: PAGEOUT_INTO_TARGET,
    out: bytes => pager.pageout(bytes, { detach: 'never' }),
    back: handle => pager.take(handle, target),
    close: () => pager.close(),
  }
}

/** The design one writes first. */
class FilePerPayload {
  name = FILE_PER_PAYLOAD
  #parent
  /** @type {string[]} */
  #folders = []
  #created = 0

  /** @param {Place} place */
  constructor({ folder }) {
    this.#parent = folder
  }

  /**
   * A new directory for each batch: ext4 does not give the inodes of files deleted within the last minutes out again, and
   * searching past them costs ten times what creating a file should.
   */
  prepare() {
    this.#folders.push(mkdtempSync(join(this.#parent, 'files-')))
  }

  /** @param {Uint8Array} bytes */
  out(bytes) {
    const path = join(this.#folders.at(-1) ?? this.#parent, `${this.#created++}.bin`)
    writeFileSync(path, bytes)
    return path
  }

  /** @param {string} path */
  back(path) {
    const bytes = this.read(path)
    unlinkSync(path)
    return bytes
  }

  /** @param {string} path */
  drop(path) {
    unlinkSync(path)
  }

  /** @param {string} path */
  read(path) {
    return readFileSync(path)
  }

  close() {
    for (const folder of this.#folders) rmSync(folder, { recursive: true })
  }
}

/**
 * The fastest that one can write by hand: slots in a file that is open, the one that became free last first. The memory of
 * what went out is the garbage collector's.
 */
class OpenFile {
  /** @type {number[]} */
  #free = []
  #slots = 0

  /**
   * @param {string} name
   * @param {Place} place
   */
  constructor(name, { folder, payloadBytes }) {
    this.name = name
    this.payloadBytes = payloadBytes
    this.file = openUnnamed(folder)
  }

  /** @param {Uint8Array} bytes */
  out(bytes) {
    const slot = this.#free.pop() ?? this.#slots++
    whole(writeSync(this.file, bytes, 0, bytes.byteLength, slot * this.payloadBytes), bytes)
    return slot
  }

  /**
   * @param {number} slot
   * @param {Uint8Array} [bytes] where to put it, by default new memory that nobody cleared
   */
  back(slot, bytes) {
    const result = this.read(slot, bytes)
    this.drop(slot)
    return result
  }

  /** @param {number} slot */
  drop(slot) {
    this.#free.push(slot)
  }

  /**
   * @param {number} slot
   * @param {Uint8Array} [bytes] as above
   */
  read(slot, bytes = Buffer.allocUnsafeSlow(this.payloadBytes)) {
    whole(readSync(this.file, bytes, 0, bytes.byteLength, slot * this.payloadBytes), bytes)
    return bytes
  }

  close() {
    closeSync(this.file)
  }
}

/** @param {string} folder */
function openUnnamed(folder) {
  const path = join(mkdtempSync(join(folder, 'open-')), 'open.bin')
  const file = openSync(path, 'wx+')
  unlinkSync(path)
  return file
}

/**
 * @param {number} moved
 * @param {Uint8Array} bytes
 */
function whole(moved, bytes) {
  if (moved !== bytes.byteLength) throw new Error(`only ${moved} of ${bytes.byteLength} bytes were moved`)
}

/**
 * @param {Place} place
 * @returns {Store}
 */
function openFileFreed(place) {
  const file = new OpenFile(OPEN_FILE_FREED, place)
  const out = (/** @type {Uint8Array} */ bytes) => {
    const slot = file.out(bytes)
    free(/** @type {ArrayBuffer} */ (bytes.buffer))
    return slot
  }
  return {
    name: file.name,
    out,
    back: slot => file.back(slot),
    drop: slot => file.drop(slot),
    close: () => file.close(),
  }
}

const { port1: closedPort } = new MessageChannel()
closedPort.close()

/**
 * Frees a buffer now instead of when the garbage is collected, as far as JavaScript can: it is transferred to a port that
 * is closed, which has no use for it. (`structuredClone` with transfer leaves a clone for the collector.)
 *
 * @param {ArrayBuffer} buffer
 */
function free(buffer) {
  closedPort.postMessage(undefined, [buffer])
  if (buffer.byteLength > 0) throw new Error('the buffer could not be transferred')
}

/**
 * @param {Place} place
 * @returns {Store}
 */
function openFileIntoTarget(place) {
  const file = new OpenFile(OPEN_FILE_INTO_TARGET, place)
  const target = new Uint8Array(place.payloadBytes)
  return {
    name: file.name,
    out: bytes => file.out(bytes),
    back: slot => file.back(slot, target),
    close: () => file.close(),
  }
}
