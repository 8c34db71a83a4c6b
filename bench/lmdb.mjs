// lmdb, which is a package and may not have a binary for every platform.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installIn } from '../scripts/prepare.mjs'

/** @typedef {import('./types.js').Makers} Makers */
/** @typedef {import('./types.js').Place} Place */
/** @typedef {import('./types.js').Store} Store */

/**
 * What is used of it.
 *
 * @typedef {object} Database
 * @property {(key: number, bytes: Uint8Array) => boolean} putSync
 * @property {(key: number) => Buffer | undefined} getBinary
 * @property {(key: number) => boolean} removeSync
 * @property {() => Promise<void>} close
 */

export const LMDB = 'lmdb'
const FOLDER = fileURLToPath(new URL('.', import.meta.url))

/** What was done for it, which is said wherever it takes part. */
const NOTE =
  'lmdb runs without syncs, cleared pages, compression and cache (noSync, noMemInit, overlappingSync: false), each verb a synchronous transaction, and its values are copied into memory of their own.'

/**
 * The store and a note about it, or none and why.
 *
 * @returns {Promise<{ makers: Makers, version: string, note: string }>}
 */
export async function loadLmdb() {
  try {
    installIn(FOLDER, 'installing the rivals')
    const { open } = await import(/** @type {string} */ ('lmdb'))
    const { version } = JSON.parse(readFileSync(join(FOLDER, 'node_modules/lmdb/package.json'), 'utf8'))
    return { makers: { [LMDB]: place => new LmdbStore(open, place) }, version, note: NOTE }
  } catch (error) {
    const [reason] = /** @type {Error} */ (error).message.split('\n')
    return { makers: {}, version: 'not loaded', note: `lmdb is left out, because it cannot be loaded: ${reason}.` }
  }
}

/** @implements {Store} */
class LmdbStore {
  name = LMDB
  /** @type {Database} */
  #database
  #created = 0
  #path

  /**
   * @param {(options: object) => Database} open
   * @param {Place} place
   */
  constructor(open, { folder }) {
    this.#path = mkdtempSync(join(folder, 'lmdb-'))
    this.#database = open({
      path: this.#path,
      encoding: 'binary',
      compression: false,
      cache: false,
      noSync: true,
      noMemInit: true,
      overlappingSync: false,
    })
  }

  /** @param {Uint8Array} bytes */
  out(bytes) {
    const key = this.#created++
    this.#database.putSync(key, bytes)
    return key
  }

  /** @param {number} key */
  back(key) {
    const bytes = this.read(key)
    this.drop(key)
    return bytes
  }

  /** @param {number} key */
  drop(key) {
    this.#database.removeSync(key)
  }

  /** @param {number} key */
  read(key) {
    const bytes = this.#database.getBinary(key)
    if (!bytes) throw new Error(`lmdb lost payload ${key}`)
    return bytes
  }

  async close() {
    await this.#database.close()
    rmSync(this.#path, { recursive: true })
  }
}
