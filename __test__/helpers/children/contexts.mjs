/**
 * Evaluates the package in contexts of their own, as test runners do that isolate files, and prints what works across them.
 * Argument: the path of the entry point.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { compileFunction, createContext, runInContext } from 'node:vm'

/** What such runners put into a context: the globals that Node adds to those of the language. */
const NODES_OWN = [
  ['AbortController', 'AbortSignal', 'Buffer', 'Event', 'EventTarget'],
  ['ReadableStream', 'process', 'queueMicrotask', 'structuredClone'],
].flat()

/** Evaluates an entry point and all that it requires in a new context. */
function evaluate(entry, globals) {
  const context = createContext({ ...globals })
  const modules = new Map()
  const load = path => {
    const known = modules.get(path)
    if (known) return known.exports
    const module = { exports: {} }
    modules.set(path, module)
    const real = createRequire(path)
    const require = name => (/^\.\.?\/.*\.js$/.test(name) ? load(real.resolve(name)) : real(name))
    const names = ['exports', 'require', 'module', '__filename', '__dirname']
    const body = compileFunction(readFileSync(path, 'utf8'), names, { filename: path, parsingContext: context })
    body.call(module.exports, module.exports, require, module, path, dirname(path))
    return module.exports
  }
  return { context, exports: load(entry) }
}

const entry = process.argv[2]
const globals = Object.fromEntries(NODES_OWN.map(name => [name, globalThis[name]]))
const [first, second] = [evaluate(entry, globals), evaluate(entry, globals)]
/** A chunk of the context in which the package was evaluated, and one of another. */
const own = () => runInContext('Float64Array.of(1.5, 2.5)', first.context)
const other = () => Float64Array.of(1.5, 2.5)
const isOwn = value => runInContext('value => value instanceof Float64Array', first.context)(value)

/** Whether a chunk of each is emptied, comes back whole, and of which context its class is then. */
function roundTrip(...chunks) {
  const back = first.exports.take(first.exports.pageout(chunks))
  return { left: chunks.map(chunk => chunk.length), values: [...back], isOwn: isOwn(back) }
}

function codeOf(call) {
  try {
    call()
    return 'none'
  } catch (error) {
    return error.code
  }
}

function evaluatedBare() {
  try {
    evaluate(entry, {})
    return 'evaluated'
  } catch (error) {
    return String(error)
  }
}

const handle = first.exports.pageout(own())
const target = other()
console.log(
  JSON.stringify({
    own: roundTrip(own()),
    other: roundTrip(other()),
    mixed: roundTrip(own(), other()),
    target: [first.exports.readAt(handle, 1, 1, target).buffer === target.buffer, ...target],
    sharesThePager: first.exports.stats().handles === second.exports.stats().handles,
    refused: codeOf(() => second.exports.take(handle)),
    moved: [...second.exports.take(second.exports.Handle.adopt(handle.move()))],
    wrong: codeOf(() => first.exports.take(1)),
    bare: evaluatedBare(),
  }),
)
