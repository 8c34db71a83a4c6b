/** Prints how much resident memory is left of a payload of the swap backend right after each way to end it. */

import { setTimeout } from 'node:timers/promises'
import { Handle, Pager, take } from 'pageout'
import * as promises from 'pageout/promises'
import { MIB } from '../chunks.js'

const PAYLOAD_BYTES = 256 * MIB
const CHUNKS = 4

const chunks = (): Float64Array<ArrayBuffer>[] =>
  Array.from({ length: CHUNKS }, (_, index) => new Float64Array(PAYLOAD_BYTES / CHUNKS / 8).fill(index + 1))
const single = (): Float64Array<ArrayBuffer> => new Float64Array(PAYLOAD_BYTES / 8).fill(1)
const options = { backend: 'swap', spareBytes: 0 } as const
type Held = Handle<Float64Array<ArrayBuffer>>

const isWhole = (whole: Float64Array) => whole.length === PAYLOAD_BYTES / 8 && whole[0] === 1 && whole.at(-1) === CHUNKS

/** Each way, and the bytes that the caller holds after it. */
const ways: Record<string, (pager: Pager, later: promises.Pager) => Promise<[number, boolean, ...unknown[]]>> = {
  'release of one chunk': async pager => {
    const handle = pager.pageout(single())
    handle.release()
    return [0, handle.released]
  },
  'release of several chunks': async pager => {
    const handle = pager.pageout(chunks())
    handle[Symbol.dispose]()
    return [0, handle.released]
  },
  'release of copies': async pager => {
    const own = chunks()
    const handle = pager.pageout(own, { detach: 'never' })
    handle.release()
    return [PAYLOAD_BYTES, own[0]?.[0] === 1, own]
  },
  'close of a pager': async () => {
    const pager = new Pager(options)
    const handles = [pager.pageout(single()), pager.pageout(chunks())]
    pager.close()
    return [0, handles.every(({ released }) => released), handles]
  },
  'close of a pager of promises': async () => {
    const pager = new promises.Pager(options)
    const handles = [await pager.pageout(single()), await pager.pageout(chunks())]
    await pager.close()
    return [0, handles.every(({ released }) => released), handles]
  },
  'take of several chunks': async pager => {
    const whole = pager.take(pager.pageout(chunks()))
    return [PAYLOAD_BYTES, isWhole(whole), whole]
  },
  'promised take of several chunks': async (_, later) => {
    const whole = await later.take(await later.pageout(chunks()))
    return [PAYLOAD_BYTES, isWhole(whole), whole]
  },
  'take of one chunk': async pager => {
    const whole = pager.take(pager.pageout(single()))
    return [PAYLOAD_BYTES, whole.at(-1) === 1, whole]
  },
  'take into a target': async pager => {
    const target = new Float64Array(PAYLOAD_BYTES / 8)
    return [PAYLOAD_BYTES, isWhole(pager.take(pager.pageout(chunks()), target)), target]
  },
  'promised take into a target': async (_, later) => {
    const target = new Float64Array(PAYLOAD_BYTES / 8)
    return [PAYLOAD_BYTES, isWhole(await later.take(await later.pageout(chunks()), { target })), target]
  },
  'move, adopt and take': async pager => {
    const handle: Held = Handle.adopt(pager.pageout(chunks()).move())
    const whole = take(handle)
    return [PAYLOAD_BYTES, isWhole(whole), whole]
  },
  'a collected source that fails': async pager => {
    const chunk = single().subarray(0, PAYLOAD_BYTES / CHUNKS / 8)
    function* source() {
      for (let given = 0; given < CHUNKS; given += 1) yield chunk
      throw new Error('no more')
    }
    try {
      pager.pageoutFrom(source())
      return [PAYLOAD_BYTES, false, chunk]
    } catch {
      return [PAYLOAD_BYTES, true, chunk]
    }
  },
}

const seen: object[] = []
const [pager, later] = [new Pager(options), new promises.Pager(options)]
for (const [way, end] of Object.entries(ways)) {
  // What the caller held is gone by then.
  for (let round = 0; round < 5; round += 1) {
    globalThis.gc?.()
    await setTimeout(20)
  }
  await measure(way, end)
}

async function measure(way: string, end: (typeof ways)[string]): Promise<void> {
  const beforeBytes = process.memoryUsage.rss()
  const [heldBytes, isRight, ...held] = await end(pager, later)
  const leftBytes = process.memoryUsage.rss() - beforeBytes - heldBytes
  seen.push({ way, leftBytes, isRight, held: held.length })
}
console.log(JSON.stringify(seen))
