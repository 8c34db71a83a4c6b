/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A map of arrays within a memory budget: what is used stays in memory as long as there is room, and the rest is in unnamed files.
 * `pageout/map/promises` has the same map off the JavaScript thread.
 *
 * @module pageout/map
 */

// First, so that nothing else is tried where it cannot be loaded.
import './addon/load.js'

export { PagedMap } from './map/paged-map.js'
export type { MapControls, MapOptions, MapVerbs, PagedMapOptions } from './map/verbs.js'
