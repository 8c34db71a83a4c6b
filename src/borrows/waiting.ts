/** Borrows that wait for room in a memory budget: those of one pager in the order in which they came. */

import { whenRoom } from '../memory/residents.js'
import { PageoutError } from '../model/errors.js'
import type { Owner } from '../model/payload.js'
import { unlessAborted } from '../threads/abort.js'

/** For each pager, settled when nobody waits any more. */
const queues = new WeakMap<Owner, Promise<void>>()

/** Borrows as soon as there is room; what can never fit fails at once. */
export async function whenThereIsRoom<T>(
  owner: Owner,
  borrow: () => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const before = queues.get(owner) ?? Promise.resolve()
  let leave = () => {}
  const left = new Promise<void>(resolve => {
    leave = resolve
  })
  queues.set(owner, left)
  try {
    await unlessAborted(before, signal)
    for (;;) {
      const outcome = await attempt(borrow)
      if ('value' in outcome) return outcome.value
      await unlessAborted(whenRoom(), signal)
    }
  } finally {
    // Whoever gives up lets nobody pass those who came before.
    void before.then(leave)
  }
}

/** The result, or nothing where there is no room yet. */
async function attempt<T>(borrow: () => Promise<T>): Promise<{ value: T } | object> {
  try {
    return { value: await borrow() }
  } catch (error) {
    if (!(error instanceof PageoutError) || error.code !== 'ERR_PAGEOUT_BUDGET') throw error
    const { requestedBytes = 0, limitBytes = Number.POSITIVE_INFINITY } = error
    if (requestedBytes > limitBytes) throw error
    return {}
  }
}
