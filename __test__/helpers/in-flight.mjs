/** Promise calls that are pending, each followed by the next, until their thread or process ends. */

import { setImmediate } from 'node:timers/promises'
import * as promises from 'pageout/promises'

const CALLS = 64
const BYTES = 2 ** 18

const payload = () => new Uint8Array(BYTES).fill(1)

/** What is kept pending: gives, for each of the calls, how it is made again and again. */
const KINDS = {
  pageout: async pager => async () => (await pager.pageout(payload()))[Symbol.dispose](),
  swap: async pager => async () => {
    const handle = await pager.pageoutWith('swap', payload())
    await setImmediate()
    await pager.take(handle)
  },
  readAt: async pager => {
    const handle = await pager.pageout(payload())
    return () => pager.readAt(handle, 1, BYTES - 1)
  },
  readAtMany: async pager => {
    const handle = await pager.pageout(payload())
    const [ranges, target] = [
      [
        [BYTES / 2, BYTES / 2],
        [0, 9],
      ],
      payload(),
    ]
    return () => pager.readAtMany(handle, ranges, target)
  },
  take: async pager => {
    let handle = await pager.pageout(payload())
    return async () => {
      const chunk = await pager.take(handle)
      handle = await pager.pageout(chunk)
    }
  },
  abort: async pager => {
    const handle = await pager.pageout(payload())
    return async () => {
      const controller = new AbortController()
      const call = pager.take(handle, undefined, { signal: controller.signal })
      await setImmediate()
      controller.abort()
      await call.catch(() => {})
    }
  },
}

export const kinds = Object.keys(KINDS)

/** Starts the calls; when it is done, all of them are pending. */
export async function begin(kind, pager = promises) {
  const steps = await Promise.all(Array.from({ length: CALLS }, () => KINDS[kind](pager)))
  for (const step of steps) void repeat(step)
}

async function repeat(step) {
  for (;;) await step()
}
