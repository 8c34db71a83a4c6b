/** A storm that stands still, under a watch. Argument: in what way. */

import { STAGES, Watch } from '../../storm/watch.mjs'

const WAYS = {
  /** A promise that nobody settles; only the watch notices, and something else keeps the process. */
  waits: () => setInterval(() => {}, 1000),
  loops: function goesRound() {
    for (;;);
  },
  blocks: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  'goes on': async () => {
    for (let turn = 0; turn < 30; turn += 1) {
      await new Promise(resolve => setTimeout(resolve, 10))
      watch.enter(STAGES[1], turn)
    }
    await watch.stop()
  },
}

const watch = new Watch({ stillAfterMs: 400, stuckAfterMs: 500 })
watch.enter(STAGES[1], 17, () => ['a call that is pending'])
await WAYS[process.argv[2]]()
