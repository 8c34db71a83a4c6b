// A group of processes whose memory has a limit, page cache included: what a container has. For benches and examples.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The files of control groups of a version. The limit of memory with swap is there only where swap is counted. */
const VERSION_1 = {
  parent: '/sys/fs/cgroup/memory',
  limit: 'memory.limit_in_bytes',
  limitWithSwap: limitBytes => ['memory.memsw.limit_in_bytes', String(limitBytes)],
  used: 'memory.usage_in_bytes',
  kills: 'memory.oom_control',
}
const VERSION_2 = {
  parent: '/sys/fs/cgroup',
  limit: 'memory.max',
  limitWithSwap: () => ['memory.swap.max', '0'],
  used: 'memory.current',
  kills: 'memory.events',
}

/** Writes the process of the shell into the file that is the first argument, and becomes what the others say. */
const ENTER = 'echo $$ > "$0" && exec "$@"'

let groups = 0

export class MemoryGroup {
  #path
  #files

  /**
   * @param {number} limitBytes
   * @throws when this process is not root, or not on a Linux with control groups
   */
  constructor(limitBytes) {
    this.#files = existsSync(VERSION_1.parent) ? VERSION_1 : VERSION_2
    this.#path = join(this.#files.parent, `pageout-${process.pid}-${++groups}`)
    mkdirSync(this.#path)
    try {
      this.#limit(limitBytes)
    } catch (error) {
      this.remove()
      throw error
    }
  }

  /** @param {number} limitBytes */
  #limit(limitBytes) {
    const { limit, limitWithSwap } = this.#files
    writeFileSync(join(this.#path, limit), String(limitBytes))
    const [name, value] = limitWithSwap(limitBytes)
    const path = join(this.#path, name)
    if (existsSync(path)) writeFileSync(path, value)
  }

  /** The command that runs the command behind it in this group. */
  get prefix() {
    return ['sh', '-c', ENTER, join(this.#path, 'cgroup.procs')]
  }

  /** What the group has in use, page cache included. */
  get usedBytes() {
    return Number(readFileSync(join(this.#path, this.#files.used), 'latin1'))
  }

  /** How many of its processes the kernel has killed because of the limit. */
  get kills() {
    const counters = readFileSync(join(this.#path, this.#files.kills), 'latin1')
    return Number(/^oom_kill (\d+)$/m.exec(counters)?.[1] ?? 0)
  }

  /** Its processes have ended. */
  remove() {
    rmdirSync(this.#path)
  }
}
