// Ways to read a column through a small buffer.

/** @typedef {import('./budget.mjs').Values} Values */
/** @typedef {import('./table.mjs').Column} Column */

/**
 * @param {Column} column
 * @param {number} row
 * @param {Values} buffer
 */
export function readOne(column, row, buffer) {
  column.read(row, buffer)
  return buffer[0]
}

/**
 * Rows `start` to `end` through one buffer; the window after the current one is announced before it is worked on.
 * @param {Column} column
 * @param {number} start
 * @param {number} end
 * @param {Values} buffer
 */
export function* scan(column, start, end, buffer) {
  for (let row = start; row < end; row += buffer.length) {
    const values = buffer.subarray(0, Math.min(buffer.length, end - row))
    column.read(row, values)
    const next = row + values.length
    if (next < end) column.prefetch([[next, Math.min(buffer.length, end - next)]])
    yield values
  }
}

/**
 * Binary search in the date column, which is in ascending order.
 * @param {Column} date
 * @param {number} timeMs
 * @param {Values} buffer
 */
export function firstRowFrom(date, timeMs, buffer) {
  let low = 0
  let high = date.length
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (readOne(date, middle, buffer) < timeMs) low = middle + 1
    else high = middle
  }
  return low
}

/** @param {Values} values */
export function sum(values) {
  let total = 0
  for (let index = 0; index < values.length; index++) total += values[index]
  return total
}
