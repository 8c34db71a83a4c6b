/** Groups of processes whose memory has a limit, page cache included. */

import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'

const VERSION_1 = { parent: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes' }
const VERSION_2 = { parent: '/sys/fs/cgroup', limit: 'memory.max' }

/**
 * A shell command that puts its shell into a new group of processes, which is removed after the test. Where no group can be
 * made (that needs root on a Linux with control groups), a command that does nothing, and the test says so.
 */
export function enterMemoryGroup(t: ExecutionContext, limitBytes: number): string {
  const { parent, limit } = existsSync(VERSION_1.parent) ? VERSION_1 : VERSION_2
  const path = join(parent, `pageout-test-${process.pid}-${Date.now()}`)
  try {
    mkdirSync(path)
    t.teardown(() => rmdirSync(path))
    writeFileSync(join(path, limit), String(limitBytes))
  } catch (error) {
    t.log(`without a memory group: ${error}`)
    return 'true'
  }
  return `echo $$ > ${join(path, 'cgroup.procs')}`
}
