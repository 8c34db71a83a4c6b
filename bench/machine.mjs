// What a measurement has to say about where it was made.
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { GIB } from './payloads.mjs'

/**
 * @param {string} fileSystem
 * @param {string} lmdb its version
 * @returns {Record<string, string>}
 */
export function machine(fileSystem, lmdb) {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  const memory = `${Math.floor(totalmem() / GIB)} GiB`
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores, ${memory}`,
    kernel: `${type()} ${release().split('.', 2).join('.')}`,
    'file system': fileSystem,
    node: process.versions.node,
    lmdb,
    pageout: version,
  }
}
