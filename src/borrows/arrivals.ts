/** Payloads that come into memory for borrows that wait: those of one payload wait for the same. */

import type { Fetched } from '../backends/backend.js'
import { backendOf } from '../backends/choose.js'
import type { Handle } from '../model/handle.js'
import type { Payload } from '../model/payload.js'
import type { Chunk } from '../model/types.js'
import { refuseAborted, unlessAborted } from '../threads/abort.js'
import { Loan } from './loan.js'

/** Work that several wait for. */
interface Arrival {
  done: Promise<void>
  waiting: number
  /** What came and was not lent yet. */
  fetched: Fetched | undefined
  /** Whether that was counted for all of them. */
  isCounted: boolean
}

const arrivals = new WeakMap<Payload, Arrival>()

/**
 * Joins the loan of a payload, once its bytes are in memory. Nothing of that is done on this thread that another can do.
 *
 * @param join called with the loan at once: in the next step it may be over
 */
export async function loanLater<T>(
  payload: Payload,
  handle: Handle<Chunk>,
  signal: AbortSignal | undefined,
  join: (loan: Loan) => T,
): Promise<T> {
  refuseAborted(signal)
  payload.lending?.settle()
  payload.owner.refuseUnusable(payload)
  if (payload.lending) return join(Loan.of(payload, handle))
  const arrival = arrivals.get(payload) ?? arrive(payload)
  arrival.waiting++
  try {
    await unlessAborted(arrival.done, signal)
    // Anything may have happened meanwhile.
    payload.owner.refuseUnusable(payload)
    return join(lend(payload, handle, arrival))
  } finally {
    arrival.waiting--
    if (arrival.waiting === 0) drop(payload, arrival)
  }
}

function lend(payload: Payload, handle: Handle<Chunk>, arrival: Arrival): Loan {
  const { fetched, isCounted } = arrival
  if (payload.lending) return Loan.of(payload, handle, undefined, isCounted)
  arrival.fetched = undefined
  return Loan.of(payload, handle, fetched, isCounted)
}

function arrive(payload: Payload): Arrival {
  const arrival: Arrival = { done: Promise.resolve(), waiting: 0, fetched: undefined, isCounted: false }
  arrivals.set(payload, arrival)
  // Begun at once: the payload may be released in the next step.
  arrival.done = fetchFor(payload, arrival)
  // Those who wait are told.
  arrival.done.catch(() => {})
  return arrival
}

async function fetchFor(payload: Payload, arrival: Arrival): Promise<void> {
  try {
    const fetched = await backendOf(payload).fetchLater(payload)
    arrival.fetched = fetched
    arrival.isCounted = fetched !== undefined && 'isMiss' in fetched && fetched.isMiss
    if (arrival.waiting === 0) drop(payload, arrival)
  } finally {
    arrivals.delete(payload)
  }
}

/** Frees what nobody lent. */
function drop(payload: Payload, arrival: Arrival): void {
  const { fetched } = arrival
  arrival.fetched = undefined
  if (fetched) backendOf(payload).dropFetched(payload, fetched)
}
