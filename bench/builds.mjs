// The builds of pageout that are measured: this one, and another one beside it if `--against` names one.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Pager } from '../dist/index.js'
import { Pager as PromisePager } from '../dist/promises.js'
import { UsageError } from './options.mjs'
import { PROMISED_PAGEOUT } from './promise-stores.mjs'
import { PAGEOUT, paged } from './stores.mjs'

/** @typedef {import('./types.js').Build} Build */
/** @typedef {import('./types.js').Makers} Makers */

/**
 * This build, and the one in a directory.
 *
 * @param {string | undefined} directory
 * @returns {Promise<Build[]>}
 */
export async function loadBuilds(directory) {
  const here = { name: PAGEOUT, promisedName: PROMISED_PAGEOUT, Pager, PromisePager }
  return directory === undefined ? [here] : [here, await loadBuild(directory)]
}

/**
 * @param {string} directory
 * @returns {Promise<Build>}
 */
async function loadBuild(directory) {
  try {
    const manifest = join(resolve(directory), 'package.json')
    const { name, version } = JSON.parse(readFileSync(manifest, 'utf8'))
    // A package finds its own entries by its name, wherever it lies.
    const load = (/** @type {string} */ entry) => loadPager(createRequire(manifest).resolve(entry))
    return {
      name: `${PAGEOUT} (${version})`,
      promisedName: `${PROMISED_PAGEOUT} (${version})`,
      Pager: await load(name),
      PromisePager: await load(`${name}/promises`),
    }
  } catch (error) {
    throw new UsageError(`--against: there is no build of pageout: ${/** @type {Error} */ (error).message}`)
  }
}

/**
 * The class that an ES module or a CommonJS module exports.
 *
 * @param {string} path
 */
async function loadPager(path) {
  const module = await import(pathToFileURL(path).href)
  return module.Pager ?? module.default.Pager
}

/**
 * The stores of the builds, by their names.
 *
 * @param {readonly Build[]} builds
 * @returns {Makers}
 */
export function makersOf(builds) {
  return Object.fromEntries(builds.map(build => [build.name, place => paged(build, place, {})]))
}
