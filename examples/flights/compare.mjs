/** @typedef {import('./job.mjs').Result} Result */

/**
 * What is not the same in two results, in words; empty when all is identical.
 * @param {Result} a
 * @param {Result} b
 * @returns {string[]}
 */
export function differences(a, b) {
  return [
    ...Object.keys(a.digests)
      .filter(name => a.digests[name] !== b.digests[name])
      .map(name => `sorted column ${name}`),
    ...Object.keys(a.answers).flatMap(name => answerDifference(name, a.answers[name], b.answers[name])),
  ]
}

/** @param {Result} result */
export function countAnswers({ answers }) {
  return Object.values(answers).reduce((sum, { length }) => sum + length, 0)
}

/**
 * @param {string} name
 * @param {Float64Array} a
 * @param {Float64Array} b
 */
function answerDifference(name, a, b) {
  if (a.length !== b.length) return [`answer ${name}: ${a.length} and ${b.length} values`]
  const index = a.findIndex((value, place) => !Object.is(value, b[place]))
  return index === -1 ? [] : [`answer ${name}[${index}]: ${a[index]} and ${b[index]}`]
}
