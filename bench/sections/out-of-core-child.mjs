// One candidate of `out-of-core.mjs`, in a process of its own.
import { readFileSync } from 'node:fs'
import { answer, question } from '../child.mjs'
import { readings } from '../columns.mjs'
import { checkStamp, KIB, randomBytes, stamp } from '../payloads.mjs'
import { ResidentSamples } from '../resident-samples.mjs'
import { openStore } from '../stores.mjs'

/** @typedef {{ megabytesPerSecond: number, longestMs: number, peakBytes: number }} Phase the peak is that of the process so far */
/** @typedef {{ out: Phase, back: Phase, grownBytes: number }} Answer `grownBytes` is the most that resident memory was above idle */

const { name, folder, payloadBytes, payloads, residentBytes, isOfReadings } = question()
const store = openStore(name, { folder, payloadBytes, residentBytes })
const content = isOfReadings ? readings(payloadBytes) : randomBytes(payloadBytes)
/** @type {unknown[]} */
const handles = []

const samples = new ResidentSamples()
await samples.started()
const idleBytes = process.memoryUsage.rss()
const out = phase((number, call) => {
  const bytes = content.slice()
  stamp(bytes, number)
  handles.push(call(() => store.out(bytes)))
})
const back = phase((number, call) => {
  const bytes = call(() => store.back(handles[number]))
  checkStamp(bytes, number, name)
})
const grownBytes = samples.mostBytes - idleBytes
await samples.stop()
await store.close()
answer({ out, back, grownBytes })

/**
 * Does something with all payloads in order; whatever it wants timed goes through `call`.
 *
 * @param {(number: number, call: <T>(verb: () => T) => T) => void} step
 * @returns {Phase}
 */
function phase(step) {
  let longestMs = 0
  const start = performance.now()
  for (let number = 0; number < payloads; number++) {
    step(number, verb => {
      const before = performance.now()
      const result = verb()
      longestMs = Math.max(longestMs, performance.now() - before)
      return result
    })
  }
  const seconds = (performance.now() - start) / 1000
  const peakKib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]
  return { megabytesPerSecond: (payloads * payloadBytes) / 1e6 / seconds, longestMs, peakBytes: Number(peakKib) * KIB }
}
