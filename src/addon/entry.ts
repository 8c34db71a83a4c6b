/** How an ES module asks for the addon: see first.mts. */

/** The URL of the ES module that asked, which in a bundle is that of the bundle. */
export let entryUrl: string | undefined

/** Loads the addon when it is called, and not when this module is evaluated. */
export function requireAddon(url: string | undefined): void {
  entryUrl = url
  require('./load.js')
}
