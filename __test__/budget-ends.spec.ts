/** Borrows within a budget that do not end as they should: with their thread or process, or with their memory elsewhere. */

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { markAsUntransferable, Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type Borrow, Handle, MemoryBudget, type Pager, take } from 'pageout'
import * as promises from 'pageout/promises'
import { type Warning, watchWarnings } from './helpers/borrows.js'
import { endOf } from './helpers/child.js'
import { KIB, pattern, sameBytes } from './helpers/chunks.js'
import { isReached } from './helpers/collect.js'
import { newDirectory, newPager } from './helpers/places.js'

type Verb = (...args: never[]) => unknown
const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: Record<string, Verb> }

const PAYLOAD_BYTES = 64 * KIB
const BYTES = pattern(PAYLOAD_BYTES)
/** What helpers/borrowing.mjs borrows. */
const ALL_BYTES = 4 * PAYLOAD_BYTES

/** Puts another function in the place of one of the addon, until the result is called. */
function replace(t: ExecutionContext, name: string, make: (original: Verb) => Verb): () => void {
  const original = native[name] as Verb
  native[name] = make(original)
  const restore = () => {
    native[name] = original
  }
  t.teardown(restore)
  return restore
}

/** Has `before` called each time before a function of the addon, and `after` with what it gave, until the result is called. */
function around(t: ExecutionContext, name: string, { before = () => {}, after = (_: unknown) => {} }): () => void {
  return replace(t, name, original => (...args) => {
    before()
    const given = original(...args)
    after(given)
    return given
  })
}

/** Has a function of the addon begin in a later turn of the event loop, until the result is called. */
function delay(t: ExecutionContext, name: string): () => void {
  return replace(t, name, original => async (...args) => {
    await setImmediate()
    return original(...args)
  })
}

/** A pager whose budget has room for a payload and a copy, and that payload, which is on disk. */
function written(t: ExecutionContext): { pager: Pager; handle: Handle<Uint8Array> } {
  const pager = newPager(t, { residentBytes: 2 * PAYLOAD_BYTES })
  const handle = pager.pageout(BYTES.slice())
  // It leaves for another one.
  const other = pager.pageout(pattern(2 * PAYLOAD_BYTES, 2))
  pager.borrow(other, () => {})
  other.release()
  const { residentMisses } = pager.stats()
  sameBytes(t, pager.read(handle), BYTES)
  t.is(pager.stats().residentMisses, residentMisses + 1, 'it is on disk')
  return { pager, handle }
}

/** A payload that is in memory alone: there is no need to write it. */
function unwritten(t: ExecutionContext): { pager: Pager; handle: Handle<Uint8Array> } {
  const pager = newPager(t, { residentBytes: 8 * PAYLOAD_BYTES })
  return { pager, handle: pager.pageout(BYTES.slice()) }
}

/** Moves the memory of a borrow elsewhere. */
function steal({ value }: Borrow<Uint8Array>): Uint8Array {
  const stolen = structuredClone(value, { transfer: [value.buffer as ArrayBuffer] })
  // Whoever still looked at it would see this.
  stolen.fill(0xee)
  return stolen
}

/** Steals what it borrows. */
function rob(pager: Pager, handle: Handle<Uint8Array>): void {
  const borrowed = pager.borrow(handle) as Borrow<Uint8Array>
  steal(borrowed)
  borrowed.release()
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    error => (error as NodeJS.ErrnoException).code,
  )

async function insistTold(t: ExecutionContext, count: number, { warnings, arrived }: ReturnType<typeof watchWarnings>) {
  t.true(await arrived(count))
  t.deepEqual(
    warnings.map(({ code }: Warning) => code),
    Array(count).fill('PAGEOUT_BORROW_TRANSFERRED'),
  )
}

const workers: Record<string, string> = {
  'while it has borrowed all of a budget': 'borrowing.mjs',
  'when bytes came for a borrow, and has not heard of it,': 'unheard.mjs',
}

