// One candidate of `resident.mjs`, in a process of its own.
import { setTimeout } from 'node:timers/promises'
import { answer, question } from '../child.mjs'
import { check, MIB, randomBytes } from '../payloads.mjs'
import { openStore } from '../stores.mjs'

/** @typedef {{ bytes: number }} Answer the bytes by which the resident memory became smaller */

/** A little less than the C library of most Linux systems ever maps by itself. */
const USED_BYTES = 31 * MIB
/** How much of an array the live block behind it has: enough not to fit a gap elsewhere. */
const LIVE_SHARE = 1 / 64

const { name, folder, payloadBytes, payloads, isUsed, isCollected } = question()
if (isUsed) await useMemory()
const store = openStore(name, { folder, payloadBytes })
const content = randomBytes(payloadBytes)
store.prepare?.()

const liveBytes = payloadBytes * LIVE_SHARE
/** @type {Uint8Array[]} */
const live = []
const arrays = Array.from({ length: payloads }, (_, number) => {
  const bytes = new Uint8Array(content)
  live.push(new Uint8Array(liveBytes).fill(number))
  return bytes
})
const before = process.memoryUsage.rss()
const handles = arrays.map(bytes => store.out(bytes))
arrays.length = 0
if (isCollected) await collectGarbage()
const bytes = before - process.memoryUsage.rss()

for (const handle of handles) check(store.back(handle), content, name)
for (const [number, block] of live.entries()) check(block, new Uint8Array(liveBytes).fill(number), 'what stayed')
await store.close()
answer({ bytes })

/**
 * Frees a long buffer, as most processes do sooner or later: from then on glibc no longer maps buffers of such lengths by
 * themselves, but cuts them from its heap, from whose middle freeing gives nothing back.
 */
async function useMemory() {
  makeGarbage()
  await collectGarbage()
}

/** Apart, so that no frame of a function that waits holds the buffer. */
function makeGarbage() {
  new Uint8Array(USED_BYTES).fill(1)
}

/** Twice and with time to do it, because buffers are freed by threads of the collector after it has ended. */
async function collectGarbage() {
  for (let pass = 0; pass < 2; pass++) {
    globalThis.gc?.()
    await setTimeout(100)
  }
}
