/** Puts more out than the device below the file system `place` holds, and says what became of it. */

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { PageoutError, Pager } from 'pageout'
import { MIB, pattern } from '../chunks.js'

const [place = ''] = process.argv.slice(2)
// The device lies in memory itself, which is refused unless it is asked for.
using pager = new Pager({ scratchDir: place, allowRamBacked: true, spareBytes: 0 })
const handles = Array.from({ length: 100 }, (_, seed) => pager.pageout(pattern(MIB, seed)))
// The kernel writes to the device now, and cannot; what it drops from memory then is gone.
spawnSync('sync', ['-f', place])
writeFileSync('/proc/sys/vm/drop_caches', '3')
const outcomes = { right: 0, wrong: 0, lost: 0, errors: [] as unknown[] }
for (const [seed, handle] of handles.entries()) {
  try {
    const isRight = Buffer.compare(pager.readAt(handle, 0, MIB), pattern(MIB, seed)) === 0
    outcomes[isRight ? 'right' : 'wrong']++
  } catch (error) {
    if (!(error instanceof PageoutError)) throw error
    outcomes.lost++
    if (!outcomes.errors.some(seen => String(seen) === String([error.code, error.errno]))) {
      outcomes.errors.push([error.code, error.errno])
    }
  }
}
const { writeBackFailures, atRiskBytes } = pager.stats()
console.log(
  JSON.stringify({ ...outcomes, writeBackFailures, atRiskBytes, atRisk: handles.filter(h => h.atRisk).length }),
)
