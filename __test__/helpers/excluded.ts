/** Memory that is kept out of core dumps. */

import { readFileSync } from 'node:fs'
import { KIB } from './chunks.js'

/** Bytes of this process's memory that are kept out of core dumps, as proc(5) says under smaps. */
export function excludedBytes(): number {
  const mappings = readFileSync('/proc/self/smaps', 'utf8').matchAll(/^Size: +(\d+) kB\n(?:.*\n)*?VmFlags: (.*)$/gm)
  return [...mappings].reduce((sum, [, size, flags]) => sum + (/\bdd\b/.test(flags ?? '') ? Number(size) * KIB : 0), 0)
}
