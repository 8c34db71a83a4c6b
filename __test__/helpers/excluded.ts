/** Memory that is kept out of core dumps, or out of swap space. */

import { readFileSync } from 'node:fs'
import { KIB } from './chunks.js'

/** Bytes of this process's memory that are kept out of core dumps. */
export function excludedBytes(): number {
  return bytesWith('dd')
}

/** Bytes of this process's memory that are locked, so that they are not swapped out. */
export function lockedBytes(): number {
  return bytesWith('lo')
}

/** Bytes of the mappings with a flag of those that proc(5) lists under smaps. */
function bytesWith(flag: string): number {
  const mappings = readFileSync('/proc/self/smaps', 'utf8').matchAll(/^Size: +(\d+) kB\n(?:.*\n)*?VmFlags: (.*)$/gm)
  const sizes = [...mappings].map(([, size, flags]) => (flags?.split(' ').includes(flag) ? Number(size) * KIB : 0))
  return sizes.reduce((sum, size) => sum + size, 0)
}
