/** Waiting for what the background does at times of its own. */

import type { ExecutionContext } from 'ava'

/** Waits until something is so; fails with `what` where it does not come true. */
export async function until(t: ExecutionContext, isSo: () => boolean, what: () => unknown): Promise<void> {
  for (let turn = 0; turn < 1000; turn++) {
    if (isSo()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  t.fail(JSON.stringify(what()))
}
