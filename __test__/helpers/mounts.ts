/** Small file systems, for tests that fill them. */

import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, openSync, statfsSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { KIB } from './chunks.js'
import { newDirectory } from './places.js'

const TMPFS = 0x01021994

/** Whether `/dev/shm` is in memory here. */
export const inMemory = process.platform === 'linux' && existsSync('/dev/shm') && statfsSync('/dev/shm').type === TMPFS
/** Whether file systems can be mounted. */
export const canMount = inMemory && process.getuid?.() === 0 && works('unshare --mount mount -t tmpfs tmpfs /dev/shm')
/** Whether a file can be mounted as a file system. */
export const canMountFiles = canMount && works('command -v mkfs.ext4 && losetup -f')

/** Mounts a small file system in memory. */
export function newMount(t: ExecutionContext, size: string): string {
  const directory = newDirectory(t)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory])
  t.teardown(() => execFileSync('umount', ['--lazy', directory]))
  return directory
}

/** Mounts a file of `bytes` bytes in `parent`, which may have fewer, as a file system. */
export function newFileMount(t: ExecutionContext, kind: 'ext2' | 'ext4', bytes: number, parent: string): string {
  const [image, place] = [join(parent, 'image'), newDirectory(t)]
  writeFileSync(image, '')
  truncateSync(image, bytes)
  execFileSync(`mkfs.${kind}`, ['-q', '-F', image])
  execFileSync('mount', ['-o', 'loop', image, place])
  t.teardown(() => execFileSync('umount', [place]))
  return place
}

/** Writes until the disk is full. */
export function writeFull(path: string): void {
  const descriptor = openSync(path, 'w')
  try {
    for (;;) writeSync(descriptor, new Uint8Array(KIB))
  } catch {
    closeSync(descriptor)
  }
}

function works(command: string): boolean {
  try {
    execFileSync('sh', ['-c', command], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
