/**
 * The ES module face of `pageout/map/promises`: the names of the CommonJS module, written out so that every tool finds them. There is
 * one copy of the code in a process, whether it is imported, required or both.
 *
 * @packageDocumentation
 */

// First, so that an error of the loader can be caught.
import './addon/first.mjs'

export type { MapControls, MapOptions, PromiseMapVerbs, PromisePagedMapOptions } from './map-promises.js'
export { PagedMap } from './map-promises.js'
