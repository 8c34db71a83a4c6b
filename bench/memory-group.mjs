// A group of processes whose memory has a limit, page cache included.
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const VERSION_1 = { parent: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes' }
const VERSION_2 = { parent: '/sys/fs/cgroup', limit: 'memory.max' }

/** Writes the process of the shell into the file that is the first argument, and becomes what the others say. */
const ENTER = 'echo $$ > "$0" && exec "$@"'

export class MemoryGroup {
  #path

  /**
   * @param {number} limitBytes
   * @throws when this process is not root, or not on a Linux with control groups
   */
  constructor(limitBytes) {
    const { parent, limit } = existsSync(VERSION_1.parent) ? VERSION_1 : VERSION_2
    this.#path = join(parent, `pageout-bench-${process.pid}`)
    mkdirSync(this.#path)
    try {
      writeFileSync(join(this.#path, limit), String(limitBytes))
    } catch (error) {
      this.remove()
      throw error
    }
  }

  /** The command that runs the command behind it in this group. */
  get prefix() {
    return ['sh', '-c', ENTER, join(this.#path, 'cgroup.procs')]
  }

  /** Its processes have ended. */
  remove() {
    rmdirSync(this.#path)
  }
}
