/** Scratch directories and pagers that end with the test that asked for them. */

import { mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { Pager, type PagerOptions, type PagerStats } from 'pageout'

/** A directory on a disk, as far as the machine has one: what the package itself would choose. */
const ROOT = (() => {
  using pager = new Pager()
  pager.pageout(Uint8Array.of(1))[Symbol.dispose]()
  return pager.stats().scratchDir ?? '/var/tmp'
})()

/** A new directory on a disk. */
export function newDirectory(t: ExecutionContext): string {
  const directory = mkdtempSync(join(ROOT, 'pageout-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A pager with a scratch directory of its own. */
export function newPager(t: ExecutionContext, options: PagerOptions = {}): Pager {
  const pager = new Pager({ scratchDir: newDirectory(t), ...options })
  t.teardown(() => pager.close())
  return pager
}

/** Numbers that follow the machine: its swap space, its memory, the room of its disks. */
type OfMachine = 'swapBytes' | 'swapFreeBytes' | 'dirtyBudgetBytes' | 'capacityBytes'

/** What a pager counts itself. */
export function countsOf(pager: { stats(): PagerStats }): Omit<PagerStats, OfMachine> {
  const { swapBytes: _, swapFreeBytes: __, dirtyBudgetBytes: ___, capacityBytes: ____, ...counts } = pager.stats()
  return counts
}

/** Whether this system shows the open files of a process. */
export const hasProc = process.platform === 'linux'

/** Open file descriptors of this process. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

/** Bytes of disk space that open files below `directory` hold, whether or not they have a name. */
export function heldBytes(directory: string): number {
  const bytes = readdirSync('/proc/self/fd').map(descriptor => {
    const path = `/proc/self/fd/${descriptor}`
    try {
      return readlinkSync(path).startsWith(`${directory}/`) ? statSync(path).blocks * 512 : 0
    } catch {
      // The descriptor of the listing itself is closed by now.
      return 0
    }
  })
  return bytes.reduce((sum, more) => sum + more, 0)
}
