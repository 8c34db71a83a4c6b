/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The map of `pageout/map` off the JavaScript thread: the same names and arguments, promises instead of results, and `{ signal }` as the
 * last argument.
 *
 * @module pageout/map/promises
 */

// First, so that nothing else is tried where it cannot be loaded.
import './addon/load.js'

export { PagedMap } from './map/promise-paged-map.js'
export type { MapControls, MapOptions, PromiseMapVerbs, PromisePagedMapOptions } from './map/verbs.js'
