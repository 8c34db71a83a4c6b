/**
 * Small calls that were started in one tick ride in one job of libuv's pool, whose cost is that of several such calls. Of
 * reads, what is in memory comes first, and the device works on all others together.
 */

import type { PagerRef } from '../index.d.ts'
import { native } from './addon.js'
import { run } from './lane.js'
import { fresh } from './memory.js'

/** The most bytes of a call that rides with others; the copy of more costs more than a job. */
const SMALL_BYTES = 64 * 1024
/** The most that rides together: few enough that the threads for jobs and that of JavaScript work side by side. */
const BATCH_CALLS = 32
const BATCH_BYTES = 256 * 1024

/** Whether a call may ride with others. */
export function isSmall(byteLength: number): boolean {
  return byteLength <= SMALL_BYTES
}

/** A read of a payload into memory that nobody else knows. */
export interface SmallRead {
  readonly ticket: number
  /** Offset and length of each range, one after the other. */
  readonly ranges: Float64Array
  readonly byteLength: number
  /** Whether it is half of a take, and not counted as a read. */
  readonly isPeek: boolean
  /** Memory for the result, if some was lying about. */
  readonly spare: ArrayBuffer | undefined
}

/** A pageout of memory that nobody else knows. */
export interface SmallPageout {
  readonly buffers: readonly ArrayBuffer[]
  readonly byteLength: number
}

/** Calls of one kind that ride together. Those that fail among others are made again by themselves, to say why. */
export class SmallJobs<J extends { readonly byteLength: number }, R> {
  readonly #together: (jobs: readonly J[]) => Promise<readonly (R | undefined)[]>
  readonly #alone: (job: J) => Promise<R>
  #waiting: Waiting<J, R>[] = []

  private constructor(
    together: (jobs: readonly J[]) => Promise<readonly (R | undefined)[]>,
    alone: (job: J) => Promise<R>,
  ) {
    this.#together = together
    this.#alone = alone
  }

  /** The small reads of a pager, which give their memory. */
  static reads(ref: PagerRef): SmallJobs<SmallRead, ArrayBuffer> {
    return new SmallJobs(
      reads => readTogether(ref, reads),
      read => readAlone(ref, read),
    )
  }

  /** The small pageouts of a pager, which give their tickets. */
  static pageouts(ref: PagerRef): SmallJobs<SmallPageout, number> {
    return new SmallJobs(
      pageouts => pageoutTogether(ref, pageouts),
      ({ buffers }) => native.pageoutAsync(ref, buffers.map(bytesOf), NEVER),
    )
  }

  /** Does a job with the others of this tick. Rejects with what the addon says. */
  do(job: J): Promise<R> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) queueMicrotask(() => this.#start())
      this.#waiting.push({ job, resolve, reject })
    })
  }

  #start(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const batch of batches(waiting)) void this.#doTogether(batch)
  }

  async #doTogether(batch: readonly Waiting<J, R>[]): Promise<void> {
    const [only] = batch.length === 1 ? batch : []
    if (only) return await this.#doAlone(only)
    try {
      const results = await run(() => this.#together(batch.map(({ job }) => job)), undefined)
      for (const [position, waiting] of batch.entries()) {
        const result = results[position]
        if (result === undefined) void this.#doAlone(waiting)
        else waiting.resolve(result)
      }
    } catch (thrown) {
      for (const { reject } of batch) reject(thrown)
    }
  }

  async #doAlone({ job, resolve, reject }: Waiting<J, R>): Promise<void> {
    try {
      resolve(await run(() => this.#alone(job), undefined))
    } catch (thrown) {
      reject(thrown)
    }
  }
}

interface Waiting<J, R> {
  readonly job: J
  readonly resolve: (result: R) => void
  readonly reject: (error: unknown) => void
}

/** Cuts calls into batches that are not too large. */
function* batches<W extends { readonly job: { readonly byteLength: number } }>(
  all: readonly W[],
): Generator<readonly W[]> {
  let batch: W[] = []
  let batchBytes = 0
  for (const waiting of all) {
    const { byteLength } = waiting.job
    if (batch.length === BATCH_CALLS || (batch.length > 0 && batchBytes + byteLength > BATCH_BYTES)) {
      yield batch
      batch = []
      batchBytes = 0
    }
    batch.push(waiting)
    batchBytes += byteLength
  }
  if (batch.length > 0) yield batch
}

/** What nobody stops. */
export const NEVER = native.makeStop()

function bytesOf(buffer: ArrayBuffer): Uint8Array {
  return new Uint8Array(buffer)
}

function bufferFor({ spare, byteLength }: SmallRead): ArrayBuffer {
  return spare ?? fresh(byteLength)
}

async function readAlone(ref: PagerRef, read: SmallRead): Promise<ArrayBuffer> {
  const buffer = bufferFor(read)
  if (read.isPeek) await native.peekAsync(ref, read.ticket, bytesOf(buffer))
  else await native.readAsync(ref, read.ticket, read.ranges, bytesOf(buffer))
  return buffer
}

async function readTogether(ref: PagerRef, reads: readonly SmallRead[]): Promise<readonly (ArrayBuffer | undefined)[]> {
  const tickets = new Float64Array(reads.length)
  const counts = new Uint32Array(reads.length)
  const peeks = new Uint8Array(reads.length)
  const ranges = new Float64Array(reads.reduce((sum, read) => sum + read.ranges.length, 0))
  let filled = 0
  reads.forEach((read, position) => {
    tickets[position] = read.ticket
    counts[position] = read.ranges.length / 2
    peeks[position] = Number(read.isPeek)
    ranges.set(read.ranges, filled)
    filled += read.ranges.length
  })
  const buffers: (ArrayBuffer | undefined)[] = reads.map(bufferFor)
  const targets = buffers.map(buffer => bytesOf(buffer as ArrayBuffer))
  const failed = await native.readBatchAsync(ref, tickets, counts, ranges, peeks, targets)
  for (const position of failed) buffers[position] = undefined
  return buffers
}

async function pageoutTogether(
  ref: PagerRef,
  pageouts: readonly SmallPageout[],
): Promise<readonly (number | undefined)[]> {
  const counts = Uint32Array.from(pageouts, ({ buffers }) => buffers.length)
  const views = pageouts.flatMap(({ buffers }) => buffers.map(bytesOf))
  const tickets = await native.pageoutBatchAsync(ref, views, counts)
  return tickets.map(ticket => (ticket < 0 ? undefined : ticket))
}
