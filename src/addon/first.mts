/**
 * Loads the addon before a face imports any CommonJS module. Where a CommonJS module throws while an ES module imports it,
 * Node 20 ends the process, even when the caller of `import()` catches the error. An ES module may throw.
 */

import { requireAddon } from './entry.js'

requireAddon(import.meta.url)