for (const [what, program] of Object.entries(workers)) {
  for (const [how, code] of [
    ['terminate', 1],
    ['throw', 1],
    ['exit', 7],
    ['return', 0],
  ] as const) {
    test.serial(`a thread that ends by ${how} ${what} leaves all of it`, async t => {
      const budget = new MemoryBudget(ALL_BYTES)
      const workerData = { token: budget.token, scratchDir: newDirectory(t), how }
      const worker = new Worker(new URL(`helpers/workers/${program}`, import.meta.url), { workerData, execArgv: [] })
      worker.on('error', error => t.is((error as Error).message, 'not caught'))
      let ended: number | undefined
      worker.on('exit', code => {
        ended = code
      })
      worker.once('message', () => {
        if (how === 'terminate') void worker.terminate()
      })
      t.true(await isReached(() => ended !== undefined), 'it has ended')
      t.is(ended, code)
      t.is(budget.residentBytes, 0)
      const pager = newPager(t, { residentBytes: budget })
      const handle = pager.pageout(pattern(ALL_BYTES))
      t.is(budget.residentBytes, ALL_BYTES)
      pager.borrow(handle, value => sameBytes(t, value, pattern(ALL_BYTES)))
    })
  }
}

const PROGRAM = fileURLToPath(new URL('helpers/children/ends-borrowing.mjs', import.meta.url))

for (const [how, expected] of [
  ['return', 0],
  ['throw', 1],
  ['exit', 7],
  ['SIGTERM', 'SIGTERM'],
] as const) {
  test.serial(`a process that ends by ${how} while it has borrowed all of a budget ends as it says`, async t => {
    const scratchDir = newDirectory(t)
    const { end, complaints } = await endOf(process.execPath, [PROGRAM, scratchDir, how, String(ALL_BYTES)], {
      timeout: 60_000,
    })
    t.is(end, expected)
    if (how === 'throw') t.regex(complaints, /^Error: not caught$/m)
    else t.is(complaints, '')
    t.deepEqual(readdirSync(scratchDir), [])
  })
}

test.serial('what was transferred away is not read, taken, borrowed or written as the payload', async t => {
  const told = watchWarnings(t)
  const calls: Record<string, (pager: Pager, handle: Handle<Uint8Array>) => unknown> = {
    read: (pager, handle) => pager.read(handle),
    readAt: (pager, handle) => pager.readAt(handle, 0, PAYLOAD_BYTES),
    readAtMany: (pager, handle) => pager.readAtMany(handle, [[0, PAYLOAD_BYTES]]),
    borrow: (pager, handle) => pager.borrow(handle, value => value.slice()),
    'promised read': (_, handle) => promises.read(handle),
    'promised readAt': (_, handle) => promises.readAt(handle, 0, PAYLOAD_BYTES),
    'promised readAtMany': (_, handle) => promises.readAtMany(handle, [[0, PAYLOAD_BYTES]]),
    'promised borrow': (_, handle) => promises.borrow(handle, value => value.slice()),
    'promised borrow that waits': (_, handle) => promises.borrow(handle, value => value.slice(), { wait: true }),
  }
  let count = 0
  for (const [what, call] of Object.entries(calls)) {
    for (const isWritten of [true, false]) {
      const { pager, handle } = isWritten ? written(t) : unwritten(t)
      const borrowed = pager.borrow(handle) as Borrow<Uint8Array>
      const stolen = steal(borrowed)
      count += 1
      const outcome = (await Promise.resolve([pager, handle] as const)
        .then(args => call(...args))
        .catch(error => error)) as Uint8Array | NodeJS.ErrnoException
      if (isWritten) sameBytes(t, outcome as Uint8Array, BYTES, what)
      else t.is((outcome as NodeJS.ErrnoException).code, 'ERR_PAGEOUT_RELEASED', what)
      borrowed.release()
      t.is(handle.released, !isWritten, what)
      t.is(pager.stats().borrowedBytes, 0, what)
      if (isWritten) sameBytes(t, pager.take(handle), BYTES, what)
      t.true(
        stolen.every(byte => byte === 0xee),
        'it stays theirs',
      )
    }
  }
  await insistTold(t, count, told)
})

