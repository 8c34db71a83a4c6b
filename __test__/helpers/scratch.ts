/** The scratch files of this process, by way of its descriptors. */

import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs'

/** Ways to the open scratch files of this process in a directory. */
export function scratchFiles(directory: string): string[] {
  const paths = readdirSync('/proc/self/fd').map(descriptor => `/proc/self/fd/${descriptor}`)
  return paths.filter(path => existsSync(path) && isBelow(path, directory))
}

function isBelow(path: string, directory: string): boolean {
  try {
    return readlinkSync(path).startsWith(`${directory}/`)
  } catch {
    return false
  }
}

/** Damages the scratch file that holds `bytes`, from their place on. Gives what repairs it. */
export function spoil(directory: string, bytes: Uint8Array, way: 'overwritten' | 'cut off'): () => void {
  const path = scratchFiles(directory).find(path => readFileSync(path).indexOf(bytes) >= 0)
  if (path === undefined) throw new Error('no scratch file holds the bytes')
  const content = readFileSync(path)
  const start = content.indexOf(bytes)
  const descriptor = openSync(path, 'r+')
  const { size } = fstatSync(descriptor)
  if (way === 'overwritten')
    writeSync(
      descriptor,
      bytes.slice(0, 4).map(byte => byte ^ 0xff),
      0,
      4,
      start,
    )
  else ftruncateSync(descriptor, start)
  return () => {
    ftruncateSync(descriptor, size)
    writeSync(descriptor, bytes, 0, bytes.length, start)
    closeSync(descriptor)
  }
}
