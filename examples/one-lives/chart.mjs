// Pieces of an SVG chart. Colours come from the style sheet of the picture.

/** @typedef {(value: number) => number} Scale */
/** @typedef {[x: number, y: number]} Point */

/**
 * @param {number} to the value at the far end
 * @param {number} start the pixel of 0
 * @param {number} end the pixel of `to`
 * @returns {Scale}
 */
export const linearScale = (to, start, end) => value => start + (value / to) * (end - start)

/**
 * Round values from 0 to `greatest`.
 * @param {number} greatest
 * @param {number} intervals about as many
 */
export function ticks(greatest, intervals) {
  const rough = greatest / intervals
  const magnitude = 10 ** Math.floor(Math.log10(rough))
  const step = magnitude * /** @type {number} */ ([1, 2, 5, 10].find(factor => factor * magnitude >= rough))
  return Array.from({ length: Math.floor(greatest / step) + 1 }, (_, index) => Number((index * step).toPrecision(6)))
}

/**
 * @param {Point} at
 * @param {string | number} content
 * @param {string} classes
 */
export function text([x, y], content, classes) {
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
 * A curve over the area beneath it.
 * @param {Point[]} points
 * @param {number} base the pixel of 0
 * @param {string} classes
 */
export function areaCurve(points, base, classes) {
  const list = coordinates(points)
  const [left, right] = [points[0][0], points[points.length - 1][0]]
  return [
    `<polygon points="${round(left)},${base} ${list} ${round(right)},${base}" class="area ${classes}"/>`,
    `<polyline points="${list}" class="curve ${classes}"/>`,
  ]
}

/**
 * @param {Point} at
 * @param {number} reach
 * @param {string} classes
 */
export function cross([x, y], reach, classes) {
  return [
    line([x - reach, y - reach], [x + reach, y + reach], classes),
    line([x - reach, y + reach], [x + reach, y - reach], classes),
  ]
}

/**
 * The points with the least and the greatest value of every two pixels: nearly what a curve of more points would show.
 * @param {Point[]} points in ascending order of x
 */
export function thinned(points) {
  const kept = /** @type {Point[]} */ ([])
  for (let from = 0; from < points.length; ) {
    let to = from
    while (to < points.length && Math.floor(points[to][0] / 2) === Math.floor(points[from][0] / 2)) to++
    const column = points.slice(from, to).sort((a, b) => a[1] - b[1])
    const ends = column.length > 1 ? [column[0], column[column.length - 1]] : column
    kept.push(...ends.sort((a, b) => a[0] - b[0]))
    from = to
  }
  return kept
}

/** @param {Point[]} points */
const coordinates = points => points.map(point => point.map(round).join()).join(' ')

/** @param {number} pixels */
function round(pixels) {
  return Number(pixels.toFixed(1))
}
