/**
 * Looks at payloads one after another, more of them than the memory budget has room for, between two marks in the trace of its system
 * calls: each of them comes from disk, and another one leaves, which nobody has changed. Arguments: bytes, looks.
 */

import { statSync } from 'node:fs'
import { Pager } from 'pageout'

const [byteLength = 0, looks = 0] = process.argv.slice(2).map(Number)
const ROOMS = 64
const pager = new Pager({ residentBytes: ROOMS * byteLength })
const handles = Array.from({ length: 4 * ROOMS }, (_, seed) => pager.pageout(new Uint8Array(byteLength).fill(seed)))
let looked = 0

function look(count: number): void {
  for (const end = looked + count; looked < end; looked++) {
    const seed = looked % handles.length
    const isRight = (value: Uint8Array) => value[0] === seed && value.at(-1) === seed
    if (!pager.borrow(handles[seed] as (typeof handles)[number], isRight)) throw new Error(`payload ${seed} is wrong`)
  }
}

/** A name of no file, which shows up in the trace. */
const mark = (place: 'begin' | 'end') => statSync(`/no-such-file-${place}`, { throwIfNoEntry: false })

// All are on disk from then on, and what is in memory is memory of the package.
look(3 * handles.length)
const before = pager.stats()
mark('begin')
look(looks)
mark('end')
const after = pager.stats()
const names = [
  'residentHits',
  'residentMisses',
  'evictions',
  'evictionsWithoutWrite',
  'changedBorrows',
  'spareHits',
] as const
const counts = Object.fromEntries(names.map(name => [name, after[name] - before[name]]))
console.log(JSON.stringify({ ...counts, spareBytes: after.spareBytes }))
pager.close()
