/**
 * Small calls that were started in one tick share one job of libuv's pool, whose cost is that of several such calls. Of reads,
 * what is in memory comes first, and the device works on all others together.
 */

import type { PagerRef } from '../../index.d.ts'
import { native } from '../addon/load.js'
import { allocate } from '../memory/results.js'
import { abortError } from '../model/errors.js'
import { orUndefined } from '../runtime/captured.js'
import { onAbort, refuseAborted } from './abort.js'
import { enter, leave, run } from './pool-share.js'

/** The largest call that shares a job; the copy of more costs more than a job. */
const SMALL_BYTES = 64 * 1024
/** The most calls and bytes of one job: few enough that the pool's threads and that of JavaScript work side by side. */
const BATCH_CALLS = 32
const BATCH_BYTES = 256 * 1024

/** Whether a call may share a job. */
export function isSmall(byteLength: number): boolean {
  return byteLength <= SMALL_BYTES
}

/** A read of a payload into private memory. */
export interface SmallRead {
  readonly ticket: number
  /** Offset and length of each range, one after the other. */
  readonly ranges: ArrayLike<number>
  readonly byteLength: number
  /** Whether it is half of a take, and not counted as a read. */
  readonly isPeek: boolean
  /** A spare buffer for the result, if there is one. */
  readonly spare: ArrayBuffer | undefined
}

/** A pageout of private memory. */
export interface Pageout {
  readonly buffers: readonly ArrayBuffer[]
  readonly byteLength: number
  /** Bytes of one element. */
  readonly elementBytes: number
}

/** The small calls of one pager. */
export interface Batches {
  /** Reads, which resolve to their memory. */
  readonly reads: Batching<SmallRead, Uint8Array>
  /** Pageouts, which resolve to their tickets. */
  readonly pageouts: Batching<Pageout, number>
}

/** The small calls of a pager, none yet. */
export function batchesOf(ref: PagerRef): Batches {
  return {
    reads: new Batching(
      reads => readTogether(ref, reads),
      read => readAlone(ref, read),
    ),
    pageouts: new Batching(
      pageouts => pageoutTogether(ref, pageouts),
      ({ buffers, elementBytes }) => native.pageoutAsync(ref, buffers.map(bytesOf), elementBytes, NEVER),
    ),
  }
}

/** Calls of one kind that share jobs. Those that fail among others are repeated alone, to find out why. */
export class Batching<J extends { readonly byteLength: number }, R> {
  readonly #together: (jobs: readonly J[]) => Promise<readonly (R | undefined)[]>
  readonly #alone: (job: J) => Promise<R>
  /** The calls of this tick behind the first; nothing where there is none yet. */
  #others: Call<J, R>[] | undefined

  constructor(together: (jobs: readonly J[]) => Promise<readonly (R | undefined)[]>, alone: (job: J) => Promise<R>) {
    this.#together = together
    this.#alone = alone
  }

  /**
   * Does a job with the others of this tick. Rejects with what the addon throws, or at once when `signal` is aborted before the
   * job has started, in which case it never does.
   */
  do(job: J, signal: AbortSignal | undefined): Promise<R> {
    return this.#others ? join(this.#others, job, signal) : this.#lead(job, signal)
  }

