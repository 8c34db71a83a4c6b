/** Looks whether the thread of the storm goes on, and tells what it and the others do when it does not. */

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { setTimeout } from 'node:timers/promises'
import { inspect } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'

const { numbers, stages, stillAfterMs, stuckAfterMs } = workerData
const LOOK_MS = Math.min(1000, stillAfterMs / 4)
/** How long a thread has to answer, and to show whether it uses its processor. */
const ANSWER_MS = 2000

// What this thread gives to `console` the storm's own has to print.
const print = (...parts) =>
  writeSync(2, `${parts.map(part => (typeof part === 'string' ? part : inspect(part))).join(' ')}\n`)

let beats = -1
let movedAt = Date.now()
let isTold = false
for (;;) {
  await setTimeout(LOOK_MS)
  const beat = Atomics.load(numbers, 0)
  if (beat !== beats) [beats, movedAt, isTold] = [beat, Date.now(), false]
  const stillMs = Date.now() - movedAt
  if (stillMs >= stuckAfterMs) {
    print(`stuck for ${stillMs / 1000} s`)
    process.kill(process.pid, 'SIGKILL')
  }
  if (stillMs < stillAfterMs || isTold) continue
  isTold = true
  print(
    `no progress for ${stillMs / 1000} s: ${stages[Atomics.load(numbers, 1)]}, interleaving ${Atomics.load(numbers, 2)}`,
  )
  parentPort.postMessage('explain')
  await showThreads()
  await showScript()
  showNatives()
}

/** State and processor time of each native thread. */
async function showThreads() {
  if (process.platform !== 'linux') return
  const timesOf = fields => Number(fields[11]) + Number(fields[12])
  const look = () =>
    readdirSync('/proc/self/task').map(thread => {
      const [, name, rest] = /\((.*)\) (.*)/.exec(readFileSync(`/proc/self/task/${thread}/stat`, 'utf8'))
      const fields = rest.split(' ')
      return { thread, name, state: fields[0], ticks: timesOf(fields) }
    })
  const before = new Map(look().map(({ thread, ticks }) => [thread, ticks]))
  await setTimeout(ANSWER_MS)
  for (const { thread, name, state, ticks } of look()) {
    print(`thread ${thread} ${name}: ${state}, ${ticks} ticks, ${ticks - (before.get(thread) ?? 0)} of them just now`)
  }
}

/** Where the storm's own thread is in JavaScript; one that waits for events is not. */
async function showScript() {
  const session = new Session()
  session.connectToMainThread()
  const scripts = new Map()
  session.on('Debugger.scriptParsed', ({ params }) => scripts.set(params.scriptId, params.url))
  const paused = new Promise(resolve => session.once('Debugger.paused', resolve))
  const shown = (async () => {
    await session.post('Debugger.enable')
    await session.post('Debugger.pause')
    const { params } = await paused
    const placeOf = ({ scriptId, lineNumber }) => `${scripts.get(scriptId)}:${lineNumber + 1}`
    return params.callFrames.map(({ functionName, location }) => `${functionName} ${placeOf(location)}`)
  })()
  const frames = await Promise.race([shown, setTimeout(ANSWER_MS)])
  print('JavaScript:', frames ?? 'none')
  session.disconnect()
}

/** All native stacks, where there is a debugger. */
function showNatives() {
  const commands = ['set pagination off', 'thread apply all bt 30'].flatMap(command => ['-ex', command])
  // Not through this process, which stands while it is looked at.
  const { error } = spawnSync('gdb', ['-p', String(process.pid), '-batch', ...commands], { stdio: ['ignore', 2, 2] })
  if (error) print(`without native stacks: ${error.message}`)
}