test.serial(
  'a read that waits while the only memory of its payload is transferred away says that it is released',
  async t => {
    const told = watchWarnings(t)
    for (const [name, count] of [
      ['readAsync', 1],
      ['readBatchAsync', 5],
    ] as const) {
      const { pager, handle } = unwritten(t)
      let isRobbed = false
      around(t, name, {
        before: () => {
          if (!isRobbed) rob(pager, handle)
          isRobbed = true
        },
      })
      const codes = await Promise.all(Array.from({ length: count }, () => codeOf(promises.readAt(handle, 0, 10))))
      t.deepEqual(codes, Array(count).fill('ERR_PAGEOUT_RELEASED'), name)
      t.true(isRobbed && handle.released, name)
      t.is(pager.stats().residentBytes, 0, name)
    }
    await insistTold(t, 2, told)
  },
)

/** More steps of promises than there are from the arrival of bytes to the end of the borrow that waits for them. */
const STEPS = 24
/** Before the JavaScript thread has heard of it, since another thread brings them. */
const UNHEARD = -1

const isBorrowed = (handle: Handle<Uint8Array>) => /state: 'borrowed'/.test(inspect(handle))

/** What may happen between the arrival of bytes and the borrow that waits for them, and what that may fail with then. */
const meanwhile: Record<
  string,
  { act(pager: Pager, handle: Handle<Uint8Array>, t: ExecutionContext): unknown; code?: string }
> = {
  'is borrowed and released': { act: (pager, handle) => pager.borrow(handle, value => value.length) },
  'is borrowed and transferred away': { act: rob },
  'is borrowed and transferred away, and promised to another,': {
    act: async (pager, handle, t) => {
      rob(pager, handle)
      const restore = delay(t, 'bringAsync')
      sameBytes(t, (await promises.borrow(handle, value => value.slice())) as Uint8Array, BYTES)
      restore()
    },
  },
  'is borrowed and kept by the borrower': {
    act: (pager, handle) => pager.borrow(handle, value => markAsUntransferable(value.buffer as ArrayBuffer)),
  },
  'is borrowed by a promise and released': {
    act: (_, handle) => promises.borrow(handle, value => value.length).catch(() => {}),
  },
  'is released': { act: (_, handle) => handle.release(), code: 'ERR_PAGEOUT_RELEASED' },
  'is taken': { act: (pager, handle) => pager.take(handle), code: 'ERR_PAGEOUT_RELEASED' },
  'is closed with its pager': { act: pager => pager.close(), code: 'ERR_PAGEOUT_CLOSED' },
}

for (const [what, { act, code }] of Object.entries(meanwhile)) {
  for (const isGivenUp of [false, true]) {
    const who = isGivenUp ? 'a promised borrow that was given up' : 'a promised borrow'
    test.serial(`${who} whose payload ${what} when it has come into memory leaves nothing behind`, async t => {
      watchWarnings(t)
      let acts = 0
      for (let step = UNHEARD; step < STEPS; step += 1) {
        const { pager, handle } = written(t)
        const acted = onArrival(t, pager, step, async () => {
          if (isBorrowed(handle)) return
          acts += 1
          await act(pager, handle, t)
        })
        const outcome = await outcomeOf(handle, isGivenUp)
        if (typeof outcome === 'string') t.deepEqual([outcome], isGivenUp ? ['ABORT_ERR'] : [code], `step ${step}`)
        else sameBytes(t, outcome.value, BYTES, `step ${step}`)
        if (typeof outcome !== 'string') outcome.release()
        await acted
        await setImmediate()
        if (code !== 'ERR_PAGEOUT_CLOSED') insistWhole(t, pager, handle)
        pager.close()
      }
      t.true(acts > 3, `${acts} times`)
    })
  }
}

/** Does something a number of steps of promises after bytes have come into memory for the next borrow. */
async function onArrival(t: ExecutionContext, pager: Pager, step: number, act: () => Promise<void>): Promise<void> {
  const { heard } = await new Promise<{ heard: unknown }>(resolve => {
    const restore = around(t, 'bringAsync', {
      after: heard => {
        restore()
        if (step === UNHEARD) while (pager.stats().borrowedBytes === 0);
        // In an object, so that it is not waited for.
        resolve({ heard })
      },
    })
  })
  if (step !== UNHEARD) await heard
  for (let turn = 0; turn < step; turn += 1) await null
  await act()
}

