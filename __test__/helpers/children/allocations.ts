/**
 * Prints the bytes of young objects that one call of each verb allocates, results included: the median of many windows, in each of
 * which the collector does not run.
 */

import { getHeapSpaceStatistics } from 'node:v8'
import { type Handle, Pager } from 'pageout'
import { Pager as PromisePager } from 'pageout/promises'

const BYTES = 64
const CALLS = 250
const WARM_UP_WINDOWS = 10
const WINDOWS = 9

/** What is done before a window, in each call of it, and with what its calls gave. */
interface Verb {
  readonly before?: () => unknown[] | Promise<unknown[]>
  readonly call: (given: never) => unknown
  readonly after?: (result: never) => void
}

const gc = globalThis.gc as (options: { type: 'minor' }) => void
const pager = new Pager()
const promising = new PromisePager()

const chunk = () => new Uint8Array(BYTES).fill(1)
const payload = pager.pageout(new Uint8Array(1024 * BYTES))
const promised = await promising.pageout(new Uint8Array(1024 * BYTES))
const each = <T>(make: () => T) => Array.from({ length: CALLS }, make)
const release = (handle: Handle) => handle.release()

const VERBS: Record<string, Verb> = {
  pageout: { before: () => each(chunk), call: (bytes: Uint8Array) => pager.pageout(bytes), after: release },
  readAt: { call: () => pager.readAt(payload, 8 * BYTES, BYTES) },
  read: { call: () => pager.read(payload) },
  take: { before: () => each(() => pager.pageout(chunk())), call: (handle: Handle) => pager.take(handle) },
  release: { before: () => each(() => pager.pageout(chunk())), call: release },
  'pageout, promised': {
    before: () => each(chunk),
    call: (bytes: Uint8Array) => promising.pageout(bytes),
    after: release,
  },
  'readAt, promised': { call: () => promising.readAt(promised, 8 * BYTES, BYTES) },
  'take, promised': {
    before: () => Promise.all(each(() => promising.pageout(chunk()))),
    call: (handle: Handle) => promising.take(handle),
  },
}

function youngBytes(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name }) => space_name.startsWith('new_'))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0)
}

/** Bytes of one window. */
async function windowOf({ before, call, after }: Verb): Promise<number> {
  const given = (await before?.()) ?? each(() => undefined)
  const results = new Array<unknown>(CALLS)
  gc({ type: 'minor' })
  const start = youngBytes()
  for (let position = 0; position < CALLS; position++) {
    const result = call(given[position] as never)
    results[position] = result instanceof Promise ? await result : result
  }
  const bytes = youngBytes() - start
  for (const result of results) after?.(result as never)
  return bytes
}

async function bytesPerCall(verb: Verb): Promise<number> {
  for (let window = 0; window < WARM_UP_WINDOWS; window++) await windowOf(verb)
  const all = new Float64Array(WINDOWS)
  for (let window = 0; window < WINDOWS; window++) all[window] = await windowOf(verb)
  return Math.round((all.sort()[WINDOWS >> 1] ?? 0) / CALLS)
}

const results: Record<string, number> = {}
for (const [name, verb] of Object.entries(VERBS)) results[name] = await bytesPerCall(verb)
console.log(JSON.stringify(results))
pager.close()
await promising.close()
