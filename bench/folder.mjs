// Where all candidates keep their files: a folder in the directory that pageout chooses by itself.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Pager } from '../dist/index.js'

/** Makes the folder, which is removed when the process ends. */
export function makeFolder() {
  const { scratchDir, fileSystem } = choice()
  const folder = mkdtempSync(join(scratchDir ?? '', 'pageout-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true }))
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))
  // Lets ext4 put each directory in it in a block group of its own (see `FilePerPayload`). Other file systems have no such
  // flag and no such need, so the outcome does not matter.
  spawnSync('chattr', ['+T', folder], { stdio: 'ignore' })
  return { folder, fileSystem: fileSystem ?? 'unknown' }
}

/** What pageout chooses. */
function choice() {
  const pager = new Pager()
  pager.pageout(new Uint8Array(1))
  const stats = pager.stats()
  pager.close()
  return stats
}
