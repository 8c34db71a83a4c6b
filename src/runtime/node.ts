/**
 * Node's own modules, asked of the process instead of required: a `require` of them does not survive in every bundle (an ES module
 * that esbuild makes has none), and in a test runner it may give a stand-in.
 */

const module = process.getBuiltinModule

export const buffer = module('node:buffer')
export const crypto = module('node:crypto')
export const diagnostics = module('node:diagnostics_channel')
export const fs = module('node:fs')
export const os = module('node:os')
export const util = module('node:util')
export const webStreams = module('node:stream/web')
export const workers = module('node:worker_threads')
