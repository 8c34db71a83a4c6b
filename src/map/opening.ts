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
  const { residentBytes, backend, maxBytes, onEvict } = optionsBag(given)
  refuseNoBudget(residentBytes)
  if (backend !== undefined) oneOf(backend, 'options.backend', ['file'])
  if (maxBytes !== undefined) wholeNumber(maxBytes, 'options.maxBytes', 1, Number.MAX_SAFE_INTEGER)
  if (onEvict !== undefined) {
    if (typeof onEvict !== 'function') throw invalidArgType('options.onEvict', 'of type function', onEvict)
    if (maxBytes === undefined) throw invalidArgValue('options.onEvict', 'needs maxBytes beside it', onEvict)
  }
  const core = PagerCore.open(given)
  return { core, entries: new Entries<K>(core, maxBytes), onEvict }
}

function refuseNoBudget(residentBytes: unknown): void {
  const expected = "a number of bytes, 'auto' or a MemoryBudget"
  if (residentBytes === undefined) throw invalidArgType('options.residentBytes', expected, residentBytes)
  if (residentBytes === 0) throw outOfRange('options.residentBytes', '>= 1', residentBytes)
}
