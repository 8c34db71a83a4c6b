/** Closing pagers: what is gone when it is over, that other work goes on meanwhile, and that nothing of it fails. */

import { rmSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import test from 'ava'
import { type Backend, type Handle, Pager, pageout, take } from 'pageout'
import * as promises from 'pageout/promises'
import { backends, KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { hasProc, newDirectory, openDescriptors } from './helpers/places.js'

type Native = Record<string, (...args: never[]) => unknown>
const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: Native }

const serialWithProc = hasProc ? test.serial : test.serial.skip
const PAGERS = 30

serialWithProc('when close returns the descriptors of the pager are closed', async t => {
  const scratchDir = newDirectory(t)
  // The files that tell memory limits are open once for the process, and the pool of threads has some.
  new Pager({ scratchDir }).close()
  await new promises.Pager({ scratchDir }).close()
  take(pageout(pattern(10)))
  const before = openDescriptors()
  const held: unknown[] = []
  for (let round = 0; round < PAGERS; round += 1) {
    const pager = new Pager({ scratchDir })
    held.push(pager, ...[100, 70 * KIB, 3 * MIB].map(length => pager.pageout(pattern(length))))
    t.true(openDescriptors() > before, 'it has some')
    pager.close()
    t.true(openDescriptors() <= before, `pager ${round}`)
    const later = new promises.Pager({ scratchDir })
    held.push(later, ...(await Promise.all([100, 70 * KIB, 3 * MIB].map(length => later.pageout(pattern(length))))))
    await later.close()
    t.true(openDescriptors() <= before, `pager ${round} of promises`)
  }
  t.is(held.length, PAGERS * 8)
})

serialWithProc('pagers that were used and closed leave no memory behind, while their handles are held', async t => {
  const scratchDir = newDirectory(t)
  const held: Handle[] = []
  const use = async (rounds: number) => {
    for (let round = 0; round < rounds; round += 1) {
      for (const backend of backends) {
        const pager = new Pager({ scratchDir, backend, spareBytes: 0 })
        held.push(
          pager.pageout(new Uint8Array(16 * MIB).fill(1)),
          pager.pageout([new Uint8Array(MIB).fill(1), new Uint8Array(MIB)]),
        )
        pager.close()
        const later = new promises.Pager({ scratchDir, backend, spareBytes: 0 })
        held.push(await later.pageout(new Uint8Array(16 * MIB).fill(1)))
        await later.close()
      }
    }
  }
  await use(2)
  const before = process.memoryUsage.rss()
  await use(PAGERS)
  const grown = process.memoryUsage.rss() - before
  t.log(`${Math.round(grown / MIB)} MiB more after ${(PAGERS * 4 * 16) / KIB} GiB`)
  t.true(grown < 64 * MIB, String(grown / MIB))
  t.true(held.every(({ released }) => released))
})

/** Pages much out in small payloads. */
async function fill(pager: promises.Pager, backend: Backend): Promise<Handle[]> {
  const handles: Handle[] = []
  for (let made = 0; made < 1.25 * 2 ** 14; made += 1) {
    handles.push(pager.pageoutWith(backend, new Uint8Array(64 * KIB).fill(1)) as never)
    if (made % 256 === 255) handles.splice(-256, 256, ...(await Promise.all(handles.slice(-256))))
  }
  return handles
}

for (const backend of backends) {
  test.serial(`the event loop turns while 1.25 GiB of small payloads are closed (${backend})`, async t => {
    const pager = new promises.Pager({ scratchDir: newDirectory(t) })
    const handles = await fill(pager, backend)
    let isClosed = false
    let turns = 0
    const closing = pager.close().then(() => {
      isClosed = true
    })
    t.true(
      handles.every(({ released }) => released),
      'from the call on',
    )
    while (!isClosed) {
      await setImmediate()
      turns += 1
    }
    await closing
    t.log(`${turns} turns`)
    t.true(turns >= 20, `${turns} turns`)
  })

  test.serial(`other work of the package goes on while much is closed (${backend})`, async t => {
    const pager = new promises.Pager({ scratchDir: newDirectory(t) })
    const handles = await fill(pager, backend)
    const closing = pager.close()
    for (let round = 0; round < 10; round += 1) {
      sameBytes(t, await promises.take(await promises.pageoutWith(backend, pattern(200 * KIB))), pattern(200 * KIB))
      sameBytes(t, take(pageout(pattern(KIB))), pattern(KIB))
    }
    await closing
    t.true(handles.length > 0)
  })
}

test.serial('closing does not fail, whatever does meanwhile, and nothing is left unhandled', async t => {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  const { trim } = native
  native.trim = () => {
    throw new Error('the device takes nothing back')
  }
  t.teardown(() => {
    native.trim = trim as Native[string]
  })
  for (const backend of backends) {
    for (const turns of [0, 3]) {
      const scratchDir = newDirectory(t)
      const [pager, later] = [new Pager({ scratchDir }), new promises.Pager({ scratchDir })]
      const handle = pager.pageoutWith(backend, pattern(MIB))
      const handles = await Promise.all([
        later.pageoutWith(backend, pattern(MIB)),
        later.pageoutWith(backend, pattern(10)),
      ])
      const pending = handles.map(handle => later.read(handle))
      const failing = later.readAt(handles[0] as Handle<Uint8Array>, 0, 10, { target: new Uint8Array(1) })
      const own = promises.read(handle)
      const settled = Promise.allSettled([...pending, failing, own])
      rmSync(scratchDir, { recursive: true })
      for (let turn = 0; turn < turns; turn += 1) await setImmediate()
      t.notThrows(() => pager.close())
      // Nobody waits for these.
      void later.close()
      void later[Symbol.asyncDispose]()
      const outcomes = await settled
      t.deepEqual(
        outcomes.slice(0, 3).map(({ status }) => status),
        ['fulfilled', 'fulfilled', 'rejected'],
      )
      t.is(await later.close(), undefined)
      await Promise.all([later.close(), later.close()])
    }
  }
  for (let turn = 0; turn < 100; turn += 1) await setImmediate()
  t.deepEqual(unhandled, [])
})

test('await using waits until all is closed, also where its block throws', async t => {
  const scratchDir = newDirectory(t)
  const problem = new Error('of the block')
  const handles: Handle[] = []
  const work = async () => {
    await using pager = new promises.Pager({ scratchDir })
    handles.push(await pager.pageout(pattern(MIB)))
    throw problem
  }
  t.is(await t.throwsAsync(work()), problem)
  t.true(handles[0]?.released)
})
