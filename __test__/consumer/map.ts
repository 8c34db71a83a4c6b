/** Maps as a user writes them, right and wrong. */

import { type Borrow, MemoryBudget, type PagerStats } from 'pageout'
import { type MapControls, type MapVerbs, PagedMap, type PagedMapOptions } from 'pageout/map'
import * as promises from 'pageout/map/promises'

/** Compiles only where two types are the same; `any` is the same as nothing but itself. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const yes = <A extends true>(..._: [A?]): void => {}

const options: PagedMapOptions<string, Float64Array> = {
  residentBytes: new MemoryBudget('auto'),
  maxBytes: 2 ** 30,
  onEvict: (key, take) => console.log(key, take().length),
  scratchDir: undefined,
}
const map = new PagedMap<string, Float64Array>(options)
map.set('price', new Float64Array(4)).set('volume', new Float64Array(4))
{
  using borrowed = map.borrow('price')
  yes<Same<typeof borrowed, Borrow<Float64Array<ArrayBuffer>> | undefined>>()
  const first = borrowed?.value[0]
  yes<Same<typeof first, number | undefined>>()
}
const last = map.borrow('price', column => column.at(-1))
yes<Same<typeof last, number | undefined>>()
const both = map.borrowAll(['price', 'volume'], (price, volume) => price.length + volume.length)
yes<Same<typeof both, number | undefined>>()
const some = map.readAt('price', 0, 2, new Float64Array(2))
yes<Same<typeof some, Float64Array<ArrayBuffer> | undefined>>()
const many = map.readAtMany('price', [[0, 1]], { target: undefined })
yes<Same<typeof many, Float64Array<ArrayBuffer> | undefined>>()
const whole = map.take('price') ?? map.read('volume')
yes<Same<typeof whole, Float64Array<ArrayBuffer> | undefined>>()
map.update('price', column => column?.fill(1))
map.update('price', () => undefined)
const names: string[] = [...map.keys()]
const stats: PagerStats = map.stats()
map.prefetch('price', 'volume')
const wasThere: boolean = map.delete('price')
const verbs: MapVerbs<string, Float64Array> = map
const controls: MapControls<string> = verbs

// @ts-expect-error another class
map.set('price', new Float32Array(4))
// @ts-expect-error another key
map.has(1)
// @ts-expect-error there is no get
map.get('price')
// @ts-expect-error no budget
new PagedMap({})
// @ts-expect-error another backend
new PagedMap({ residentBytes: 1, backend: 'swap' })
// @ts-expect-error it may not be there
map.read('price').length
// @ts-expect-error several chunks are no value
map.set('price', [new Float64Array(1)])

// Any keys and any chunks.
const any = new PagedMap<unknown>({ residentBytes: 'auto' })
any.set({}, new Uint8Array(1)).set(Number.NaN, new DataView(new ArrayBuffer(8)))
const byteLength = any.borrow(Symbol.iterator, value => value.byteLength)
yes<Same<typeof byteLength, number | undefined>>()

const texts = new promises.PagedMap<number, Buffer>({
  residentBytes: 2 ** 20,
  maxBytes: 2 ** 21,
  onEvict: async (key, take) => console.log(key + 1, (await take()).toString('utf8')),
})
const set: Promise<typeof texts> = texts.set(1, Buffer.from('text'), { signal: AbortSignal.timeout(1000) })
const text = await texts.borrow(1, async buffer => buffer.toString('utf8'), { wait: true })
yes<Same<typeof text, string | undefined>>()
const borrowed = await texts.borrow(1)
yes<Same<typeof borrowed, Borrow<Buffer<ArrayBuffer>> | undefined>>()
const copies = texts.borrowAll([1, 2], async (...values) => values.length, { wait: true })
yes<Same<typeof copies, Promise<number | undefined>>>()
await texts.update(1, async buffer => buffer?.fill(0))
const taken: Promise<Buffer<ArrayBuffer> | undefined> = texts.take(1, { target: Buffer.alloc(4), signal: undefined })
const deleted: Promise<boolean> = texts.delete(1)
await texts.clear()
{
  await using inner = texts
  // @ts-expect-error it is closed by a promise
  using _wrong = inner
}
const promiseVerbs: promises.PromiseMapVerbs<number, Buffer> = texts
const promiseOptions: promises.PromisePagedMapOptions<number> = { residentBytes: 1 }
// @ts-expect-error what comes back is a promise
const wrongResult: Buffer | undefined = texts.read(1)

export { controls, deleted, names, promiseOptions, promiseVerbs, set, stats, taken, wasThere, wrongResult }
