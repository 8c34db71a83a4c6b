/** What must not get out: stale memory in results, payload in errors and messages. And what must be known: every code. */

import { tracingChannel } from 'node:diagnostics_channel'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import * as promises from 'pageout/promises'
import { bytesOf, KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { hasProc, newDirectory, newPager } from './helpers/places.js'
import { spoil } from './helpers/scratch.js'

/** What must stay in its payload. It stands in no other text. */
const MARKER = Buffer.from('SECRETbY')

/** Memory full of the marker, all of a buffer of its own. */
function marked(byteLength: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(byteLength).map((_, position) => MARKER[position % MARKER.length] ?? 0)
}

/** Whether memory, behind the ends of its views too, holds a part of the marker. */
function holdsMarker(chunk: Uint8Array): boolean {
  const memory = Buffer.from(chunk.buffer)
  return [0, 4].some(start => memory.includes(MARKER.subarray(start, start + 4)))
}

/** All that `util.inspect` and JSON can show of a value. */
function textsOf(value: unknown): string[] {
  const all = { depth: Infinity, maxArrayLength: Infinity, maxStringLength: Infinity, breakLength: Infinity } as const
  const json = JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? `${member}` : member))
  return [inspect(value, all), inspect(value, { ...all, getters: true }), String(value), json ?? '']
}

