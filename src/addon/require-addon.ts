/** Loads the addon when it is called, and not when this module is evaluated: see first.mts. */
export function requireAddon(): void {
  require('./load.js')
}
