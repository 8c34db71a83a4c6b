/** A memory budget where something stands against it: memory that is short, a disk that is full, dumps, other threads. */

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { type Handle, MemoryBudget } from 'pageout'
import { Pager as PromisePager } from 'pageout/promises'
import { runChild } from './helpers/child.js'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { excludedBytes } from './helpers/excluded.js'
import { canMountFiles, newFileMount, writeFull } from './helpers/mounts.js'
import { newDirectory, newPager } from './helpers/places.js'
import { until } from './helpers/until.js'

const onLinux = process.platform === 'linux' ? test.serial : test.skip
const withMounts = canMountFiles ? test : test.skip

/** What may stay of memory that was freed, by default, and what a process rises by beside its payloads. */
const SLACK_BYTES = 32 * MIB + 16 * MIB

for (const how of ['sync', 'promises']) {
  const plain = [64 * KIB, 2 * MIB, 16 * MIB].map(payloadBytes => ({ payloadBytes, options: {}, title: how }))
  const options = { compression: 'lz4', encryption: true }
  const sealed = { payloadBytes: 2 * MIB, options, title: `${how}, compressed and encrypted` }
  for (const { payloadBytes, options, title } of [...plain, sealed]) {
    const budget = 64 * MIB
    test.serial(`no more than the budget is resident: payloads of ${payloadBytes / KIB} KiB, ${title}`, async t => {
      const args = [payloadBytes, (4 * budget) / payloadBytes, budget, how, JSON.stringify(options)]
      const { risenBytes, evictions } = await runChild<Record<string, number>>('within-budget.ts', args)
      t.log(`${Math.round((risenBytes ?? 0) / MIB)} MiB with a budget of ${budget / MIB} MiB`)
      t.true((evictions ?? 0) > 16)
      t.true((risenBytes ?? 0) <= budget + SLACK_BYTES)
    })
  }
}

for (const excludeFromCoreDumps of [false, true]) {
  const title = excludeFromCoreDumps ? ', excluded from core dumps' : ''
  test(`chunks that are listed twice go out twice, and are empty once${title}`, async t => {
    const options = { residentBytes: MIB, excludeFromCoreDumps }
    const pager = newPager(t, options)
    const promisePager = new PromisePager({ scratchDir: newDirectory(t), ...options })
    t.teardown(() => promisePager.close())
    for (const byteLength of [1000, 64 * KIB]) {
      const [one, two, three] = [pattern(byteLength, 1), pattern(byteLength, 2), pattern(byteLength, 3)]
      const expected = [Buffer.concat([one, two, one]), Buffer.concat([three, three])] as const
      t.true(expected[0].equals(pager.take(pager.pageout([one, two, one]))))
      t.true(expected[1].equals(await promisePager.take(await promisePager.pageout([three, three]))))
      t.deepEqual([one.length, two.length, three.length], [0, 0, 0])
    }
  })
}

test('trims evict nothing', t => {
  const pager = newPager(t, { residentBytes: MIB })
  const handles = Array.from({ length: 10 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))
  pager.trim()
  const { residentBytes, evictions } = pager.stats()
  t.deepEqual([residentBytes, evictions], [640 * KIB, 0])
  handles.forEach((handle, seed) => {
    sameBytes(t, pager.take(handle), pattern(64 * KIB, seed))
  })
})

test('what is released before it was written is never written', t => {
  const pager = newPager(t, { residentBytes: MIB })
  for (let seed = 0; seed < 100; seed++) pager.pageout(pattern(64 * KIB, seed)).release()
  const { residentBytes, evictions, writesElided, usedBytes } = pager.stats()
  t.deepEqual([residentBytes, evictions, writesElided, usedBytes], [0, 0, 100, 0])
})

test('what is changed without integrity is not noticed', t => {
  const pager = newPager(t, { residentBytes: MIB, integrity: 'none' })
  const handle = pager.pageout(pattern(64 * KIB))
  pager.borrow(handle, bytes => void bytes.fill(0))
  sameBytes(t, pager.take(handle), new Uint8Array(64 * KIB))
  t.is(pager.stats().changedBorrows, 0)
})

onLinux('with a budget chunks are copied into excluded memory, and what comes back is none', async t => {
  const options = { residentBytes: 32 * MIB, excludeFromCoreDumps: true }
  const pager = newPager(t, options)
  const promises = new PromisePager({ scratchDir: newDirectory(t), ...options })
  const before = excludedBytes()
  const chunk = pattern(8 * MIB)
  const memory = chunk.buffer
  const handles = [pager.pageout(chunk), await promises.pageout(pattern(8 * MIB, 1))]
  t.is(chunk.length, 0, 'and its own memory is given up')
  t.true(excludedBytes() - before >= 15 * MIB)
  const back = pager.take(handles[0] as Handle<Uint8Array>)
  t.not(back.buffer, memory)
  sameBytes(t, back, pattern(8 * MIB))
  const borrow = await promises.borrow(handles[1] as Handle<Uint8Array>)
  t.true(excludedBytes() - before >= 7 * MIB, 'also while it is borrowed')
  borrow.release()
  await promises.close()
  t.true(excludedBytes() - before <= 256 * KIB, `${excludedBytes() - before}`)
})

/** The code of a call that fails. */
function codeOf(call: () => void): unknown {
  try {
    call()
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

// Without reserved space a disk that others fill is told of when the payload is written; it is full when a tenth of it is left.
withMounts('what cannot be written in the background stays, and what needs its room fails until it can', async t => {
  const scratchDir = newFileMount(t, 'ext2', 16 * MIB, newDirectory(t))
  const budget = new MemoryBudget(MIB)
  const pager = newPager(t, { scratchDir, residentBytes: budget })
  const handles = Array.from({ length: 16 }, (_, seed) => pager.pageout(pattern(64 * KIB, seed)))
  const isWithinLimit = () => pager.stats().residentBytes <= budget.limitBytes
  budget.limitBytes = 512 * KIB
  await until(t, isWithinLimit, () => pager.stats())
  const filler = join(scratchDir, 'filler')
  writeFull(filler)
  budget.limitBytes = 128 * KIB
  const hasFailed = () => pager.stats().backgroundWriteFailures > 0
  await until(t, hasFailed, () => pager.stats())
  const chunk = pattern(64 * KIB, 99)
  t.is(t.throws<NodeJS.ErrnoException>(() => pager.pageout(chunk))?.code, 'ERR_PAGEOUT_CAPACITY')
  sameBytes(t, chunk, pattern(64 * KIB, 99), 'the chunk is untouched')
  const codes = handles.map(handle => codeOf(() => pager.borrow(handle).release()))
  t.deepEqual([...new Set(codes)].sort(), ['ERR_PAGEOUT_CAPACITY', undefined], 'in memory needs no room')
  handles.forEach((handle, seed) => {
    sameBytes(t, pager.read(handle), pattern(64 * KIB, seed))
  })
  rmSync(filler)
  await until(t, isWithinLimit, () => pager.stats())
  handles.push(pager.pageout(chunk))
  sameBytes(t, pager.take(handles.pop() as Handle<Uint8Array>), pattern(64 * KIB, 99))
  handles.forEach((handle, seed) => {
    sameBytes(t, pager.take(handle), pattern(64 * KIB, seed))
  })
  t.is(pager.stats().usedBytes, 0)
})
