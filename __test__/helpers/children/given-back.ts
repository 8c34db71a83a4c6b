/**
 * Prints how much resident memory stays of arrays that were paged out, with allocations between them that live on. Arguments:
 * bytes of a piece, how many, `spareBytes`, how many pieces lie between two allocations that live on, and how the memory goes:
 * - `file`: pageout to the file backend
 * - `release`, `close`, `take`: of one payload of the swap backend for every four pieces; `take` into a target
 * - `pagers`: as `file`, each piece by another of 16 pagers
 */

import { Pager } from 'pageout'

const [pieceBytes = 0, count = 0, spareBytes = 0, piecesPerNeighbour = 1] = process.argv.slice(2, 6).map(Number)
const how = process.argv[6] ?? 'file'
const MIB = 2 ** 20

const isSwap = how !== 'file' && how !== 'pagers'
const pagers = Array.from(
  { length: how === 'pagers' ? 16 : 1 },
  () => new Pager({ spareBytes, backend: isSwap ? 'swap' : 'file' }),
)
const pagerOf = (position: number) => pagers[position % pagers.length] as Pager
const target = new Uint8Array(how === 'take' ? 4 * pieceBytes : 0).fill(1)
// glibc maps long blocks by themselves only until the first of them was freed.
pagerOf(0)
  .pageout(new Uint8Array(24 * MIB).fill(1), { backend: 'file' })
  [Symbol.dispose]()
pagerOf(0).trim()

const neighbours: ArrayBuffer[] = []
const pieces = Array.from({ length: count }, (_, position) => {
  if (position % piecesPerNeighbour === 0) neighbours.push(new ArrayBuffer(3000))
  return new Uint8Array(pieceBytes).fill(position + 1)
})
globalThis.gc?.()
const fullBytes = process.memoryUsage.rss()

const groups = Array.from({ length: Math.ceil(count / 4) }, (_, group) => pieces.slice(4 * group, 4 * group + 4))
const handles = isSwap
  ? groups.map(group => pagerOf(0).pageout(group))
  : pieces.map((piece, position) => pagerOf(position).pageout(piece))
if (how === 'release') for (const handle of handles) handle[Symbol.dispose]()
if (how === 'close') pagerOf(0).close()
if (how === 'take') for (const handle of handles) pagerOf(0).take(handle, target)
const leftBytes = process.memoryUsage.rss() - (fullBytes - count * pieceBytes)

pieces.length = 0
groups.length = 0
for (let pass = 0; pass < 2; pass++) globalThis.gc?.()
for (const pager of pagers) if (how !== 'close') pager.trim()
const collectedBytes = process.memoryUsage.rss() - (fullBytes - count * pieceBytes)
const isWhole =
  isSwap || handles.every((handle, i) => pagerOf(i).readAt(handle, pieceBytes - 1, 1)[0] === (i + 1) % 256)
console.log(JSON.stringify({ leftBytes, collectedBytes, isWhole, neighbours: neighbours.length }))
