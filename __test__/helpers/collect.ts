/** Waiting for what happens when it wants: the garbage collector, and work in the background. */

import { setImmediate, setTimeout } from 'node:timers/promises'

/** More rounds than the collector ever needed. */
const ROUNDS_MAX = 100

/** Collects garbage and lets finalizers run until `isDone`. Says whether it came to be. */
export async function collectUntil(isDone: () => boolean): Promise<boolean> {
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    if (isDone()) return true
    if (!globalThis.gc) throw new Error('these tests need node --expose-gc')
    globalThis.gc()
    await setImmediate()
  }
  return isDone()
}

/** Far more than anything in the background takes. */
const WAIT_MS = 60_000

/** Waits until `isDone`. Says whether it came to be. */
export async function isReached(isDone: () => boolean): Promise<boolean> {
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await setTimeout(20)) if (isDone()) return true
  return isDone()
}
