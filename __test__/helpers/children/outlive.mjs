/**
 * Has a thread load the package, which this one does not, page out and free more than may stay idle, and end: the background
 * thread that gives the space back goes on in an addon that no JavaScript has loaded any more. Prints how all of that went.
 * Arguments: the URL of the entry point, a directory for a copy of the addon.
 */

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

const MIB = 2 ** 20
const IDLE_BYTES_MAX = 64 * MIB
/** Far more than the background thread takes. */
const WAIT_MS = 60_000

/** Waits until `isDone`; says whether it came to be. */
async function isReached(isDone) {
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await setTimeout(20)) if (isDone()) return true
  return isDone()
}

function nameOf(task) {
  try {
    return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim()
  } catch {
    // It ended meanwhile.
    return ''
  }
}

/** The addon that is loaded, if there is one. */
function loadedAddon() {
  return /\/\S*\/pageout\.[\w-]+\.node$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[0]
}

const [entry, directory] = process.argv.slice(2)
const program = `
  import(${JSON.stringify(entry)}).then(({ pageout, stats }) => {
    const handles = Array.from({ length: 5 }, () => pageout(new Uint8Array(${40 * MIB})))
    for (const handle of handles) handle[Symbol.dispose]()
    require('node:worker_threads').parentPort.postMessage(stats().scratchBytes)
  })`
const worker = new Worker(program, { eval: true, execArgv: [] })
const [[scratchBytes], [code]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
// The C library unloads when it closes a library for the next time, here one that has nothing to do with the first.
const other = join(directory, 'other.node')
copyFileSync(loadedAddon(), other)
const load = `process.dlopen({ exports: {} }, ${JSON.stringify(other)})`
await once(new Worker(load, { eval: true, execArgv: [] }), 'exit')
const isLoaded = loadedAddon() !== undefined
// What the addon does at a fork is done without JavaScript too.
const forked = spawnSync('true').status
const isOver = await isReached(() => !readdirSync('/proc/self/task').some(task => nameOf(task) === 'pageout-keeper'))
const { pageout, stats, take } = await import(entry)
const isGivenBack = await isReached(() => stats().scratchBytes <= IDLE_BYTES_MAX)
const sum = take(pageout(Uint8Array.of(1, 2))).reduce((sum, byte) => sum + byte)
console.log(
  JSON.stringify({ code, wasIdle: scratchBytes > IDLE_BYTES_MAX, isLoaded, forked, isOver, isGivenBack, sum }),
)
