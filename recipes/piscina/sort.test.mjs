import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stats, take } from 'pageout'
import { Sorter } from './sort.mjs'

const MIB = 2 ** 20
const LENGTH = 65_536
const COUNT = 40
const residentBytes = 4 * MIB

/** Numbers that are not in order, the same for a seed. */
function numbers(seed) {
  return Float64Array.from({ length: LENGTH }, (_, index) => ((index + seed) * 7919) % 65_521)
}

test('workers sort more than the budget holds, and nothing is left', async () => {
  const sorter = new Sorter({ residentBytes, threads: 2 })
  let most = 0
  const look = () => {
    most = Math.max(most, sorter.budget.residentBytes)
  }
  const timer = setInterval(look, 1)
  const handles = []
  for (let seed = 0; seed < COUNT; seed++) {
    handles.push(sorter.add(numbers(seed)))
    look()
  }
  const results = await Promise.all(handles.map(handle => sorter.sort(handle)))
  clearInterval(timer)
  assert.ok(handles.every(({ released }) => released))
  assert.equal(sorter.stats().residentLimitBytes, residentBytes)
  assert.ok(most > residentBytes / 2 && most <= residentBytes, `${most} bytes of ${residentBytes}`)
  const last = results.pop()
  for (const [seed, result] of results.entries()) assert.deepEqual(take(result), numbers(seed).sort())
  const { handles: left, payloadBytes, usedBytes, movingHandles } = sorter.stats()
  assert.deepEqual(
    { left, payloadBytes, usedBytes, movingHandles },
    { left: 0, payloadBytes: 0, usedBytes: 0, movingHandles: 0 },
  )
  await sorter.close()
  assert.deepEqual(take(last), numbers(COUNT - 1).sort(), 'a result outlives the workers')
  assert.equal(sorter.budget.residentBytes, 0)
})

test('a task that is given up before a worker has it leaves nothing behind', async () => {
  const sorter = new Sorter({ residentBytes, threads: 1 })
  const leaving = new AbortController()
  const tasks = [0, 1, 2].map(seed => sorter.sort(sorter.add(numbers(seed)), { signal: leaving.signal }))
  leaving.abort()
  for (const { status, reason } of await Promise.allSettled(tasks)) {
    assert.deepEqual([status, reason?.name], ['rejected', 'AbortError'])
  }
  await sorter.close()
  assert.equal(stats().movingHandles, 0)
  assert.equal(sorter.budget.residentBytes, 0)
})
