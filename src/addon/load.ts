/**
 * Loads the addon of this platform. The entry points load this module before all others, so that where the package cannot
 * work, an error says why and what to do about it.
 */

import type * as Addon from '../../index.d.ts'
import { search } from './search.js'

/** @internal What the addon exports: the entry points' types lead here, and the types of the addon are not published. */
export const native: typeof Addon = load()

function load(): typeof Addon {
  const { addon, error } = search()
  if (!addon) throw error
  return addon
}
