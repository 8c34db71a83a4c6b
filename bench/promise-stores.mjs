// The candidates whose verbs return promises.
import { mkdtempSync, rmSync } from 'node:fs'
import { open, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** @typedef {import('./types.js').Bench} Bench */
/** @typedef {import('./types.js').Build} Build */
/** @typedef {import('./types.js').Place} Place */
/** @typedef {import('./types.js').PromiseStore} PromiseStore */

export const PROMISED_PAGEOUT = 'pageout/promises'
export const PROMISED_BUDGET = 'pageout/promises within a memory budget'
export const PROMISED_FILE_PER_PAYLOAD = 'fs.promises, a file per payload'
export const PROMISED_OPEN_FILE = 'fs.promises, one open file'

/**
 * Opens all stores, and closes them after their use.
 *
 * @template T
 * @param {Bench} bench
 * @param {number} payloadBytes
 * @param {(stores: readonly PromiseStore[]) => Promise<T>} use
 * @param {number} [residentBytes] of pageout, which has no memory budget otherwise
 */
export async function withPromiseStores({ builds, folder }, payloadBytes, use, residentBytes) {
  const place = { folder, payloadBytes, residentBytes }
  /** @type {PromiseStore[]} */
  const stores = []
  try {
    for (const build of builds) stores.push(paged(build, place))
    stores.push(filePerPayload(place), await openFile(place))
    return await use(stores)
  } finally {
    for (const store of stores) await store.close()
  }
}

/**
 * @param {Build} build
 * @param {Place} place
 * @returns {PromiseStore}
 */
function paged({ promisedName, PromisePager }, { folder, residentBytes }) {
  const pager = new PromisePager({ scratchDir: folder, residentBytes })
  return {
    name: residentBytes === undefined ? promisedName : promisedName.replace(PROMISED_PAGEOUT, PROMISED_BUDGET),
    out: bytes => pager.pageout(bytes),
    back: handle => pager.take(handle),
    look: (handle, work) => pager.borrow(handle, work, { wait: true }),
    close: () => pager.close(),
  }
}

/**
 * @param {Place} place
 * @returns {PromiseStore}
 */
function filePerPayload({ folder }) {
  /** @type {string[]} a new one for each batch, as in `stores.mjs` */
  const folders = []
  let created = 0
  return {
    name: PROMISED_FILE_PER_PAYLOAD,
    prepare: () => {
      folders.push(mkdtempSync(join(folder, 'files-')))
    },
    out: async bytes => {
      const path = join(folders.at(-1) ?? folder, `${created++}.bin`)
      await writeFile(path, bytes)
      return path
    },
    back: async path => {
      const bytes = await readFile(path)
      await unlink(path)
      return bytes
    },
    look: async (path, work) => work(await readFile(path)),
    close: () => {
      for (const folder of folders) rmSync(folder, { recursive: true })
    },
  }
}

/**
 * @param {Place} place
 * @returns {Promise<PromiseStore>}
 */
async function openFile({ folder, payloadBytes }) {
  const path = join(mkdtempSync(join(folder, 'open-')), 'open.bin')
  const file = await open(path, 'wx+')
  await unlink(path)
  /** @type {number[]} */
  const free = []
  let slots = 0
  const read = async (/** @type {number} */ slot) => {
    const bytes = Buffer.allocUnsafeSlow(payloadBytes)
    const { bytesRead } = await file.read(bytes, 0, payloadBytes, slot * payloadBytes)
    if (bytesRead !== payloadBytes) throw new Error(`only ${bytesRead} bytes were read`)
    return bytes
  }
  return {
    name: PROMISED_OPEN_FILE,
    out: async bytes => {
      const slot = free.pop() ?? slots++
      const { bytesWritten } = await file.write(bytes, 0, bytes.byteLength, slot * payloadBytes)
      if (bytesWritten !== bytes.byteLength) throw new Error(`only ${bytesWritten} bytes were written`)
      return slot
    },
    back: async slot => {
      const bytes = await read(slot)
      free.push(slot)
      return bytes
    },
    look: async (slot, work) => work(await read(slot)),
    close: () => file.close(),
  }
}
