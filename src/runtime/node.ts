/**
 * Node's own modules, asked of the process instead of required: a `require` of them does not survive in every bundle (an ES module
 * that esbuild makes has none), and in a test runner it may give a stand-in.
 */

// A Node that is too old for that gets as far as the error of the loader, which says so, and uses none of these.
const builtin = process.getBuiltinModule ?? ((() => ({})) as unknown as typeof process.getBuiltinModule)

export const buffer = builtin('node:buffer')
export const crypto = builtin('node:crypto')
export const diagnostics = builtin('node:diagnostics_channel')
export const os = builtin('node:os')
export const util = builtin('node:util')
export const webStreams = builtin('node:stream/web')
export const workers = builtin('node:worker_threads')

/** The runtime's `structuredClone`, which test environments may lack. What it gives is of the main realm there. */
export const clone: typeof structuredClone =
  globalThis.structuredClone ?? builtin('node:vm').runInThisContext('structuredClone')

/** Refuses to let an object be cloned or posted, where the runtime can (Node 22.10 and later). */
export const { markAsUncloneable = () => {} } = workers as { markAsUncloneable?: (object: object) => void }
