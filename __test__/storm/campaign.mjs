/** Many interleavings, beside threads that do the same and are terminated in the middle of it. */

import { setImmediate, setTimeout } from 'node:timers/promises'
import { MemoryBudget } from 'pageout'
import { Broken, insist } from './calls.mjs'
import { playMaps } from './maps.mjs'
import { Random } from './random.mjs'
import { Scene } from './scene.mjs'
import { Adopter, Rival, Writer } from './threads.mjs'
import { openWorlds } from './worlds.mjs'

/** Interleavings between two looks at what is left behind. */
const BATCH = 200
/** Interleavings between two of maps. */
const MAPS_EVERY = 10
/** More rounds than the collector ever needed. */
const COLLECTIONS_MAX = 200

/** Counts of whatever happened. */
export class Tally {
  interleavings = 0
  terminated = 0
  /** Payloads whose borrowed memory was transferred away. */
  robberies = 0
  /** Warnings of that. */
  told = 0
  counts = {}

  count(group, name) {
    this.counts[group] ??= {}
    this.counts[group][name] = (this.counts[group][name] ?? 0) + 1
  }
}

/** Bytes that all threads together may have in memory, of the pagers that share them. */
const COMMON_BYTES = 128 * 2 ** 10

/** Counts warnings about borrows, which are expected; others are shown. */
function countWarnings(tally) {
  process.removeAllListeners('warning')
  process.on('warning', warning => {
    if (warning.name !== 'PageoutWarning') return console.error(warning)
    tally.count('warnings', warning.code)
    if (warning.code === 'PAGEOUT_BORROW_TRANSFERRED') tally.told += 1
  })
}

/**
 * Plays interleavings until there were enough, or it took long enough.
 *
 * @param {{ seed: number, from?: number, interleavings?: number, seconds?: number, budget?: string }} plan `budget`: the token
 * of the one that the thread shares with who started it; then it is without other threads
 * @param {Tally} tally
 * @param {{ watch?: Watch, tell?: (tally: Tally) => void }} [others] who is told where it is, and now and then how far
 */
export async function campaign(plan, tally, { watch, tell = () => {} } = {}) {
  const { seed, from = 0, interleavings = Infinity, seconds = Infinity, budget } = plan
  const isAlone = budget !== undefined
  const common = isAlone ? MemoryBudget.join(budget) : new MemoryBudget(COMMON_BYTES)
  countWarnings(tally)
  const writer = isAlone ? undefined : await Writer.start()
  const adopter = isAlone ? undefined : Adopter.startIfPossible()
  const endsAt = Date.now() + seconds * 1000
  let next = from
  while (next < from + interleavings && Date.now() < endsAt) {
    const end = Math.min(from + interleavings, (Math.floor(next / BATCH) + 1) * BATCH)
    await playBatch({ seed, next, end, writer, adopter, isAlone, common, watch }, tally)
    next = end
    tell(tally)
  }
  watch?.enter('the end', next)
  await writer?.stop()
  await adopter?.stop()
}

async function playBatch({ seed, next, end, writer, adopter, isAlone, common, watch }, tally) {
  const random = new Random(seed, Math.floor(next / BATCH), 1)
  const rival = isAlone ? undefined : new Rival(random.below(2 ** 32), common.token)
  const worlds = openWorlds(random, common)
  for (let interleaving = next; interleaving < end; interleaving += 1) {
    for (const world of worlds) if (world.isClosed) world.open()
    const racing = writer && new Random(seed, interleaving, 2).oneIn(8) ? writer.begin() : undefined
    await playOne([seed, interleaving], worlds, { racing, adopter, tally, watch })
    writer?.pause()
    if (interleaving % MAPS_EVERY === 0) await playMapsOf([seed, interleaving], common, { tally, watch })
    tally.interleavings += 1
  }
  watch?.enter('the end of a thread beside', end)
  if (rival) {
    await rival.terminate()
    tally.terminated += 1
  }
  watch?.enter('what a batch left behind', end, () => worlds.map(shown))
  await leaveNothing(worlds, isAlone)
  insist(tally.told === tally.robberies, `${tally.robberies} loans were robbed, and ${tally.told} warnings came`)
  // In the thread that others join, those are gone now, and their memory with them.
  if (!isAlone) await leaveNoMemory(common)
}

async function leaveNoMemory(budget) {
  for (let turn = 0; turn < COLLECTIONS_MAX && budget.residentBytes > 0; turn += 1) await setTimeout(10)
  insist(budget.residentBytes === 0, `${budget.residentBytes} bytes of a budget are taken, which nobody uses`)
}

async function playOne(keys, worlds, { watch, ...around }) {
  const scene = new Scene(keys, worlds, around)
  const [seed, interleaving] = keys
  const where = () => `\nseed ${seed}, interleaving ${interleaving}, steps: ${scene.trace.join(', ')}`
  watch?.enter('an interleaving', interleaving, () => [where(), scene.pending, worlds.map(shown)])
  try {
    await scene.play()
  } catch (error) {
    throw new Broken(`${error.message}${where()}`, { cause: error })
  }
}

async function playMapsOf(keys, common, { tally, watch }) {
  const [seed, interleaving] = keys
  watch?.enter('maps', interleaving)
  try {
    await playMaps(keys, common, tally)
  } catch (error) {
    throw new Broken(`${error.message}\nseed ${seed}, interleaving ${interleaving}, maps`, { cause: error })
  }
}

const shown = ({ isClosed, controls }) => (isClosed ? 'closed' : controls.stats())

/** Once nothing is used any more, the collector frees every place that is left. */
async function leaveNothing(worlds, isAlone) {
  // What other threads have out is theirs.
  const pagers = worlds.filter(world => !world.isClosed && !(isAlone && world.isShared))
  // A thread that was terminated between sending a handle and adopting it has lost the token.
  const isLeft = ({ handles, movingHandles, usedBytes, storedBytes }) =>
    handles > movingHandles || (movingHandles === 0 && usedBytes + storedBytes > 0)
  const left = () => pagers.map(world => world.controls.stats()).filter(isLeft)
  for (let round = 0; round < COLLECTIONS_MAX && left().length > 0; round += 1) {
    globalThis.gc()
    await setImmediate()
  }
  if (left().length > 0) throw new Broken(`places that nobody uses are taken: ${JSON.stringify(left())}`)
  await Promise.all(pagers.filter(world => !world.isShared).map(world => world.close()))
}
