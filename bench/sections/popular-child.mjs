// One cache of `popular.mjs`, in a process of its own.
import { openCache } from '../caches.mjs'
import { answer, question } from '../child.mjs'
import { checkStamp, popularNumbers, randomBytes, stamp } from '../payloads.mjs'

/** @typedef {{ perSecond: number, hitPercent: number, peakBytes: number }} Phase the peak is of the resident memory, between looks */
/** @typedef {{ alone: Phase, besideScan?: Phase }} Answer */

/** So many looks follow each other before the event loop comes round, and so many before the resident memory is looked at. */
const LOOKS_TOGETHER = 100
const LOOKS_PER_SAMPLE = 1000

const { name, folder, payloads, payloadBytes, residentBytes, isChanging, exponent, looks } = question()
const cache = await openCache(name, { folder, payloadBytes, residentBytes, isChanging })
if (!cache) throw new Error(`there is no ${name}`)
const content = randomBytes(payloadBytes)
for (let number = 0; number < payloads; number++) {
  const bytes = new Uint8Array(content)
  stamp(bytes, number)
  cache.add(bytes)
}
const popular = popularNumbers(payloads, exponent)
let scanned = 0
const next = () => scanned++ % payloads

await phase([popular])
const alone = await phase([popular])
if (!isChanging) await phase([popular, next])
const besideScan = isChanging ? undefined : await phase([popular, next])
await cache.close()
answer({ alone, besideScan })

/**
 * Looks in each way of choosing as often as asked, a few of each in turns. What is chosen is drawn before. The hits are those of the
 * first way.
 *
 * @param {readonly (() => number)[]} ways
 * @returns {Promise<Phase>}
 */
async function phase(ways) {
  const [first, ...others] = ways.map(way => Uint32Array.from({ length: looks }, way))
  let [otherHits, peakBytes] = [0, 0]
  const hitsBefore = hits()
  const start = performance.now()
  for (let done = 0; done < looks; done += LOOKS_TOGETHER) {
    look(first, done)
    const hitsThen = others.length > 0 ? hits() : 0
    for (const numbers of others) look(numbers, done)
    if (others.length > 0) otherHits += hits() - hitsThen
    if (done % LOOKS_PER_SAMPLE === 0) peakBytes = Math.max(peakBytes, process.memoryUsage.rss())
    // A program that waits for something now and then, so that what is collected can also be freed.
    await new Promise(setImmediate)
  }
  const seconds = (performance.now() - start) / 1000
  const hitPercent = ((hits() - hitsBefore - otherHits) * 100) / looks
  return { perSecond: (looks * ways.length) / seconds, hitPercent, peakBytes }
}

function hits() {
  return cache?.hits() ?? 0
}

/**
 * @param {Uint32Array | undefined} numbers
 * @param {number} done
 */
function look(numbers, done) {
  for (const number of numbers?.subarray(done, done + LOOKS_TOGETHER) ?? []) {
    cache?.look(number, bytes => {
      checkStamp(bytes, number, name)
      if (isChanging) bytes[payloadBytes - 1] = done
    })
  }
}
