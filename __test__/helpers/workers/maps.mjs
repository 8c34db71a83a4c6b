// Uses a map within a budget that other threads share; says what it saw.
import { parentPort, workerData } from 'node:worker_threads'
import { MemoryBudget } from 'pageout'
import { PagedMap } from 'pageout/map'

const { token, scratchDir, rounds, isLeftOpen } = workerData
const budget = MemoryBudget.join(token)
const map = new PagedMap({ residentBytes: budget, scratchDir })
const BYTES = 64 * 1024
const wrong = []
let full = 0
let isOver = false

function unlessFull(call) {
  try {
    call()
  } catch (error) {
    if (error.code !== 'ERR_PAGEOUT_BUDGET') throw error
    full++
  }
}

for (let key = 0; key < 24; key++) map.set(key, new Uint8Array(BYTES).fill(key))
for (let round = 0; round < rounds; round++) {
  const key = (round * 7) % 24
  const other = (round * 11 + 5) % 24
  unlessFull(() =>
    map.borrowAll([key, other], (one, two) => {
      if (one[BYTES - 1] !== key || two[0] !== other) wrong.push(round)
    }),
  )
  map.update(key, value => value.fill(key))
  if (map.readAt(other, 100, 1)[0] !== other) wrong.push(round)
  if (budget.residentBytes > budget.limitBytes) isOver = true
}
if (isLeftOpen) {
  unlessFull(() => map.borrow(0))
  parentPort.postMessage({ wrong, full, isOver })
  setInterval(() => {}, 1000)
} else {
  map.close()
  parentPort.postMessage({ wrong, full, isOver })
}