  /** The first call of a tick, which waits for the others until the tick is over. Mostly it stays the only one. */
  async #lead(job: J, signal: AbortSignal | undefined): Promise<R> {
    const others: Call<J, R>[] = []
    this.#others = others
    await undefined
    this.#others = undefined
    if (others.length > 0) return await this.#doAll(job, signal, others)
    // As `run`, without a promise and a closure more, which are a tenth of what a small call allocates.
    const room = enter(signal)
    if (room) await room
    try {
      refuseAborted(signal)
      return await this.#alone(job)
    } finally {
      leave()
    }
  }

  #doAll(job: J, signal: AbortSignal | undefined, others: readonly Call<J, R>[]): Promise<R> {
    const all: Call<J, R>[] = []
    const first = join(all, job, signal)
    all.push(...others)
    for (const batch of batches(all)) void this.#doTogether(batch)
    return first
  }

  async #doTogether(batch: readonly Call<J, R>[]): Promise<void> {
    let calls: readonly Call<J, R>[] = batch
    try {
      const together = () => {
        calls = started(batch)
        return calls.length > 1 ? this.#together(calls.map(({ job }) => job)) : Promise.resolve([])
      }
      const results = batch.length > 1 ? await run(together, undefined) : []
      for (const [position, call] of calls.entries()) {
        const result = results[position]
        if (result === undefined) void this.#doAlone(call)
        else call.resolve(result)
      }
    } catch (thrown) {
      for (const { reject } of calls) reject(thrown)
    }
  }

  async #doAlone(call: Call<J, R>): Promise<void> {
    const { job, signal, resolve, reject } = call
    try {
      const alone = () => {
        call.forget()
        return this.#alone(job)
      }
      // A call that was aborted has been rejected already: it does not start.
      resolve(await run(alone, signal))
    } catch (thrown) {
      reject(thrown)
    }
  }
}

interface Call<J, R> {
  readonly job: J
  readonly signal: AbortSignal | undefined
  readonly resolve: (result: R) => void
  readonly reject: (error: unknown) => void
  /** Whether it was aborted before it started. */
  isOver: boolean
  forget: () => void
}

function nothing(): void {}

/** Adds a call to others. */
function join<J, R>(calls: Call<J, R>[], job: J, signal: AbortSignal | undefined): Promise<R> {
  return new Promise((resolve, reject) => {
    refuseAborted(signal)
    const call: Call<J, R> = { job, signal, resolve, reject, isOver: false, forget: nothing }
    if (signal) call.forget = onAbort(signal, () => giveUp(call, signal))
    calls.push(call)
  })
}

/** Rejects a call that was aborted before it started. */
function giveUp<J, R>(call: Call<J, R>, signal: AbortSignal): void {
  call.isOver = true
  call.forget()
  call.reject(abortError(signal))
}

/** The calls of a batch that go on; an abort does not stop them any more. */
function started<J, R>(batch: readonly Call<J, R>[]): readonly Call<J, R>[] {
  const calls = batch.filter(({ isOver }) => !isOver)
  for (const { forget } of calls) forget()
  return calls
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

/** A stop flag that is never set. */
export const NEVER = native.makeStop()

function bytesOf(buffer: ArrayBuffer): Uint8Array {
  return new Uint8Array(buffer)
}

function bufferFor({ spare, byteLength }: SmallRead): ArrayBuffer {
  return spare ?? allocate(byteLength)
}

function readAlone(ref: PagerRef, read: SmallRead): Promise<Uint8Array> {
  const bytes = bytesOf(bufferFor(read))
  if (read.isPeek) return native.peekAsync(ref, read.ticket, bytes)
  return native.readAsync(ref, read.ticket, Float64Array.from(read.ranges), bytes)
}

/** The memory of each read that succeeded. One that gets no memory fails for itself, and not for the others. */
async function readTogether(ref: PagerRef, all: readonly SmallRead[]): Promise<readonly (Uint8Array | undefined)[]> {
  const results = all.map(read => orUndefined(() => bytesOf(bufferFor(read))))
  const targets = results.filter(target => target !== undefined)
  const reads: number[] = []
  for (const [position, { ticket, isPeek, ranges }] of all.entries()) {
    if (!results[position]) continue
    reads.push(ticket, Number(isPeek), ranges.length / 2)
    for (let at = 0; at < ranges.length; at++) reads.push(ranges[at] as number)
  }
  const failed = await native.readBatchAsync(ref, Float64Array.from(reads), targets)
  for (const position of failed) results[results.indexOf(targets[position])] = undefined
  return results
}

async function pageoutTogether(ref: PagerRef, pageouts: readonly Pageout[]): Promise<readonly (number | undefined)[]> {
  const shapes = Float64Array.from(pageouts.flatMap(({ buffers, elementBytes }) => [buffers.length, elementBytes]))
  const views = pageouts.flatMap(({ buffers }) => buffers.map(bytesOf))
  const tickets = await native.pageoutBatchAsync(ref, views, shapes)
  return tickets.map(ticket => (ticket < 0 ? undefined : ticket))
}
