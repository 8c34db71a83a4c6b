import assert from 'node:assert/strict'
import { createReadStream, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { cachedAsyncBuffer, parquetMetadataAsync, parquetQuery, parquetRead, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { pageout, pageoutFrom, stats } from 'pageout/promises'
import { pagedFile } from './paged-file.mjs'

const path = fileURLToPath(new URL('../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url))
const { buffer: inMemory } = new Uint8Array(readFileSync(path))
let handle
let file
before(async () => {
  handle = await pageoutFrom(createReadStream(path))
  file = pagedFile(handle)
})
after(() => handle.release())

/** Rows as they are read from memory and through the handle. */
const both = (read, options) => Promise.all([inMemory, file].map(file => read({ file, compressors, ...options })))

test('the metadata and rows from everywhere are those that are read from memory', async () => {
  const metadata = await parquetMetadataAsync(file)
  assert.deepEqual(metadata, await parquetMetadataAsync(inMemory))
  const rowCount = Number(metadata.num_rows)
  assert.equal(rowCount, 3_000_000)
  const ranges = [0, 1_234_567, rowCount - 1000].map(rowStart => ({ rowStart, rowEnd: rowStart + 1000 }))
  await Promise.all(
    ranges.map(async range => {
      const [expected, rows] = await both(parquetReadObjects, range)
      assert.equal(rows.length, 1000)
      assert.deepEqual(rows, expected)
    }),
  )
})

test('a whole column', async () => {
  const columns = await both(async options => {
    const column = new Int16Array(3_000_000)
    const onChunk = ({ columnData, rowStart }) => column.set(Array.from(columnData, Number), rowStart)
    await parquetRead({ ...options, columns: ['delay'], onChunk })
    return column
  })
  assert.deepEqual(...columns)
  assert.ok(columns[1].some(delay => delay > 1000))
})

test('a query, also with the cache of hyparquet above', async () => {
  const query = { filter: { delay: { $gt: 300 } }, columns: ['delay', 'origin'], rowEnd: 10 }
  const [expected, rows] = await both(parquetQuery, query)
  assert.equal(rows.length, 10)
  assert.deepEqual(rows, expected)
  assert.deepEqual(await parquetQuery({ file: cachedAsyncBuffer(file), compressors, ...query }), expected)
})

test('slice is as that of an ArrayBuffer', async () => {
  const bytes = Uint8Array.from({ length: 10_000 }, (_, index) => index)
  const small = await pageout(bytes.slice())
  const { byteLength, slice } = pagedFile(small)
  assert.equal(byteLength, 10_000)
  const positions = [undefined, 0, 1, 4096, 9999, 10_000, 10_001, -1, -4096, -10_000, -20_000]
  for (const start of positions.slice(1)) {
    for (const end of positions) {
      const part = await slice(start, end)
      assert.ok(part instanceof ArrayBuffer)
      assert.deepEqual(part, bytes.buffer.slice(start, end), `${start} to ${end}`)
    }
  }
  small.release()
  await assert.rejects(slice(0), { code: 'ERR_PAGEOUT_RELEASED' })
})

test('a signal ends the read', async () => {
  const reason = new Error('nobody waits any more')
  const { slice } = pagedFile(handle, { signal: AbortSignal.abort(reason) })
  await assert.rejects(slice(0, 10), { name: 'AbortError', cause: reason })
  assert.equal(stats().handles, 1)
})
