/**
 * Prints how far resident memory rose above what the process had when it was idle, while payloads come and go within a memory
 * budget. Arguments: bytes of a payload, how many there are, bytes of the budget, `sync` or `promises`, and other options.
 */

import { type Handle, Pager, type PagerOptions } from 'pageout'
import { Pager as PromisePager } from 'pageout/promises'

const [payloadBytes = 0, count = 0, residentBytes = 0] = process.argv.slice(2, 5).map(Number)
const isSync = process.argv[5] === 'sync'
const options: PagerOptions = { residentBytes, ...JSON.parse(process.argv[6] ?? '{}') }
const pager = isSync ? new Pager(options) : new PromisePager(options)
const inFlightMax = isSync ? 1 : 4

const handles: Handle<Uint8Array>[] = []
let idleBytes = 0
let peakBytes = 0

/** Without the payloads, which are released: the code, the handles' own tables, and what V8 keeps. */
async function warmUp(): Promise<void> {
  for (let round = 0; round < 64; round++) await pager.take(await pager.pageout(new Uint8Array(payloadBytes)))
  globalThis.gc?.()
  pager.trim()
  idleBytes = process.memoryUsage.rss()
}

/** What a caller does with one payload: it is replaced, looked at, or read. */
async function use(position: number, step: number): Promise<void> {
  const handle = handles[position]
  if (!handle) {
    handles[position] = await pager.pageout(new Uint8Array(payloadBytes).fill(position))
  } else if (step % 3 === 0) {
    const borrow = pager instanceof Pager ? pager.borrow(handle) : await pager.borrow(handle)
    check(borrow.value, position)
    borrow.release()
  } else if (step % 3 === 1) {
    check(await pager.readAt(handle, 0, 512), position)
  } else {
    const bytes = await pager.take(handle)
    check(bytes, position)
    handles[position] = await pager.pageout(bytes)
  }
}

function check(bytes: Uint8Array, position: number): void {
  if (bytes[0] !== position % 256 || bytes[bytes.length - 1] !== position % 256) throw new Error(`payload ${position}`)
}

await warmUp()
for (let step = 0; step < 4 * count; step += inFlightMax) {
  const positions = Array.from({ length: inFlightMax }, (_, next) => ((step + next) * 7) % count)
  await Promise.all(positions.map((position, next) => use(position, step + next)))
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss())
}
const { evictions, residentBytes: leftBytes } = pager.stats()
console.log(JSON.stringify({ risenBytes: peakBytes - idleBytes, evictions, leftBytes }))
await pager.close()