/** What a promised borrow comes to: the borrow, or a code. */
async function outcomeOf(handle: Handle<Uint8Array>, isGivenUp: boolean): Promise<Borrow<Uint8Array> | string> {
  const controller = new AbortController()
  const borrowing = promises.borrow(handle, { signal: controller.signal }) as Promise<Borrow<Uint8Array>>
  if (isGivenUp) controller.abort()
  return await borrowing.catch(error => error.code)
}

/** Nobody has anything of a payload any more, and it is there unless it was ended. */
function insistWhole(t: ExecutionContext, pager: Pager, handle: Handle<Uint8Array>): void {
  if (!handle.released) sameBytes(t, pager.take(handle), BYTES)
  const { borrowedBytes, residentBytes, handles } = pager.stats()
  t.deepEqual([borrowedBytes, residentBytes, handles], [0, 0, 0])
}

/** A payload of 700 KiB in chunks, and ways to have it. */
const CHUNKED_BYTES = 700 * KIB
const uses: Record<string, (pager: Pager, handle: Handle<Uint8Array>) => unknown> = {
  borrow: (pager, handle) => pager.borrow(handle, value => value.slice()),
  'promised borrow': (_, handle) => promises.borrow(handle, value => value.slice()),
  'promised borrow that waits': (_, handle) => promises.borrow(handle, value => value.slice(), { wait: true }),
  take: (pager, handle) => pager.take(handle),
  'promised take': (_, handle) => promises.take(handle),
}

for (const [what, use] of Object.entries(uses)) {
  for (const budgetBytes of [CHUNKED_BYTES, 1024 * KIB, 2 * CHUNKED_BYTES]) {
    const where = `${what}, budget of ${budgetBytes / KIB} KiB`
    test.serial(`chunks that are more than half of a budget, or all of it, are joined: ${where}`, async t => {
      const pager = newPager(t, { residentBytes: budgetBytes })
      const whole = pattern(CHUNKED_BYTES)
      const cuts = [0, 10, 10, 300_000, CHUNKED_BYTES]
      const handle = pager.pageout(cuts.slice(1).map((end, position) => whole.slice(cuts[position], end)))
      t.is(pager.stats().residentBytes, CHUNKED_BYTES, 'it is in memory')
      const beside = pager.pageout(BYTES.slice())
      const room = budgetBytes - CHUNKED_BYTES - PAYLOAD_BYTES
      const held = room >= 0 ? [pager.borrow(beside)] : []
      sameBytes(t, (await use(pager, handle)) as Uint8Array, whole)
      t.true(pager.stats().residentBytes <= budgetBytes)
      for (const borrowed of held) borrowed.release()
      sameBytes(t, pager.take(beside), BYTES)
      if (!handle.released) sameBytes(t, pager.take(handle), whole)
      t.is(pager.stats().residentBytes, 0)
    })
  }
}

for (const how of ['prefetch', 'borrow']) {
  for (const isAdopted of [false, true]) {
    const where = `${how}, ${isAdopted ? 'adopted' : 'in transit'}`
    test.serial(`a thread ends whose payload was moved while it came into memory: ${where}`, async t => {
      const budget = new MemoryBudget(ALL_BYTES)
      const workerData = { token: budget.token, scratchDir: newDirectory(t), how }
      const worker = new Worker(new URL('helpers/workers/moving.mjs', import.meta.url), { workerData, execArgv: [] })
      const [token] = (await once(worker, 'message')) as [Parameters<typeof Handle.adopt>[0]]
      const early = isAdopted ? Handle.adopt(token) : undefined
      let isEnded = false
      void worker.terminate().then(() => {
        isEnded = true
      })
      t.true(await isReached(() => isEnded), 'it has ended')
      t.is(budget.residentBytes, 0)
      sameBytes(t, take(early ?? Handle.adopt(token)) as Uint8Array, new Uint8Array(ALL_BYTES).fill(1))
    })
  }
}

test('what is borrowed needs no prefetch', t => {
  const { pager, handle } = written(t)
  const borrowed = pager.borrow(handle)
  pager.prefetch(handle)
  pager.prefetch(handle, [[0, 10]])
  sameBytes(t, borrowed.value, BYTES)
  borrowed.release()
  sameBytes(t, pager.take(handle), BYTES)
})
