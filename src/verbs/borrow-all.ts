/** Borrowing several payloads, all of them or none, and what is done with them. */

import { endGathering, type Gathered, gather, gatherLater, inRoomOf } from '../backends/resident.js'
import type { Borrow } from '../borrows/borrow.js'
import { whenThereIsRoom } from '../borrows/waiting.js'
import type { BorrowArguments } from '../chunks/arguments.js'
import { bufferOf } from '../chunks/classes.js'
import type { Handle } from '../model/handle.js'
import type { Chunk } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'
import { unlessAborted } from '../threads/abort.js'
import { borrow, borrowLater } from './borrow.js'
import { refusePromise, refuseView } from './work.js'

type Handles = readonly Handle<Chunk>[]

/** What is done with borrowed arrays. */
export type WorkOnAll = (...values: Chunk[]) => unknown

/** Borrows payloads for `work`. */
export function borrowAll(pager: PagerCore, handles: Handles, work: WorkOnAll): unknown {
  const borrows = openAll(pager, handles)
  let buffers: Buffers = []
  let result: unknown
  try {
    const values = borrows.map(({ value }) => value)
    buffers = values.map(bufferOf)
    result = work(...values)
  } finally {
    releaseAll(borrows)
  }
  for (const buffer of buffers) refuseView(result, buffer)
  refusePromise(result, 'work', 'the borrows end when it returns')
  return result
}

/** The same, whose bytes come into memory off the JavaScript thread. Where there is no room it holds nothing while it waits. */
export async function borrowAllLater(
  pager: PagerCore,
  handles: Handles,
  work: WorkOnAll,
  { signal, wait }: Pick<BorrowArguments, 'signal' | 'wait'>,
): Promise<unknown> {
  const once = () => openAllLater(pager, handles, signal)
  const borrows = await (wait ? whenThereIsRoom(pager, once, signal) : once())
  let buffers: Buffers = []
  let result: unknown
  try {
    // The pager may have been closed since.
    pager.refuseClosed()
    const values = borrows.map(({ value }) => value)
    buffers = values.map(bufferOf)
    result = await work(...values)
  } finally {
    releaseAll(borrows)
  }
  for (const buffer of buffers) refuseView(result, buffer)
  return result
}

type Buffers = readonly (ArrayBufferLike | undefined)[]

/** Room for all is found in one step: who needs several has it, or leaves what there is to others. */
function openAll(pager: PagerCore, handles: Handles): Borrow[] {
  const borrows: Borrow[] = []
  let room: Gathered | undefined
  try {
    room = gather(
      pager,
      handles.map(handle => pager.payload(handle)),
    )
    for (const handle of handles) borrows.push(inRoomOf(room, () => borrow(pager, handle, []) as Borrow))
    return borrows
  } catch (error) {
    releaseAll(borrows)
    throw error
  } finally {
    endGathering(room)
  }
}

async function openAllLater(pager: PagerCore, handles: Handles, signal: AbortSignal | undefined): Promise<Borrow[]> {
  const room = await roomLater(pager, handles, signal)
  try {
    const options = signal && { signal }
    // The first part of each is done at once.
    const pending = inRoomOf(room, () => handles.map(handle => borrowLater(pager, handle, [options])))
    const outcomes = await Promise.allSettled(pending)
    const borrows = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value as Borrow] : []))
    const failed = outcomes.find(outcome => outcome.status === 'rejected')
    if (!failed) return borrows
    releaseAll(borrows)
    throw failed.reason
  } finally {
    endGathering(room)
  }
}

async function roomLater(
  pager: PagerCore,
  handles: Handles,
  signal: AbortSignal | undefined,
): Promise<Gathered | undefined> {
  const room = gatherLater(
    pager,
    handles.map(handle => pager.payload(handle)),
  )
  try {
    return await unlessAborted(room, signal)
  } catch (error) {
    // After an abort it may still come.
    room.then(endGathering, () => {})
    throw error
  }
}

/** Releases all, also where one of the releases fails. */
function releaseAll(borrows: readonly Borrow[]): void {
  const errors: unknown[] = []
  for (const borrow of borrows) {
    try {
      borrow.release()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}
