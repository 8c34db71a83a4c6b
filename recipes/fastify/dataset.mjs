// What the servers of this recipe serve: datasets of numbers, and the answer to a request.

/** The numbers of one dataset, which only its id decides. */
export function makeDataset(id, length) {
  const values = new Float64Array(length)
  const step = 2 * Number(id) + 1
  for (let index = 0; index < length; index++) values[index] = (index * step) & 1023
  return values
}

/** What a client asks for: some facts about a range of a dataset. */
export function summary(values, from, to) {
  const range = values.subarray(from, to)
  let sum = 0
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (const value of range) {
    sum += value
    if (value < min) min = value
    if (value > max) max = value
  }
  return { count: range.length, sum, min, max }
}
