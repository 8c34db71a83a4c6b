/** Borrowing a payload: what is borrowed, what is done with it, and when that is over. */

import { loanLater } from '../borrows/arrivals.js'
import { type Borrow, borrowOf } from '../borrows/borrow.js'
import { Loan } from '../borrows/loan.js'
import { whenThereIsRoom } from '../borrows/waiting.js'
import { placeAbove } from '../borrows/warnings.js'
import { type BorrowArguments, borrowArguments, type Work } from '../chunks/arguments.js'
import { bufferOf } from '../chunks/classes.js'
import { borrowReleased, invalidArgValue, type Result } from '../model/errors.js'
import { type Handle, payloadOf } from '../model/handle.js'
import type { Payload } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import type { PagerCore } from '../pager/core.js'
import { attempt as attemptLater } from './promise.js'
import { attempt } from './sync.js'
import { contextOf, isUnwatched, pending, traced } from './tracing.js'
import { refusePromise, refuseView } from './work.js'

/** What follows the handle: options, or work and options. */
type Rest = readonly [workOrOptions?: unknown, options?: unknown]

/** Borrows a payload, for `work` or for whom holds the result. */
export function borrow(pager: PagerCore, handle: Handle<Chunk>, rest: Rest): unknown {
  const work = workOf(rest)
  return work ? use(open(pager.payload(handle), handle, joined), work) : openWatched(pager, handle)
}

/** The same, where a failure of the system is returned; what `work` throws is thrown. */
export function tryBorrow(pager: PagerCore, handle: Handle<Chunk>, rest: Rest): Result<unknown> {
  const work = workOf(rest)
  if (!work) return attempt(() => openWatched(pager, handle))
  const result = attempt(() => open(pager.payload(handle), handle, joined))
  return result.ok ? { ok: true, value: use(result.value, work) } : result
}

/** Borrows a payload, whose bytes come into memory off the JavaScript thread. */
export async function borrowLater(pager: PagerCore, handle: Handle<Chunk>, rest: Rest): Promise<unknown> {
  const given = borrowArguments(rest)
  const borrowed = await openLater(pager, handle, given)
  return given.work ? await useLater(handle, borrowed, given.work) : borrowed
}

/** The same, where a failure of the system is returned; what `work` throws or rejects with is thrown. */
export async function tryBorrowLater(pager: PagerCore, handle: Handle<Chunk>, rest: Rest): Promise<Result<unknown>> {
  const given = borrowArguments(rest)
  const result = await attemptLater(openLater(pager, handle, given))
  return result.ok && given.work ? { ok: true, value: await useLater(handle, result.value, given.work) } : result
}

function workOf(rest: Rest): Work | undefined {
  if (rest[0] === undefined && rest[1] === undefined) return undefined
  const { work, wait } = borrowArguments(rest)
  if (wait) throw invalidArgValue('options.wait', 'must be false where nothing can wait', wait)
  return work
}

function openWatched(pager: PagerCore, handle: Handle<Chunk>): Borrow<Chunk> {
  const payload = pager.payload(handle)
  const place = payload.owner.notesBorrowers ? placeAbove(openWatched) : undefined
  return open(payload, handle, loan => borrowOf(loan, place))
}

/** `join` is called with the loan at once: whoever is told of the read may end it. */
function open<T>(payload: Payload, handle: Handle<Chunk>, join: (loan: Loan) => T): T {
  if (isUnwatched('read')) return join(Loan.of(payload, handle))
  return traced('read', contextOf(payload), () => {
    // Subscribers may have done anything.
    payload.owner.refuseUnusable(payload)
    return join(Loan.of(payload, handle))
  })
}

/** A loan with one borrow more, which nobody can drop unreleased: what it sees is for work alone. */
function joined(loan: Loan): Loan {
  loan.join()
  return loan
}

/** The first part of it is done at once, so that a place that is noted leads to the caller. */
function openLater(pager: PagerCore, handle: Handle<Chunk>, { signal, wait }: BorrowArguments): Promise<Borrow<Chunk>> {
  const payload = pager.payload(handle)
  const place = payload.owner.notesBorrowers ? placeAbove(openLater) : undefined
  const once = () => loanLater(payload, handle, signal, loan => borrowOf(loan, place))
  const step = wait ? () => whenThereIsRoom(payload.owner, once, signal) : once
  return pending(payload.owner, 'read', contextOf(payload), step)
}

/** Does work with a payload that was joined, and ends the borrow. */
function use(loan: Loan, work: Work): unknown {
  if (loan.isOver) throw borrowReleased()
  const value = loan.array()
  const buffer = bufferOf(value)
  let result: unknown
  try {
    result = work(value)
  } finally {
    if (!loan.isOver) loan.leave()
  }
  refuseView(result, buffer)
  refusePromise(result, 'work', 'the borrow ends when it returns')
  return result
}

/** The same, where the borrow ends when the result settles. */
async function useLater(handle: Handle<Chunk>, borrowed: Borrow<Chunk>, work: Work): Promise<unknown> {
  // The pager may have been closed since.
  if (borrowed.released) payloadOf(handle).owner.refuseClosed()
  const { value } = borrowed
  const buffer = bufferOf(value)
  let result: unknown
  try {
    result = await work(value)
  } finally {
    borrowed.release()
  }
  refuseView(result, buffer)
  return result
}
