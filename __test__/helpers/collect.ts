/** Waiting for the garbage collector, which runs when it wants. */

import { setImmediate } from 'node:timers/promises'

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
