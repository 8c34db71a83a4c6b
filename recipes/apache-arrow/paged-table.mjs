import { DataType, makeData, Table, tableFromIPC, tableToIPC, Vector, vectorFromArray } from 'apache-arrow'
import { pageout, readAt } from 'pageout'

/** The columns of an Arrow table, out of memory. What it gives back are ordinary vectors: whole columns, or rows of them. */
export class PagedTable {
  #columns = new Map()
  #handles = []
  #dictionaries = new Map()

  /** @param {import('apache-arrow').Table} table is left as it is: its memory is free when nobody has it any more */
  constructor(table) {
    this.schema = table.schema
    this.numRows = table.numRows
    try {
      for (const [index, { name }] of table.schema.fields.entries()) {
        const { data } = table.getChildAt(index)
        const batches = data.filter(({ length }) => length > 0).map(batch => this.#pageOut(batch))
        this.#columns.set(name, batches)
      }
    } catch (error) {
      this.release()
      throw error
    } finally {
      this.#dictionaries.clear() // its keys are the table's
    }
  }

  /** The rows from `begin` to before `end` of a column. */
  column(name, begin = 0, end = this.numRows) {
    const parts = []
    let first = 0
    for (const batch of this.#columns.get(name)) {
      const [from, to] = [Math.max(begin - first, 0), Math.min(end - first, batch.length)]
      if (from < to) parts.push(rowsOf(batch, from, to - from))
      first += batch.length
    }
    if (parts.length > 0) return new Vector(parts)
    return vectorFromArray([], this.schema.fields.find(field => field.name === name).type)
  }

  release() {
    for (const handle of this.#handles) handle.release()
  }

  /** One batch of a column, with a handle in the place of each buffer. */
  #pageOut({ type, offset, length, stride, dictionary, children, ...buffers }) {
    if (DataType.isUnion(type) || DataType.isBinaryView(type) || DataType.isUtf8View(type)) {
      throw new TypeError(`columns of ${type} cannot be paged out`)
    }
    const out = buffer => {
      // The buffers of a table are parts of one, so they are copied to the disk and left.
      const handle = pageout(buffer, { detach: 'never' })
      this.#handles.push(handle)
      return handle
    }
    const { nullBitmap, values, valueOffsets } = buffers
    return {
      ...{ type, offset, length, stride },
      dictionary: dictionary && this.#copyOf(dictionary),
      children: children.map(child => this.#pageOut(child)),
      nullBitmap: nullBitmap?.length > 0 ? out(nullBitmap) : undefined,
      values: values && out(values),
      valueOffsets: valueOffsets && out(valueOffsets.length > 0 ? valueOffsets : new valueOffsets.constructor(1)),
    }
  }

  /** Dictionaries stay in memory, as copies, since those of the table would keep all of its memory. */
  #copyOf(dictionary) {
    if (!this.#dictionaries.has(dictionary)) {
      const bytes = tableToIPC(new Table({ dictionary }))
      this.#dictionaries.set(dictionary, tableFromIPC(bytes).getChild('dictionary'))
    }
    return this.#dictionaries.get(dictionary)
  }
}

/** Reads rows of a batch, and no byte more but in bitmaps, where Arrow itself has an offset. */
function rowsOf({ type, offset, dictionary, stride, children, nullBitmap, values, valueOffsets }, start, length) {
  const firstBit = offset + start
  const bits = bitmap => readAt(bitmap, firstBit >> 3, ((firstBit + length + 7) >> 3) - (firstBit >> 3))
  const rows = { type, length, offset: firstBit & 7, dictionary }
  if (nullBitmap) rows.nullBitmap = bits(nullBitmap)
  if (valueOffsets) {
    const offsets = readAt(valueOffsets, start, length + 1)
    const range = [Number(offsets[0]), Number(offsets[length] - offsets[0])]
    rows.valueOffsets = offsets.map(each => each - offsets[0])
    if (values) rows.data = readAt(values, ...range)
    else rows.child = rowsOf(children[0], ...range)
  } else if (DataType.isBool(type)) {
    rows.data = bits(values)
  } else if (values) {
    rows.data = readAt(values, start * stride, length * stride)
  } else if (DataType.isFixedSizeList(type)) {
    rows.child = rowsOf(children[0], start * stride, length * stride)
  } else {
    rows.children = children.map(child => rowsOf(child, start, length))
  }
  return makeData(rows)
}
