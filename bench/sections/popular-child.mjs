// One cache of `popular.mjs`, in a process of its own.
import { openCache } from '../caches.mjs'
import { answer, question } from '../child.mjs'
import { checkStamp, popularNumbers, randomBytes, stamp } from '../payloads.mjs'

/** @typedef {{ perSecond: number, hitPercent: number, peakBytes: number }} Phase the peak is of the resident memory, between looks */
/** @typedef {{ alone: Phase, besideScan: Phase }} Answer */

/** So many looks follow each other before what they did is asked for. */
const LOOKS_TOGETHER = 100

const { name, folder, payloads, payloadBytes, residentBytes, exponent } = question()
const cache = await openCache(name, { folder, payloadBytes, residentBytes })
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
await phase([popular, next])
const besideScan = await phase([popular, next])
await cache.close()
answer({ alone, besideScan })

/**
 * Looks as often as there are payloads in each way of choosing, a few of each in turns. The hits are those of the first way.
 *
 * @param {readonly (() => number)[]} ways
 * @returns {Promise<Phase>}
 */
async function phase(ways) {
  const looks = payloads
  let [hits, peakBytes] = [0, 0]
  const start = performance.now()
  for (let done = 0; done < looks; done += LOOKS_TOGETHER) {
    for (const way of ways) hits += look(way) * Number(way === ways[0])
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss())
    // A program that waits for something now and then, so that what is collected can also be freed.
    await new Promise(setImmediate)
  }
  const seconds = (performance.now() - start) / 1000
  return { perSecond: (looks * ways.length) / seconds, hitPercent: (hits * 100) / looks, peakBytes }
}

/**
 * Gives how many of the looks found their payload in memory.
 *
 * @param {() => number} choose
 */
function look(choose) {
  const before = cache?.hits() ?? 0
  for (let looked = 0; looked < LOOKS_TOGETHER; looked++) {
    const number = choose()
    cache?.look(number, bytes => checkStamp(bytes, number, name))
  }
  return (cache?.hits() ?? 0) - before
}
