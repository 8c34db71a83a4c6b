/** A storm that stands still tells what it waits for. */

import { fileURLToPath } from 'node:url'
import test from 'ava'
import { endOf } from './helpers/child.js'

const PROGRAM = fileURLToPath(new URL('helpers/children/stands-still.mjs', import.meta.url))
/** Which takes its time. */
const WITHOUT_DEBUGGER = { env: { ...process.env, PATH: '' } }

const ways = {
  waits: /it waits for: \[ 'a call that is pending' \]/,
  loops: /JavaScript: \[\n? *'goesRound file:.*stands-still\.mjs:\d+'/,
  blocks: /JavaScript: \[\n? *'blocks file:.*stands-still\.mjs:\d+'/,
}

for (const [way, told] of Object.entries(ways)) {
  test(`a storm that ${way} says so, and ends`, async t => {
    const { end, complaints } = await endOf(process.execPath, [PROGRAM, way], WITHOUT_DEBUGGER)
    t.is(end, 'SIGKILL')
    t.regex(complaints, /no progress for [\d.]+ s: an interleaving, interleaving 17/)
    t.regex(complaints, told)
    t.regex(complaints, /stuck for [\d.]+ s/)
    if (process.platform === 'linux') t.regex(complaints, /thread \d+ .*: [RSD], \d+ ticks/)
  })
}

test('a storm that goes on tells nothing', async t => {
  const { end, printed, complaints } = await endOf(process.execPath, [PROGRAM, 'goes on'])
  t.deepEqual([end, printed, complaints], [0, '', ''])
})
