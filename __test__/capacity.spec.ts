/** What an error of capacity says, and what a loop that drops its handles comes to. */

import test from 'ava'
import type { Handle, PageoutError } from 'pageout'
import * as promises from 'pageout/promises'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { collectUntil } from './helpers/collect.js'
import { newDirectory, newPager } from './helpers/places.js'

const CAPACITY_BYTES = 16 * MIB

test('an error of capacity says how many payloads are held, in every form', async t => {
  const options = { scratchDir: newDirectory(t), capacityBytes: CAPACITY_BYTES }
  const [pager, later] = [newPager(t, options), new promises.Pager(options)]
  const says = (error: unknown, payloads: number, form: string) => {
    const { code, message, requestedBytes, usedBytes, capacityBytes, payloads: held } = error as PageoutError
    t.deepEqual(
      { code, requestedBytes, usedBytes, capacityBytes, held },
      {
        code: 'ERR_PAGEOUT_CAPACITY',
        requestedBytes: MIB,
        usedBytes: CAPACITY_BYTES,
        capacityBytes: CAPACITY_BYTES,
        held: payloads,
      },
      form,
    )
    t.regex(message, new RegExp(`\\b${payloads} payloads?\\b`), form)
    t.false((error as PageoutError).message.includes('undefined'))
  }
  const handles = Array.from({ length: 16 }, () => pager.pageout(new Uint8Array(MIB)))
  const swapped = pager.pageoutWith('swap', new Uint8Array(10))
  const result = pager.tryPageout(new Uint8Array(MIB))
  says(!result.ok && result.error, 16, 'tryPageout, and what the swap backend holds needs no scratch space')
  says(
    t.throws(() => pager.pageout(new Uint8Array(MIB))),
    16,
    'pageout',
  )
  swapped.release()
  says(
    t.throws(() => pager.pageoutFrom([new Uint8Array(MIB)])),
    16,
    'pageoutFrom',
  )
  handles.pop()?.release()
  handles.pop()?.release()
  const two = [pager.pageout(new Uint8Array(4 * KIB)), pager.pageout(new Uint8Array(MIB))]
  t.is(t.throws<PageoutError>(() => pager.pageout(new Uint8Array(MIB)))?.payloads, 16)
  two[1]?.release()
  two[0]?.release()
  sameBytes(t, pager.take(pager.pageout(pattern(MIB))), pattern(MIB), 'and there is room again')

  const promised = await Promise.all(Array.from({ length: 16 }, () => later.pageout(new Uint8Array(MIB))))
  says(await t.throwsAsync(later.pageout(new Uint8Array(MIB))), 16, 'promised pageout')
  const small = await t.throwsAsync<PageoutError>(later.pageout(new Uint8Array(4 * KIB)))
  t.is(small?.payloads, 16, 'also of one that rode with others')
  for (const handle of promised) handle.release()
  await later.close()
})

test('handles that are dropped in a loop without await are still held, and the error says so', async t => {
  const pager = newPager(t, { capacityBytes: CAPACITY_BYTES, spareBytes: 0 })
  let made = 0
  const drop = () => {
    for (; made < 5000; made += 1) pager.pageout(new Uint8Array(MIB))
  }
  const error = t.throws(drop, { code: 'ERR_PAGEOUT_CAPACITY' }) as PageoutError | undefined
  t.is(error?.payloads, made)
  t.is(made, 16)
  t.true(await collectUntil(() => pager.stats().handles === 0))
  // What releases each handle when it is done with it needs no collector.
  for (let round = 0; round < 200; round += 1) {
    const handle: Handle = pager.pageout(new Uint8Array(MIB))
    handle.release()
  }
  t.is(pager.stats().usedBytes, 0)
})
