/**
 * Evaluates the package in contexts of their own, as test runners do that isolate files, and prints what works across them.
 * Argument: the URL of the entry point. It needs --experimental-vm-modules.
 */

import { readFileSync } from 'node:fs'
import { createContext, runInContext, SourceTextModule, SyntheticModule } from 'node:vm'

/** What such runners put into a context: the globals that Node adds to those of the language. */
const NODES_OWN = [
  ['AbortController', 'AbortSignal', 'Buffer', 'Event', 'EventTarget'],
  ['ReadableStream', 'process', 'queueMicrotask', 'structuredClone'],
].flat()

/** Evaluates an entry point and all that it imports in a new context. */
async function evaluate(url, globals) {
  const context = createContext({ ...globals })
  const modules = new Map()
  const moduleAt = async url => {
    const known = modules.get(url)
    if (known) return known
    const made = url.startsWith('node:') ? await builtin(url, context) : source(url, context)
    modules.set(url, made)
    return made
  }
  const entry = await moduleAt(url)
  await entry.link((specifier, from) =>
    moduleAt(specifier.startsWith('node:') ? specifier : new URL(specifier, from.identifier).href),
  )
  await entry.evaluate()
  return { context, namespace: entry.namespace }
}

function source(url, context) {
  const initializeImportMeta = meta => {
    meta.url = url
  }
  return new SourceTextModule(readFileSync(new URL(url), 'utf8'), { context, identifier: url, initializeImportMeta })
}

async function builtin(url, context) {
  const exported = await import(url)
  return new SyntheticModule(
    Object.keys(exported),
    function set() {
      for (const [name, value] of Object.entries(exported)) this.setExport(name, value)
    },
    { context, identifier: url },
  )
}

const entry = process.argv[2]
const globals = Object.fromEntries(NODES_OWN.map(name => [name, globalThis[name]]))
const [first, second] = [await evaluate(entry, globals), await evaluate(entry, globals)]
/** A chunk of the context in which the package was evaluated, and one of another. */
const own = () => runInContext('Float64Array.of(1.5, 2.5)', first.context)
const other = () => Float64Array.of(1.5, 2.5)
const isOwn = value => runInContext('value => value instanceof Float64Array', first.context)(value)

/** Whether a chunk of each is emptied, comes back whole, and of which context its class is then. */
function roundTrip(...chunks) {
  const back = first.namespace.take(first.namespace.pageout(chunks))
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

const bare = await evaluate(entry, {}).then(
  () => 'evaluated',
  error => String(error),
)
const handle = first.namespace.pageout(own())
const target = other()
console.log(
  JSON.stringify({
    own: roundTrip(own()),
    other: roundTrip(other()),
    mixed: roundTrip(own(), other()),
    target: [first.namespace.readAt(handle, 1, 1, target).buffer === target.buffer, ...target],
    sharesThePager: first.namespace.stats().handles === second.namespace.stats().handles,
    refused: codeOf(() => second.namespace.take(handle)),
    moved: [...second.namespace.take(second.namespace.Handle.adopt(handle.move()))],
    wrong: codeOf(() => first.namespace.take(1)),
    bare,
  }),
)
