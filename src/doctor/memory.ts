/** What memory and swap space mean: pure. */

import type { Finding, MemoryFacts, MemoryGroupFacts } from './types.js'
import { bytes } from './words.js'

/** Less than this part of a limit is little. */
const LITTLE_DIVISOR = 8
/** The least that an automatic budget has. */
const AUTO_BYTES_MIN = 2 ** 20

export function memoryFindings(facts: MemoryFacts): Finding[] {
  return [machine(facts), groups(facts), automatic(facts), swap(facts)]
}

function machine({ physicalBytes, availableBytes }: MemoryFacts): Finding {
  const all = physicalBytes === undefined ? 'unknown' : bytes(physicalBytes)
  const free = availableBytes === undefined ? 'how much is available is unknown' : `${bytes(availableBytes)} available`
  const ok: Finding = { section: 'memory', code: 'machine-memory', level: 'ok', message: `Machine: ${all}, ${free}` }
  const isLittle = (availableBytes ?? Number.POSITIVE_INFINITY) < (physicalBytes ?? 0) / LITTLE_DIVISOR
  return isLittle
    ? {
        ...ok,
        level: 'note',
        advice: 'Other processes hold most of it. Page more out, or give this machine more memory.',
      }
    : ok
}

/** The limit that counts, and the groups that have one. */
function groups({ limitBytes, groupFreeBytes, groups }: MemoryFacts): Finding {
  const ok = { section: 'memory', code: 'memory-limit', level: 'ok' } as const
  if (limitBytes === undefined) return { ...ok, message: 'No memory group (cgroup) limits this process' }
  const details = groups.filter(({ limitBytes, highBytes }) => (limitBytes ?? highBytes) !== undefined).map(described)
  const left = groupFreeBytes ?? 0
  const message = `Memory limit ${bytes(limitBytes)} (cgroup), ${bytes(left)} left (page cache counts as free)`
  if (left >= limitBytes / LITTLE_DIVISOR) return { ...ok, message, details }
  const advice = 'The limit is near: page more out, lower residentBytes, or raise the limit.'
  return { ...ok, level: 'note', message, details, advice }
}

function described({ version, directory, limitBytes, highBytes, usedBytes, heldBytes }: MemoryGroupFacts): string {
  const numbers = [
    ['limit', limitBytes],
    ['throttled from', highBytes],
    ['used', usedBytes],
    ['without page cache', heldBytes],
  ] as const
  const told = numbers.flatMap(([name, count]) => (count === undefined ? [] : [`${name} ${bytes(count)}`]))
  return `${directory} (version ${version}): ${told.join(', ')}`
}

function automatic({ autoBytes }: MemoryFacts): Finding {
  const message = `residentBytes: 'auto' would begin with ${bytes(autoBytes)}`
  if (autoBytes > AUTO_BYTES_MIN) return { section: 'memory', code: 'auto-budget', level: 'ok', message }
  const advice =
    'There is no memory to spare for payloads: they all go to the disk. Give the process more, or name a number.'
  return { section: 'memory', code: 'auto-budget', level: 'note', message, advice }
}

function swap({ swapBytes, swapFreeBytes, groups }: MemoryFacts): Finding {
  const allowed = groups.flatMap(({ swapLimitBytes }) => (swapLimitBytes === undefined ? [] : [swapLimitBytes]))
  const mayUse = Math.min(swapBytes, ...allowed)
  const note = { section: 'swap', code: 'swap', level: 'note' } as const
  const advice = "It matters only to pagers with backend: 'swap': let them use the file backend, the default."
  if (swapBytes === 0) return { ...note, message: 'No swap space: the swap backend would free nothing', advice }
  if (mayUse === 0) {
    return { ...note, message: 'The memory group may not use swap space: the swap backend would free nothing', advice }
  }
  const limit = mayUse < swapBytes ? `, of which the memory group may use ${bytes(mayUse)}` : ''
  const message = `Swap space: ${bytes(swapBytes)}, ${bytes(swapFreeBytes)} free${limit}`
  return { section: 'swap', code: 'swap', level: 'ok', message }
}