/** Whether a text shows some of the marker: as text, as a list of numbers, in hexadecimal. */
function showsMarker(text: string): boolean {
  const dense = text.replaceAll(/["\s,]/g, '')
  const forms = [MARKER.subarray(0, 4), MARKER.subarray(4)].flatMap(half => [
    half.toString(),
    half.toString('hex'),
    [...half].join(''),
    [...half].map((byte, position) => `${position}:${byte}`).join(''),
  ])
  return forms.some(form => dense.includes(form))
}

function hidesMarker(t: ExecutionContext, value: unknown, where: string): void {
  for (const text of textsOf(value)) t.false(showsMarker(text), `${where}: ${text.slice(0, 500)}`)
}

test('a marker that is shown is found in every form', t => {
  for (const shown of [marked(16), Buffer.from(marked(16)), [...marked(16)], { text: MARKER.toString() }]) {
    t.true(textsOf(shown).some(showsMarker))
  }
  t.true(textsOf(Buffer.from(marked(16))).every(showsMarker))
  t.true(holdsMarker(marked(9).subarray(9)) && !holdsMarker(new Uint8Array(9)))
})

/** Lengths of results: some ride together, some are long enough for huge pages, most end within a page. */
const LENGTHS = [4 * KIB, 5000, 64 * KIB, 64 * KIB + 1, 300_001, 4 * MIB + 3]

test('recycled memory becomes results that hold nothing of what was there before', async t => {
  const pager = newPager(t)
  const promised = new promises.Pager({ scratchDir: newDirectory(t) })
  for (const byteLength of LENGTHS) {
    const bytes = pattern(byteLength)
    for (const { verbs, hits } of [
      { verbs: pager, hits: () => pager.stats().spareHits },
      { verbs: promised, hits: () => promised.stats().spareHits },
    ]) {
      const handle = await verbs.pageout(bytes.slice())
      // Only memory that pageout allocated, as that of results, is kept.
      const own = async () => await verbs.take(await verbs.pageout(marked(byteLength), { detach: 'never' }))
      const marks = await Promise.all(Array.from({ length: 6 }, own))
      const others = await Promise.all(marks.map(mark => verbs.pageout(mark)))
      const before = hits()
      const results = await Promise.all([
        verbs.readAt(handle, 0, byteLength),
        verbs.readAtMany(handle, [
          [byteLength >> 1, byteLength - (byteLength >> 1)],
          [0, byteLength >> 1],
        ]),
        verbs.readAt(handle, 1, 100),
        verbs.readAt(handle, 0, 0),
      ])
      results.push(await verbs.take(handle))
      t.true(hits() > before, 'some results are in memory that held the marker')
      for (const result of results) {
        t.false(holdsMarker(result), `${byteLength}`)
        t.is(result.buffer.byteLength, result.byteLength, 'nothing else is in reach')
      }
      sameBytes(t, results[0] as Uint8Array, bytes)
      sameBytes(t, results.at(-1) as Uint8Array, bytes)
      for (const other of others) other[Symbol.dispose]()
    }
  }
  await promised.close()
})

;(hasProc ? test : test.skip)('a read that fails hands no memory out and shows none', async t => {
  for (const byteLength of [20 * KIB, 300_000]) {
    const scratchDir = newDirectory(t)
    const pager = newPager(t, { scratchDir })
    const promised = new promises.Pager({ scratchDir })
    const bytes = pattern(byteLength)
    const handle = pager.pageout(bytes.slice())
    spoil(scratchDir, bytes, 'overwritten')
    const promisedHandle = await promised.pageout(pattern(byteLength, 7))
    spoil(scratchDir, pattern(byteLength, 7), 'overwritten')
    for (let count = 0; count < 6; count += 1) {
      pager.pageout(marked(byteLength))[Symbol.dispose]()
      const other = await promised.pageout(marked(byteLength))
      other[Symbol.dispose]()
    }
    const target = new Uint8Array(byteLength).fill(7)
    const errors = [
      t.throws(() => pager.readAt(handle, 0, byteLength), { code: 'ERR_PAGEOUT_CORRUPT' }),
      t.throws(() => pager.take(handle), { code: 'ERR_PAGEOUT_CORRUPT' }),
      await t.throwsAsync(promised.readAt(promisedHandle, 0, byteLength), { code: 'ERR_PAGEOUT_CORRUPT' }),
      await t.throwsAsync(promised.readAt(promisedHandle, 0, byteLength, target), { code: 'ERR_PAGEOUT_CORRUPT' }),
      await t.throwsAsync(promised.take(promisedHandle, target), { code: 'ERR_PAGEOUT_CORRUPT' }),
      pager.tryTake(handle),
      await promised.tryTake(promisedHandle),
    ]
    t.deepEqual(target, new Uint8Array(byteLength).fill(7), 'a target is filled when the read is whole')
    for (const error of errors) hidesMarker(t, error, 'error of a read')
    await promised.close()
  }
})

const VERBS = ['pageout', 'read', 'take'] as const
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const

/** The texts of all messages on the tracing channels, until the test ends. */
function overhear(t: ExecutionContext): string[] {
  const texts: string[] = []
  for (const verb of VERBS) {
    const channel = tracingChannel(`pageout:${verb}`)
    for (const event of EVENTS) {
      const listen = (context: unknown) => texts.push(...textsOf(context))
      channel[event].subscribe(listen)
      t.teardown(() => channel[event].unsubscribe(listen))
    }
  }
  return texts
}

test.serial('no message, error or text of an object shows payload', async t => {
  const texts = overhear(t)
  const options = { capacityBytes: 64 * KIB }
  const pager = newPager(t, options)
  const promised = new promises.Pager({ scratchDir: newDirectory(t), ...options })
  const shown: unknown[] = [pager, promised]
  const note = async (call: () => unknown) => {
    try {
      // Results are the payload; what is written about them is not.
      await call()
    } catch (error) {
      shown.push(error)
      // What comes back with an error is for whoever made the call: no text shows it.
      const { chunks } = error as { chunks?: readonly Uint8Array[] }
      if (chunks) t.true(chunks.every(chunk => bytesOf(chunk).length > 0))
    }
  }
  for (const verbs of [pager, promised]) {
    for (const backend of ['file', 'swap'] as const) {
      const handle = await verbs.pageoutWith(backend, [marked(10_000), marked(8)])
      shown.push(handle, verbs.stats())
      await note(() => verbs.readAt(handle, 1, 9))
      await note(() => verbs.readAt(handle, 10_000, 9))
      await note(() => verbs.readAt(handle, 0, 9, marked(8)))
      await note(() => verbs.readAt(handle, 0, 8, Buffer.from(marked(8)) as never))
      await note(() => verbs.readAt(handle, MARKER as never, marked(8) as never))
      await note(() =>
        verbs.readAtMany(handle, [
          [0, 9],
          [8, 1],
        ]),
      )
      await note(() => verbs.pageout(marked(70_000), { backend: 'file' }))
      await note(() => verbs.pageout([marked(8), Buffer.from(marked(8))]))
      await note(() => verbs.pageout([[...marked(8)]] as never))
      await note(() => verbs.pageout(marked(16).subarray(8), { detach: 'required' }))
      await note(() => verbs.take(handle, marked(8)))
      await note(() => verbs.take(handle))
      await note(() => verbs.take(handle))
      shown.push(handle, await verbs.tryPageoutWith('file', marked(70_000)))
    }
  }
  const signal = AbortSignal.abort('enough')
  await note(() => promised.pageout(marked(8), { signal }))
  await promised.close()
  await note(() => promised.pageout(marked(8)))
  t.true(texts.length > 100 && shown.length > 40, `${texts.length} texts, ${shown.length} objects`)
  for (const text of texts) t.false(showsMarker(text), text.slice(0, 500))
  for (const value of shown) hidesMarker(t, value, 'object')
})

const ROOT = fileURLToPath(new URL('../', import.meta.url))

/** Codes that stand in the files of a folder. */
function codesIn(folder: string, ending: string): string[] {
  const names = readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: 'utf8' })
  const sources = names
    .filter(name => name.endsWith(ending))
    .map(name => readFileSync(`${ROOT}${folder}/${name}`, 'utf8'))
  return sources.flatMap(source => source.match(/(?<=["'`])ERR_[A-Z_]*[A-Z](?=["'`])/g) ?? [])
}

test('each code that the sources name has its row in docs/api.md, and each row a code', t => {
  const rust = ['crates/pageout/src', 'crates/pageout-node/src'].flatMap(folder => codesIn(folder, '.rs'))
  // Node's own, which the loader knows and never gives.
  const ofNode = ['ERR_DLOPEN_DISABLED']
  const made = new Set([...rust, ...codesIn('src', '.ts')].filter(code => !ofNode.includes(code)))
  const [, table = ''] =
    /^\| code \| when \|\n\| --- \| --- \|\n((?:\|.*\n)+)/m.exec(readFileSync(`${ROOT}docs/api.md`, 'utf8')) ?? []
  const rows = table
    .trim()
    .split('\n')
    .map(row => row.split(' | '))
  t.true(
    rows.every(([, when = '']) => when.replace(' |', '').length > 5),
    'each row says when',
  )
  const documented = rows.flatMap(([codes = '']) => codes.match(/ERR_[A-Z_]+/g) ?? [])
  t.is(new Set(documented).size, documented.length, 'each has one row')
  t.true(made.size >= 10)
  t.deepEqual([...documented].sort(), [...made].sort())
})
