import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as arrow from 'apache-arrow'
import { pageout, stats } from 'pageout'
import { PagedTable } from './paged-table.mjs'

const ROWS = 1000
const field = (name, type) => new arrow.Field(name, type, true)
const pair = new arrow.Struct([field('x', new arrow.Int32()), field('y', new arrow.Utf8())])

/** Each type with the value of a row; every seventh is null. */
const TYPES = {
  int8: [new arrow.Int8(), row => (row % 200) - 100],
  uint32: [new arrow.Uint32(), row => row * 4_000_000],
  int64: [new arrow.Int64(), row => BigInt(row) ** 6n],
  float16: [new arrow.Float16(), row => row / 2],
  float64: [new arrow.Float64(), row => row / 3],
  bool: [new arrow.Bool(), row => row % 3 === 0],
  date: [new arrow.DateDay(), row => new Date(row * 86_400_000)],
  milliseconds: [new arrow.DateMillisecond(), row => new Date(row * 999)],
  timestamp: [new arrow.TimestampMicrosecond(), row => row * 1000],
  time: [new arrow.TimeSecond(), row => row],
  duration: [new arrow.DurationNanosecond(), row => BigInt(row)],
  interval: [new arrow.IntervalDayTime(), row => Int32Array.of(row, 2 * row)],
  decimal: [new arrow.Decimal(2, 20, 128), row => Uint32Array.of(row, 0, 0, 0)],
  fixedBinary: [new arrow.FixedSizeBinary(3), row => Uint8Array.of(row, 2, 3)],
  binary: [new arrow.Binary(), row => new Uint8Array(row % 5).fill(row)],
  largeBinary: [new arrow.LargeBinary(), row => new Uint8Array(row % 5).fill(row)],
  utf8: [new arrow.Utf8(), row => 'äbc'.repeat(row % 4)],
  largeUtf8: [new arrow.LargeUtf8(), row => `${row}`],
  dictionary: [new arrow.Dictionary(new arrow.Utf8(), new arrow.Int16()), row => `${row % 10}`],
  nothing: [new arrow.Null(), () => null],
  list: [new arrow.List(field('item', new arrow.Float32())), row => Array(row % 4).fill(row)],
  lists: [
    new arrow.List(field('item', new arrow.List(field('item', new arrow.Utf8())))),
    row => Array(row % 3).fill(Array(row % 4).fill(`${row}`)),
  ],
  fixedList: [new arrow.FixedSizeList(2, field('item', new arrow.Int16())), row => [row, row % 7 === 1 ? null : 1]],
  struct: [pair, row => ({ x: row, y: row % 5 === 1 ? null : `${row}` })],
  structs: [new arrow.List(field('item', pair)), row => Array(row % 3).fill({ x: row, y: 'y' })],
  map: [
    new arrow.Map_(
      new arrow.Field('entries', new arrow.Struct([field('key', new arrow.Utf8()), field('value', new arrow.Int32())])),
    ),
    row => new Map([[`${row}`, row]]),
  ],
}

const vectorOf = ([type, valueAt], begin, end) =>
  arrow.vectorFromArray(
    Array.from({ length: end - begin }, (_, row) => ((begin + row) % 7 === 0 ? null : valueAt(begin + row))),
    type,
  )
const tableOf = (begin, end) =>
  new arrow.Table(Object.fromEntries(Object.entries(TYPES).map(([name, of]) => [name, vectorOf(of, begin, end)])))

/** Vectors, rows and maps as plain values, which can be compared. */
const plain = value => {
  if (value instanceof arrow.Vector) return Array.from(value, plain)
  if (value instanceof arrow.StructRow || value instanceof arrow.MapRow) {
    return Object.fromEntries([...value].map(([key, each]) => [key, plain(each)]))
  }
  return ArrayBuffer.isView(value) ? [...value] : value
}

const batches = new arrow.Table(
  [tableOf(0, 300), tableOf(300, 301), tableOf(301, ROWS)].flatMap(table => table.batches),
)
const tables = {
  'made by builders': tableOf(0, ROWS),
  'of several batches': batches,
  'from a stream': arrow.tableFromIPC(arrow.tableToIPC(batches, 'stream')),
  'cut out of another': arrow.tableFromIPC(arrow.tableToIPC(tableOf(0, ROWS), 'file')).slice(13, 990),
  'without nulls': new arrow.Table({
    utf8: arrow.vectorFromArray(['a', 'b', '']),
    int8: arrow.makeVector(new Int8Array(3)),
  }),
  'without rows': arrow.tableFromIPC(arrow.tableToIPC(tableOf(0, 0))),
}

for (const [name, table] of Object.entries(tables)) {
  test(`whole columns and rows of them, of a table ${name}`, () => {
    const paged = new PagedTable(table)
    for (const { name, type } of table.schema.fields) {
      const expected = plain(table.getChild(name))
      const column = paged.column(name)
      assert.equal(column.length, table.numRows)
      assert.equal(`${column.type}`, `${type}`)
      assert.equal(column.nullCount, expected.filter(value => value === null).length, name)
      assert.deepEqual(plain(column), expected, name)
      const ranges = [0, 1, 7, 8, 9, 299, 300, 301, 302, 600, ROWS].flatMap(begin => [
        [begin, begin],
        [begin, begin + 1],
        [begin, begin + 77],
        [begin, ROWS],
      ])
      for (const range of ranges) {
        assert.deepEqual(plain(paged.column(name, ...range)), expected.slice(...range), `${name} ${range}`)
      }
    }
    paged.release()
    assert.equal(stats().handles, 0)
  })
}

test('rows of a column are read at the price of these rows', () => {
  const paged = new PagedTable(new arrow.Table({ numbers: arrow.makeVector(new Float64Array(1_000_000).fill(2)) }))
  const before = stats().readBytes
  assert.deepEqual(paged.column('numbers', 500_000, 500_010).toArray(), new Float64Array(10).fill(2))
  assert.equal(stats().readBytes - before, 80)
  paged.release()
})

test('the table is whole, and what is given back is written as any other', () => {
  const table = tables['from a stream']
  const paged = new PagedTable(table)
  const names = table.schema.fields.map(({ name }) => name)
  const back = new arrow.Table(Object.fromEntries(names.map(name => [name, paged.column(name, 10, 500)])))
  const written = arrow.tableFromIPC(arrow.tableToIPC(back))
  for (const name of names) {
    assert.deepEqual(plain(written.getChild(name)), plain(table.slice(10, 500).getChild(name)), name)
  }
  paged.release()
})

test('nothing keeps the memory of the table', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  const load = () => {
    const bytes = arrow.tableToIPC(batches)
    return [new PagedTable(arrow.tableFromIPC(bytes)), new WeakRef(bytes.buffer)]
  }
  const [paged, memory] = load()
  for (let tries = 0; memory.deref() !== undefined; tries++) {
    assert.ok(tries < 100, 'it is still there')
    await new Promise(resolve => setTimeout(resolve, 1))
    collect()
  }
  assert.deepEqual(plain(paged.column('dictionary')), plain(batches.getChild('dictionary')))
  paged.release()
})

test('a column that is refused leaves nothing behind', () => {
  const views = arrow.vectorFromArray(['a'], new arrow.Utf8View())
  assert.throws(() => new PagedTable(new arrow.Table({ int8: arrow.vectorFromArray([1]), views })), /Utf8View/)
  assert.equal(stats().handles, 0)
  const held = pageout(new Uint8Array(1))
  assert.equal(stats().handles, 1, 'so it would have been noticed')
  held.release()
})
