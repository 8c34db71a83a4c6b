/** Pages out copies that no memory can be allocated for, and says what came of each call. */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Pager, type Result } from 'pageout'
import * as promises from 'pageout/promises'
import { MIB } from '../chunks.js'

const CHUNK_BYTES = 768 * MIB
const [sync, later] = [new Pager({ spareBytes: 0 }), new promises.Pager({ spareBytes: 0 })]
const chunk = new Uint8Array(CHUNK_BYTES)
chunk.set([1, 2, 3])
const shared = new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES))
shared.set([1, 2, 3])
const small = new Uint8Array(MIB).fill(7)

// Each of these has used what it needs of threads and files before memory becomes short.
sync.take(sync.pageout(Uint8Array.of(1)))
await later.take(await later.pageout(new Uint8Array(MIB)))
const vmKib = Number(/^VmSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
execFileSync('prlimit', ['--pid', String(process.pid), `--as=${vmKib * 1024 + 256 * MIB}:`])

const never = { detach: 'never' } as const
const forms: Record<string, [Uint8Array[], (chunks: Uint8Array[]) => unknown]> = {
  'swap, copied': [[small, chunk], chunks => sync.pageoutWith('swap', chunks, never)],
  'swap, tried': [[chunk], chunks => sync.tryPageoutWith('swap', chunks, never)],
  'swap, shared': [[small, shared], chunks => sync.pageoutWith('swap', chunks)],
  'swap, promised': [[small, chunk], chunks => later.pageoutWith('swap', chunks, never)],
  'swap, promised and tried': [[chunk], chunks => later.tryPageoutWith('swap', chunks, never)],
  'swap, promised and shared': [[small, shared], chunks => later.pageoutWith('swap', chunks)],
  'file, shared': [[small, shared], chunks => sync.pageout(chunks)],
  'file, shared and alone': [[shared], chunks => sync.tryPageout(chunks)],
  'file, promised': [[small, chunk], chunks => later.pageout(chunks, never)],
  'file, promised and tried': [[chunk], chunks => later.tryPageout(chunks, never)],
  'file, promised and shared': [[small, shared], chunks => later.pageout(chunks)],
}

const seen: object[] = []
for (const [form, [own, call]] of Object.entries(forms)) {
  let error: { code?: string; chunks?: readonly unknown[] } | undefined
  try {
    const result = (await call(own)) as Result<unknown>
    if (result.ok === false) error = result.error
  } catch (thrown) {
    error = thrown as typeof error
  }
  const isOwn = error?.chunks?.length === own.length && own.every((part, index) => error.chunks?.[index] === part)
  const isWhole = small.length === MIB && chunk[2] === 3 && shared[2] === 3
  const handles = sync.stats().handles + later.stats().handles
  // What has room still goes out.
  const isServing = sync.take(sync.pageoutWith('swap', small, never)).length === MIB
  seen.push({ form, code: error?.code, isOwn, isWhole, handles, later: isServing })
}
// What the loader of this program still has to do needs memory again.
execFileSync('prlimit', ['--pid', String(process.pid), '--as=unlimited'])
console.log(JSON.stringify(seen))
