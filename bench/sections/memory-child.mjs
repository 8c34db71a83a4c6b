// One way and one kind of work of `memory.mjs`, in a process of its own. Beneath the package's own calls, so that nothing but
// memory differs. Arguments: way, work, bytes of a payload.
import { createRequire } from 'node:module'
import * as workerThreads from 'node:worker_threads'
import { giveBack } from '../../dist/memory/freeing.js'
import { allocate, defaultSpareBytes, inherit, spareFor } from '../../dist/memory/results.js'
import { platformHere } from '../../scripts/prepare.mjs'

/** @typedef {{ giveBack(moved: ArrayBuffer, from: ArrayBuffer): void, take(byteLength: number): ArrayBuffer }} Way */

const native = createRequire(import.meta.url)(`../../pageout.${platformHere()}.node`)
const [way = '', work = '', sizeText] = process.argv.slice(2)
const payloadBytes = Number(sizeText)
const { isMarkedAsUntransferable } = workerThreads
const MIB = 2 ** 20
const SPARE_BYTES = 32 * MIB

/** @type {Record<string, () => Way | undefined>} */
const WAYS = {
  0.1: () => asBefore(SPARE_BYTES),
  '0.1 without spares': () => asBefore(0),
  freed1: () => freed(MIB),
  freed4: () => freed(4 * MIB),
  freed8: () => freed(8 * MIB),
  freed32: () => freed(32 * MIB),
  ours: () => ours(defaultSpareBytes()),
  'ours without spares': () => ours(0),
  never: () => undefined,
}

/**
 * Whatever it was: advised away and kept, as version 0.1 did.
 *
 * @param {number} budgetBytes
 * @returns {Way}
 */
function asBefore(budgetBytes) {
  /** @type {Map<number, ArrayBuffer[]>} */
  const spares = new Map()
  const huge = new WeakSet()
  let bytes = 0
  const isPutInHugePages = (/** @type {ArrayBuffer} */ buffer) => {
    if (buffer.byteLength < 4 * MIB || !native.preferHugePages(new Uint8Array(buffer))) return false
    huge.add(buffer)
    return true
  }
  const remove = (/** @type {number} */ byteLength) => {
    const sameLength = spares.get(byteLength)
    const chosen = sameLength?.pop()
    if (sameLength?.length === 0) spares.delete(byteLength)
    if (chosen) bytes -= byteLength
    return chosen
  }
  return {
    giveBack(moved, from) {
      const { byteLength } = moved
      const view = new Uint8Array(moved)
      if (huge.has(from)) huge.add(moved)
      if (byteLength < 4096) return
      if (byteLength > budgetBytes) {
        native.release(view)
        return
      }
      while (bytes + byteLength > budgetBytes)
        native.release(new Uint8Array(/** @type {any} */ (remove([...spares.keys()][0] ?? 0))))
      if (!huge.has(moved) && isPutInHugePages(moved)) native.discardPages(view)
      else native.offerPages(view)
      const sameLength = spares.get(byteLength) ?? []
      spares.delete(byteLength)
      spares.set(byteLength, sameLength)
      sameLength.push(moved)
      bytes += byteLength
    },
    take(byteLength) {
      const spare = remove(byteLength)
      if (spare) return spare
      const buffer = fresh(byteLength)
      isPutInHugePages(buffer)
      return buffer
    },
  }
}

/**
 * Whatever it was: freed, and the heap trimmed after every so many bytes.
 *
 * @param {number} stepBytes
 * @returns {Way}
 */
function freed(stepBytes) {
  let bytes = 0
  return {
    giveBack(moved) {
      bytes += moved.byteLength
      native.detach(new Uint8Array(moved))
      if (bytes < stepBytes) return
      native.trimHeap()
      bytes = 0
    },
    take: fresh,
  }
}

/**
 * As the package does.
 *
 * @param {number} spareBytes
 * @returns {Way}
 */
function ours(spareBytes) {
  return {
    giveBack(moved, from) {
      inherit(moved, from)
      giveBack(moved, spareBytes)
    },
    take: byteLength => spareFor(byteLength) ?? allocate(byteLength),
  }
}

/** @param {number} byteLength */
function fresh(byteLength) {
  return /** @type {ArrayBuffer} */ (Buffer.allocUnsafeSlow(byteLength).buffer)
}

/** @param {ArrayBuffer} buffer */
function moved(buffer) {
  if (!isMarkedAsUntransferable) return structuredClone(buffer, { transfer: [buffer] })
  return isMarkedAsUntransferable(buffer) ? buffer : /** @type {any} */ (buffer).transfer()
}

const chosen = WAYS[way]
if (!chosen) throw new Error(`the ways are ${Object.keys(WAYS)}`)
const memory = chosen()
const pager = native.openDefault()

/** @param {Uint8Array} bytes */
function out(bytes) {
  const ticket = native.pageoutOne(pager, bytes)
  const { buffer } = bytes
  memory?.giveBack(moved(/** @type {ArrayBuffer} */ (buffer)), /** @type {ArrayBuffer} */ (buffer))
  return ticket
}

/** @param {number} ticket */
function back(ticket) {
  const bytes = new Uint8Array(memory?.take(payloadBytes) ?? fresh(payloadBytes))
  native.take(pager, ticket, bytes)
  return bytes
}

/** @type {ArrayBuffer[]} */
const live = []
/** @param {number} number */
function made(number) {
  live.push(new ArrayBuffer(3000))
  return new Uint8Array(payloadBytes).fill(number + 1)
}

const now = () => performance.now() * 1000
// glibc maps long blocks by themselves only until the first of them was freed.
native.detach(new Uint8Array(moved(new Uint8Array(24 * MIB).fill(1).buffer)))
const answer = { hot, fresh: freshBatches, never }[work]?.()
if (!answer) throw new Error('the kinds of work are hot, fresh and never')
console.log(JSON.stringify({ ...answer, rss: process.memoryUsage.rss() / MIB }))

/** What came back goes out next. */
function hot() {
  const trips = Math.min(40_000, Math.ceil((800 * MIB) / payloadBytes))
  let bytes = made(0)
  for (let trip = 0; trip < trips / 4; trip++) bytes = back(out(bytes))
  const start = now()
  for (let trip = 0; trip < trips; trip++) bytes = back(out(bytes))
  return { us: (now() - start) / trips }
}

/** Batches of 32 MiB that the caller allocated go out, then come back. */
function freshBatches() {
  const count = (32 * MIB) / payloadBytes
  const outs = []
  const backs = []
  for (let batch = 0; batch < 5; batch++) {
    const arrays = Array.from({ length: count }, (_, number) => made(number))
    globalThis.gc?.()
    const start = now()
    const tickets = arrays.map(out)
    const middle = now()
    const results = tickets.map(back)
    backs.push((now() - middle) / count)
    outs.push((middle - start) / count)
    if (results[1]?.at(-1) !== 2) throw new Error('not what went out')
  }
  const median = (/** @type {number[]} */ all) => all.slice(1).sort((a, b) => a - b)[2] ?? 0
  return { us: median(outs) + median(backs), out: median(outs), back: median(backs) }
}

/** What the caller allocated goes out and never comes back; `all` has the allocation in it. */
function never() {
  const count = Math.ceil(((payloadBytes <= 4096 ? 64 : 256) * MIB) / payloadBytes)
  for (let number = 0; number < count / 4; number++) out(made(number))
  let us = 0
  const start = now()
  for (let number = 0; number < count; number++) {
    const bytes = made(number)
    const before = now()
    out(bytes)
    us += now() - before
  }
  return { us: us / count, all: (now() - start) / count }
}
