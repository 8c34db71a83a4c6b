/** Opening a map: its options, and the pager that it has for itself. */

import { oneOf, optionsBag, wholeNumber } from '../chunks/arguments.js'
import { invalidArgType, invalidArgValue, outOfRange } from '../model/errors.js'
import { PagerCore } from '../pager/core.js'
import { Entries } from './entries.js'
import type { MapOptions } from './verbs.js'

/** The inside of a map. `F` is its `onEvict`. */
export interface Opened<K, F> {
  readonly core: PagerCore
  readonly entries: Entries<K>
  readonly onEvict: F | undefined
}

/** Opens a map. */
export function openMap<K, F>(given: (MapOptions & { onEvict?: F | undefined }) | undefined): Opened<K, F> {
  const { maxBytes, onEvict, ...pager } = readOnce(optionsBag(given))
  const { residentBytes, backend } = pager
  refuseNoBudget(residentBytes)
  if (backend !== undefined) oneOf(backend, 'options.backend', ['file'])
  if (maxBytes !== undefined) wholeNumber(maxBytes, 'options.maxBytes', 1, Number.MAX_SAFE_INTEGER)
  if (onEvict !== undefined) {
    if (typeof onEvict !== 'function') throw invalidArgType('options.onEvict', 'of type function', onEvict)
    if (maxBytes === undefined) throw invalidArgValue('options.onEvict', 'needs maxBytes beside it', onEvict)
  }
  const core = PagerCore.open(pager)
  return { core, entries: new Entries<K>(core, maxBytes), onEvict }
}

/** The options, so that what is checked here is what the pager gets. */
function readOnce<F>(given: Partial<MapOptions & { onEvict?: F }>): Partial<MapOptions & { onEvict?: F }> {
  const { scratchDir, residentBytes, maxBytes, onEvict, backend, capacityBytes, allowRamBacked } = given
  const { integrity, encryption, compression, excludeFromCoreDumps, spareBytes, detach } = given
  const pager = {
    scratchDir,
    residentBytes,
    backend,
    capacityBytes,
    allowRamBacked,
    integrity,
    encryption,
    compression,
  }
  return { ...pager, excludeFromCoreDumps, spareBytes, detach, maxBytes, onEvict } as typeof given
}

function refuseNoBudget(residentBytes: unknown): void {
  const expected = "a number of bytes, 'auto' or a MemoryBudget"
  if (residentBytes === undefined) throw invalidArgType('options.residentBytes', expected, residentBytes)
  if (residentBytes === 0) throw outOfRange('options.residentBytes', '>= 1', residentBytes)
}
