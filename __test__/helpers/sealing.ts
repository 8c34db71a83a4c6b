/** Pagers that seal what lies on the disk, what there is to store in them, and what lies there. */

import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import type { PagerOptions } from 'pageout'
import { KIB, pattern } from './chunks.js'
import { scratchFiles } from './scratch.js'

export const PAGE = 4 * KIB

/** The ways of sealing. */
export const sealings: Readonly<Record<string, Pick<PagerOptions, 'compression' | 'encryption'>>> = {
  encrypted: { encryption: true },
  compressed: { compression: 'lz4' },
  'compressed and encrypted': { compression: 'lz4', encryption: true },
}

/** Those of them that encrypt. */
export const encrypted = Object.entries(sealings).filter(([, { encryption }]) => encryption)

/** Bytes of numbers that change a little from one to the next, as a sensor gives them: they shrink. */
export function readings(byteLength: number, seed = 1): Uint8Array {
  const noise = pattern(Math.ceil(byteLength / 8), seed)
  let value = 20 + seed
  const numbers = Float64Array.from(noise, byte => {
    value += (byte % 3) / 4 - 0.25
    return value
  })
  return new Uint8Array(numbers.buffer, 0, byteLength).slice()
}

const WORDS = ['the ', 'cold ', 'array ', 'leaves ', 'memory, ', 'and ', 'comes ', 'back ', 'as ', 'it ', 'was.\n'].map(
  word => Buffer.from(word),
)

/** Bytes of text: they shrink, and no element is longer than a byte. */
export function prose(byteLength: number, seed = 1): Uint8Array {
  const [text, choices] = [Buffer.alloc(byteLength), pattern(Math.ceil(byteLength / 3), seed)]
  for (let [end, word] = [0, 0]; end < byteLength; word++)
    end += (WORDS[(choices[word] ?? 0) % 11] as Buffer).copy(text, end)
  return new Uint8Array(text.buffer, text.byteOffset, byteLength).slice()
}

/** Some pages of a scratch file. */
export interface Place {
  readonly path: string
  readonly start: number
  readonly length: number
}

/**
 * What a step wrote into the scratch files of a directory: from the first page that has changed to the last, in one file.
 *
 * @param mostBytes what is longer is something else that was written meanwhile
 */
export function written(directory: string, step: () => void, mostBytes = Number.POSITIVE_INFINITY): Place {
  const before = new Map(scratchFiles(directory).map(path => [path, readFileSync(path)]))
  step()
  const places = scratchFiles(directory).flatMap(path => changed(path, before.get(path) ?? Buffer.alloc(0)))
  const [only, ...others] = places.filter(({ length }) => length <= mostBytes)
  if (!only || others.length > 0) throw new Error(`${places.length} scratch files have changed`)
  return only
}

function changed(path: string, before: Buffer): Place[] {
  const content = readFileSync(path)
  const old = Buffer.alloc(content.length)
  before.copy(old)
  const pages = Array.from({ length: Math.ceil(content.length / PAGE) }, (_, page) => page * PAGE)
  const different = pages.filter(
    start => !old.subarray(start, start + PAGE).equals(content.subarray(start, start + PAGE)),
  )
  const [start, end] = [different[0], different.at(-1)]
  return start === undefined || end === undefined ? [] : [{ path, start, length: end + PAGE - start }]
}

/** The bytes of a place. */
export function bytesAt({ path, start, length }: Place): Buffer {
  return withFile(path, descriptor => {
    const bytes = Buffer.alloc(length)
    readSync(descriptor, bytes, 0, length, start)
    return bytes
  })
}

/** Writes bytes over a place, from an offset on. */
export function overwrite({ path, start }: Place, bytes: Uint8Array, offset = 0): void {
  withFile(path, descriptor => writeSync(descriptor, bytes, 0, bytes.length, start + offset))
}

function withFile<T>(path: string, use: (descriptor: number) => T): T {
  const descriptor = openSync(path, 'r+')
  try {
    return use(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Everything that the scratch files of a directory contain. */
export function contentOf(directory: string): Buffer {
  return Buffer.concat(scratchFiles(directory).map(path => readFileSync(path)))
}
