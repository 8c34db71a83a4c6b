// As agents do that trace programs: hooks on both ways to load, which see the package and give it on.
import { createRequire, register } from 'node:module'
import { Hook } from 'import-in-the-middle'
import { Hook as RequireHook } from 'require-in-the-middle'

register('import-in-the-middle/hook.mjs', import.meta.url)
const seen = new Set()
const note = (exports, name) => {
  if (typeof exports.pageout === 'function') seen.add(name)
  return exports
}
new Hook(['pageout', 'pageout/promises'], note)
new RequireHook(['pageout'], { internals: false }, note)
createRequire(import.meta.url)('pageout')
process.once('exit', () => console.log(`hooks saw ${[...seen].sort()}`))
