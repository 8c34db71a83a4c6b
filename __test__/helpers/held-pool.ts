/** Keeping the threads of libuv's pool busy, so that jobs wait for as long as a test wants. */

import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'

const THREADS = Number(process.env.UV_THREADPOOL_SIZE ?? 4)

/** Keeps all threads of the pool busy until the result is called, or the test ends. */
export function holdPool(t: ExecutionContext): () => Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'pageout-pool-'))
  const pipe = join(directory, 'pipe')
  execFileSync('mkfifo', [pipe])
  // The opening of a pipe waits for its other end.
  const openings = Array.from({ length: THREADS }, () => open(pipe, 'r'))
  let isHeld = true
  const release = async () => {
    if (!isHeld) return
    isHeld = false
    const end = openSync(pipe, constants.O_RDWR)
    for (const opening of openings) await (await opening).close()
    closeSync(end)
    rmSync(directory, { recursive: true })
  }
  t.teardown(release)
  return release
}
