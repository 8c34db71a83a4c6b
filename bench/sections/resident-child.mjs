// One candidate of `resident.mjs`, in a process of its own.
import { setTimeout } from 'node:timers/promises'
import { answer, question } from '../child.mjs'
import { check, randomBytes } from '../payloads.mjs'
import { openStore } from '../stores.mjs'

/** @typedef {{ bytes: number }} Answer the bytes by which the resident memory became smaller */

const { name, folder, payloadBytes, payloads, isCollected } = question()
const store = openStore(name, { folder, payloadBytes })
const content = randomBytes(payloadBytes)
store.prepare?.()

const arrays = Array.from({ length: payloads }, () => new Uint8Array(content))
const before = process.memoryUsage.rss()
const handles = arrays.map(bytes => store.out(bytes))
arrays.length = 0
if (isCollected) await collectGarbage()
const bytes = before - process.memoryUsage.rss()

check(store.back(handles[0]), content, name)
await store.close()
answer({ bytes })

/** Twice and with time to do it, because buffers are freed by threads of the collector after it has ended. */
async function collectGarbage() {
  for (let pass = 0; pass < 2; pass++) {
    globalThis.gc?.()
    await setTimeout(100)
  }
}
