// Pieces of an SVG chart: scales, axes, curves. Colours come from the style sheet of the picture.

/** @typedef {(value: number) => number} Scale */
/** @typedef {[x: number, y: number]} Point */
/** @typedef {{ left: number, right: number, top: number, bottom: number }} Box */

/**
 * @param {number} to the value at the far end
 * @param {number} start the pixel of 0
 * @param {number} end the pixel of `to`
 * @returns {Scale}
 */
export const linearScale = (to, start, end) => value => start + (value / to) * (end - start)

/**
 * Round values from 0 to just above `greatest`.
 * @param {number} greatest
 * @param {number} intervals about as many
 */
export function ticks(greatest, intervals) {
  const rough = greatest / intervals
  const magnitude = 10 ** Math.floor(Math.log10(rough))
  const step = magnitude * /** @type {number} */ ([1, 2, 5, 10].find(factor => factor * magnitude >= rough))
  return Array.from({ length: Math.ceil(greatest / step) + 1 }, (_, index) => Number((index * step).toPrecision(6)))
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string | number} content
 * @param {string} classes
 */
export function text(x, y, content, classes) {
  const escaped = String(content).replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${round(x)}" y="${round(y)}" class="${classes}">${escaped}</text>`
}

/**
 * @param {Point} from
 * @param {Point} to
 * @param {string} classes
 */
export function line([x1, y1], [x2, y2], classes) {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" class="${classes}"/>`
}

/**
 * @param {Point[]} points
 * @param {string} classes
 */
export function curve(points, classes) {
  return `<polyline points="${points.map(point => point.map(round).join()).join(' ')}" class="curve ${classes}"/>`
}

/**
 * The corners of a curve that keeps each value until the next one.
 * @param {Point[]} points
 * @returns {Point[]}
 */
export function steps(points) {
  return points.flatMap(
    ([x, y], index) =>
      /** @type {Point[]} */ ([
        [x, points[Math.max(index - 1, 0)][1]],
        [x, y],
      ]),
  )
}

/**
 * Horizontal grid lines with their values, and the title of the panel above them.
 * @param {Box} box
 * @param {Scale} y
 * @param {number[]} values
 * @param {string} title
 */
export function valueAxis(box, y, values, title) {
  return [
    text(box.left, box.top - 12, title, 'panel-title'),
    ...values.flatMap(value => [
      line([box.left, y(value)], [box.right, y(value)], value === 0 ? 'axis' : 'grid'),
      text(box.left - 8, y(value) + 4, value, 'tick end'),
    ]),
  ]
}

/**
 * @param {Box} box
 * @param {Scale} x
 * @param {number[]} values
 * @param {string} title
 */
export function timeAxis(box, x, values, title) {
  return [
    ...values.flatMap(value => [
      line([x(value), box.bottom], [x(value), box.bottom + 5], 'axis'),
      text(x(value), box.bottom + 20, value, 'tick middle'),
    ]),
    text((box.left + box.right) / 2, box.bottom + 42, title, 'label middle'),
  ]
}

/** @param {number} pixels */
function round(pixels) {
  return Number(pixels.toFixed(1))
}
