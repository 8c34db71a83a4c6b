/**
 * Small reads that were started in one tick ride in one job of libuv's pool, whose cost is that of several such reads. What
 * of them is in memory is read first, and the device works on all others together.
 */

import * as native from '../index.js'
import { run } from './lane.js'
import { fresh } from './memory.js'

/** The longest read that rides with others; the copy of a longer one costs more than a job. */
const SMALL_READ_BYTES = 64 * 1024
/** The most that rides together: few enough that the threads for jobs and that of JavaScript work side by side. */
const BATCH_READS = 32
const BATCH_BYTES = 256 * 1024

/** A read of a payload. */
interface SmallRead {
  readonly ticket: number
  /** Offset and length of each range, one after the other. */
  readonly ranges: Float64Array
  readonly byteLength: number
  /** Memory for the result, if some was lying about. */
  readonly spare: ArrayBuffer | undefined
}

interface Waiting {
  readonly read: SmallRead
  readonly resolve: (buffer: ArrayBuffer) => void
  readonly reject: (error: unknown) => void
}

/** Whether a read may ride with others. */
export function isSmall(byteLength: number): boolean {
  return byteLength <= SMALL_READ_BYTES
}

/** The small reads of one pager. */
export class SmallReads {
  readonly #ref: native.PagerRef
  #waiting: Waiting[] = []

  constructor(ref: native.PagerRef) {
    this.#ref = ref
  }

  /** Reads with the others of this tick, into memory that nobody else knows. Rejects with what the addon says. */
  read(read: SmallRead): Promise<ArrayBuffer> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) queueMicrotask(() => this.#start())
      this.#waiting.push({ read, resolve, reject })
    })
  }

  #start(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const batch of batches(waiting)) void this.#readTogether(batch)
  }

  async #readTogether(batch: readonly Waiting[]): Promise<void> {
    const [only] = batch.length === 1 ? batch : []
    if (only) return await this.#readAlone(only)
    try {
      const { buffers, failed } = await run(() => this.#readBatch(batch), undefined)
      for (const [position, waiting] of batch.entries()) {
        const buffer = buffers[position]
        // A read that failed among others says why when it is made again by itself.
        if (!buffer || failed.has(position)) void this.#readAlone(waiting)
        else waiting.resolve(buffer)
      }
    } catch (thrown) {
      for (const { reject } of batch) reject(thrown)
    }
  }

  async #readBatch(batch: readonly Waiting[]): Promise<{ buffers: readonly ArrayBuffer[]; failed: Set<number> }> {
    const tickets = new Float64Array(batch.length)
    const counts = new Uint32Array(batch.length)
    const ranges = new Float64Array(batch.reduce((sum, { read }) => sum + read.ranges.length, 0))
    let filled = 0
    batch.forEach(({ read }, position) => {
      tickets[position] = read.ticket
      counts[position] = read.ranges.length / 2
      ranges.set(read.ranges, filled)
      filled += read.ranges.length
    })
    const buffers = batch.map(({ read }) => bufferFor(read))
    const targets = buffers.map(buffer => new Uint8Array(buffer))
    const failed = await native.readBatchAsync(this.#ref, tickets, counts, ranges, targets)
    return { buffers, failed: new Set(failed) }
  }

  async #readAlone({ read, resolve, reject }: Waiting): Promise<void> {
    try {
      const buffer = await run(async () => {
        const into = bufferFor(read)
        await native.readAsync(this.#ref, read.ticket, read.ranges, new Uint8Array(into))
        return into
      }, undefined)
      resolve(buffer)
    } catch (thrown) {
      reject(thrown)
    }
  }
}

function bufferFor({ spare, byteLength }: SmallRead): ArrayBuffer {
  return spare ?? fresh(byteLength)
}

/** Cuts reads into batches that are not too large. */
function* batches(all: readonly Waiting[]): Generator<readonly Waiting[]> {
  let batch: Waiting[] = []
  let batchBytes = 0
  for (const waiting of all) {
    const { byteLength } = waiting.read
    if (batch.length === BATCH_READS || (batch.length > 0 && batchBytes + byteLength > BATCH_BYTES)) {
      yield batch
      batch = []
      batchBytes = 0
    }
    batch.push(waiting)
    batchBytes += byteLength
  }
  if (batch.length > 0) yield batch
}
