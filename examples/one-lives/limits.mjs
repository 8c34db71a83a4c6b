// Three ways to limit the memory of a child, the best first: a memory group, as a container has; its data segment; and
// where neither can be had, the demo itself, which watches the child and ends it.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { MemoryGroup } from '../../scripts/memory-group.mjs'
import { MIB } from '../shared/units.mjs'
import { kibOf, NoLimit } from '../shared/watch.mjs'

const KIB = 2 ** 10
/** How far past the limit a child may go that is only watched. */
const WATCHED_FACTOR = 2

/** @typedef {import('../shared/watch.mjs').Recording} Recording */
/** @typedef {'group' | 'data' | 'watch'} LimitName */

/** What the three have in common. */
class Limit extends NoLimit {
  /**
   * @param {number} bytes
   * @param {string} about
   */
  constructor(bytes, about) {
    super()
    this.bytes = bytes
    this.about = about
  }

  close() {}
}

/** A memory group. Its page cache counts, and is what the kernel drops before it kills. */
class GroupLimit extends Limit {
  #group

  /** @param {number} bytes */
  constructor(bytes) {
    super(bytes, `a memory group of ${bytes / MIB} MiB, page cache included, without swap`)
    this.#group = new MemoryGroup(bytes)
    this.prefix = this.#group.prefix
  }

  /** @param {Recording} recording */
  isDeath({ status }) {
    return status === 'SIGKILL' && this.#group.kills > 0
  }

  /** Its group has ended. */
  close() {
    this.#group.remove()
  }
}

/**
 * What the process may still allocate after its start, when a part of the limit is in use. Node reserves memory for itself
 * that it may never touch, which counts for a limit of the data segment: so the limit is set when it has started.
 */
class DataLimit extends Limit {
  /** @param {number} bytes */
  constructor(bytes) {
    super(bytes, `a limit of ${bytes / MIB} MiB for what it allocates, and NO memory group, which would need root`)
    if (process.platform !== 'linux') throw new Error('there is no such limit on this system')
    const { error, status } = spawnSync('prlimit', ['--version'])
    if (error || status !== 0) throw new Error('prlimit is not installed')
  }

  /** @param {number} pid */
  onReady(pid) {
    const memory = readFileSync(`/proc/${pid}/status`, 'latin1')
    const usedBytes = (kibOf(memory, 'VmData') - kibOf(memory, 'VmRSS')) * KIB
    const { status } = spawnSync('prlimit', ['--pid', String(pid), `--data=${usedBytes + this.bytes}`])
    if (status !== 0) throw new Error('prlimit failed')
  }

  /**
   * Node ends itself where it gets no memory.
   * @param {Recording} recording
   */
  isDeath({ status }) {
    return status === 'SIGABRT' || status === 'SIGTRAP'
  }
}

/** No limit: the demo ends what goes far past it. */
class WatchedLimit extends Limit {
  #isStopped = false

  /** @param {number} bytes */
  constructor(bytes) {
    const endMib = (WATCHED_FACTOR * bytes) / MIB
    super(bytes, `NO limit, as none can be set here: the demo itself ends a process that has ${endMib} MiB`)
  }

  /**
   * @param {number} rssBytes
   * @param {() => void} stop
   */
  onSample(rssBytes, stop) {
    if (rssBytes < WATCHED_FACTOR * this.bytes) return
    this.#isStopped = true
    stop()
  }

  /** @param {Recording} _recording */
  isDeath(_recording) {
    return this.#isStopped
  }
}

const WAYS = { group: GroupLimit, data: DataLimit, watch: WatchedLimit }
export const LIMIT_NAMES = /** @type {LimitName[]} */ (Object.keys(WAYS))

/**
 * The best way that there is here.
 * @param {number} bytes
 * @returns {LimitName}
 */
export function bestLimit(bytes) {
  const isPossible = (/** @type {LimitName} */ name) => {
    try {
      new WAYS[name](bytes).close()
      return true
    } catch {
      return false
    }
  }
  return /** @type {LimitName} */ (LIMIT_NAMES.find(isPossible))
}

/**
 * @param {LimitName} name
 * @param {number} bytes
 */
export const openLimit = (name, bytes) => new WAYS[name](bytes)

/**
 * How a process ended, in a word and in the number that a shell shows.
 * @param {LimitName} name
 * @param {number | NodeJS.Signals} status
 */
export function deathOf(name, status) {
  if (name === 'watch') return 'stopped by the demo'
  const exitCode = typeof status === 'number' ? status : 128 + constants.signals[status]
  return `${name === 'group' ? 'killed' : 'out of memory'} (${exitCode})`
}
