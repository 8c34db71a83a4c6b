/** Payloads that are kept out of core dumps stay so, however often they move, until they are taken or released. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { Handle, type HandleToken, read, take } from 'pageout'
import * as promises from 'pageout/promises'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { excludedBytes } from './helpers/excluded.js'
import { newPager } from './helpers/places.js'

const onLinux = process.platform === 'linux' ? test.serial : test.skip

const SECRET_BYTES = 16 * MIB
/** Pages at the edges. */
const EDGES = 64 * KIB
const options = { backend: 'swap', excludeFromCoreDumps: true } as const

const moved = (handle: Handle<Uint8Array>, times: number) => {
  let at = handle
  for (let move = 0; move < times; move += 1) at = Handle.adopt(at.move())
  return at
}

/** What ends a payload, and gives it back where it does. */
const ends: Record<string, (handle: Handle<Uint8Array>) => Uint8Array | undefined | Promise<Uint8Array>> = {
  take: handle => take(handle),
  'promised take': handle => promises.take(handle),
  'take into a target': handle => take(handle, new Uint8Array(SECRET_BYTES)),
  release: handle => {
    handle.release()
    return undefined
  },
}

for (const chunks of [1, 4]) {
  for (const moves of [0, 1, 2, 3, 7]) {
    for (const [what, end] of Object.entries(ends)) {
      onLinux(`${chunks} chunks are excluded through ${moves} moves until their ${what}`, async t => {
        const pager = newPager(t, options)
        const before = excludedBytes()
        const bytes = pattern(SECRET_BYTES)
        const parts = Array.from({ length: chunks }, (_, index) =>
          bytes.slice((index * SECRET_BYTES) / chunks, ((index + 1) * SECRET_BYTES) / chunks),
        )
        const handle = moved(pager.pageout(parts), moves)
        const excluded = () => excludedBytes() - before
        t.true(excluded() >= SECRET_BYTES - EDGES, `${excluded() / MIB} MiB while it is out`)
        t.true(excluded() <= SECRET_BYTES + EDGES, 'and what it left is not')
        sameBytes(t, read(handle), bytes)
        t.true(excluded() >= SECRET_BYTES - EDGES, 'a read changes nothing')
        const token = handle.move()
        t.true(excluded() >= SECRET_BYTES - EDGES, `${excluded() / MIB} MiB on its way`)
        const back = await end(Handle.adopt(token))
        if (back) sameBytes(t, back, bytes)
        t.true(excluded() <= EDGES, `${excluded() / KIB} KiB after its end`)
      })
    }
  }
}

onLinux('none of the memory of an excluded payload becomes a spare buffer, whoever holds it', t => {
  const pager = newPager(t, options)
  promises.trim()
  const handle = moved(pager.pageout(pattern(MIB)), 2)
  t.is(promises.stats().spareBytes, 0)
  handle.release()
  t.is(promises.stats().spareBytes, 0)
  const other = moved(pager.pageout([pattern(MIB), pattern(MIB)]), 2)
  take(other)
  t.is(promises.stats().spareBytes, 0)
})

onLinux('closing ends the exclusion of what is left', async t => {
  const before = excludedBytes()
  const pager = newPager(t, options)
  const held = [pager.pageout(pattern(8 * MIB)), pager.pageout([pattern(4 * MIB), pattern(4 * MIB, 2)])]
  t.true(excludedBytes() - before >= 16 * MIB - EDGES)
  pager.close()
  t.true(excludedBytes() - before <= EDGES, `${(excludedBytes() - before) / KIB} KiB`)
  const later = new promises.Pager(options)
  held.push(await later.pageout(pattern(8 * MIB)))
  await later.close()
  t.true(excludedBytes() - before <= EDGES, `${(excludedBytes() - before) / KIB} KiB`)
  t.is(held.length, 3)
})

onLinux('an excluded payload that is dropped after its moves is excluded no more', async t => {
  const pager = newPager(t, options)
  const before = excludedBytes()
  ;(() => {
    moved(pager.pageout(pattern(8 * MIB)), 2)
  })()
  t.true(excludedBytes() - before >= 8 * MIB - EDGES)
  t.true(await collectUntil(() => excludedBytes() - before <= EDGES))
})

onLinux('an excluded payload stays so in another thread, and on its way back', async t => {
  const pager = newPager(t, options)
  const before = excludedBytes()
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
    const { Handle } = require('pageout')
    parentPort.on('message', token => parentPort.postMessage(Handle.adopt(token).move()))`,
    { eval: true, execArgv: [] },
  )
  t.teardown(() => worker.terminate())
  let handle = pager.pageout(pattern(8 * MIB))
  for (let round = 0; round < 3; round += 1) {
    worker.postMessage(handle.move())
    const [token] = (await once(worker, 'message')) as [HandleToken<Uint8Array<ArrayBuffer>>]
    t.true(excludedBytes() - before >= 8 * MIB - EDGES, `round ${round}`)
    handle = Handle.adopt(token)
    t.true(excludedBytes() - before >= 8 * MIB - EDGES, `round ${round}`)
  }
  sameBytes(t, take(handle), pattern(8 * MIB))
  t.true(excludedBytes() - before <= EDGES, `${(excludedBytes() - before) / KIB} KiB`)
})
