// Draws both jobs on one time axis: resident memory, row data held, phases. One SVG file that needs nothing else.
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BUDGET_BYTES } from './budget.mjs'
import { curve, line, linearScale, steps, text, ticks, timeAxis, valueAxis } from './chart.mjs'
import { STYLE } from './style.mjs'
import { formatCount, formatSeconds, MIB } from './units.mjs'

/** @typedef {import('./chart.mjs').Box} Box */
/** @typedef {import('./chart.mjs').Point} Point */
/** @typedef {import('./chart.mjs').Scale} Scale */
/** @typedef {import('./watch.mjs').Recording} Recording */
/** @typedef {{ name: string, classes: string, recording: Recording }} Series */

const PICTURE_PATH = fileURLToPath(new URL('out/rss.svg', import.meta.url))
const WIDTH = 1000
const HEIGHT = 720
const LEFT = 72
const RIGHT = WIDTH - 28
const RSS_BOX = { left: LEFT, right: RIGHT, top: 124, bottom: 344 }
const HELD_BOX = { left: LEFT, right: RIGHT, top: 400, bottom: 540 }
const PHASE_BOX = { left: LEFT, right: RIGHT, top: 590, bottom: 650 }
const STRIP_HEIGHT = 26
/** A name is written into a phase only where it fits. */
const LETTER_WIDTH = 7

/**
 * @param {Recording} memory
 * @param {Recording} pageout
 * @returns {string} the path of the picture
 */
export function drawPicture(memory, pageout) {
  const series = [
    { name: 'in memory', classes: 'memory', recording: memory },
    { name: 'pageout', classes: 'pageout', recording: pageout },
  ]
  mkdirSync(new URL('out/', import.meta.url), { recursive: true })
  writeFileSync(PICTURE_PATH, picture(series))
  return PICTURE_PATH
}

/** @param {Series[]} series */
function picture(series) {
  const endS = Math.max(...series.map(({ recording }) => recording.endMs)) / 1000
  const x = linearScale(endS, LEFT, RIGHT)
  const rows = formatCount(series[0].recording.job.rows)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>Memory over time of a job on ${rows} flights, in memory and through pageout</title>`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" class="background"/>`,
    text(LEFT, 40, `${rows} flights: the same job in memory and through pageout`, 'title'),
    ...legend(series),
    ...markers(series, x),
    ...rssPanel(series, x),
    ...heldPanel(series, x),
    ...phasePanel(series, x),
    ...timeAxis(
      PHASE_BOX,
      x,
      ticks(endS, 8).filter(value => value <= endS),
      'time since the start of the process (s)',
    ),
    '</svg>\n',
  ].join('\n')
}

/** @param {Series[]} series */
function legend(series) {
  const entries = [...series, { name: 'budget for row data of the pageout job', classes: 'budget' }]
  return entries.flatMap(({ name, classes }, index) => {
    const left = LEFT + index * 120
    return [line([left, 70], [left + 24, 70], `curve ${classes}`), text(left + 32, 74, name, 'label')]
  })
}

/**
 * @param {Series[]} series
 * @param {Scale} x
 */
function rssPanel(series, x) {
  const curves = series.map(({ classes, recording }) => ({
    classes,
    points: recording.samples.map(({ timeMs, rssBytes }) => /** @type {Point} */ ([timeMs / 1000, rssBytes / MIB])),
  }))
  const baseMib = Math.round(series[0].recording.result.rssBeforeBytes / MIB)
  return panel(RSS_BOX, x, curves, 'Resident memory of the process, RSS (MiB)', y => [
    line([LEFT, y(baseMib)], [RIGHT, y(baseMib)], 'base'),
    text(RIGHT, y(baseMib) + 16, `Node and the modules before the first row: ${baseMib} MiB`, 'tick end'),
  ])
}

/**
 * @param {Series[]} series
 * @param {Scale} x
 */
function heldPanel(series, x) {
  const curves = series.map(({ classes, recording }) => ({
    classes,
    points: steps(heldUntilEnd(recording).map(([timeMs, bytes]) => [timeMs / 1000, bytes / MIB])),
  }))
  const budgetMib = BUDGET_BYTES / MIB
  const labelX = x(Math.max(...series.map(({ recording }) => recording.spans[0].startMs)) / 1000) + 8
  return panel(HELD_BOX, x, curves, 'Row data held in typed arrays (MiB)', y => [
    line([LEFT, y(budgetMib)], [RIGHT, y(budgetMib)], 'budget'),
    text(labelX, y(budgetMib) - 6, `budget ${budgetMib} MiB`, 'budget'),
  ])
}

/**
 * The last value is held to the end of the recording.
 * @param {Recording} recording
 * @returns {[timeMs: number, heldBytes: number][]}
 */
function heldUntilEnd({ held, endMs }) {
  return [...held, [endMs, held[held.length - 1][1]]]
}

/**
 * @param {Box} box
 * @param {Scale} x
 * @param {{ classes: string, points: Point[] }[]} curves
 * @param {string} title
 * @param {(y: Scale) => string[]} extra
 */
function panel(box, x, curves, title, extra = () => []) {
  const values = ticks(Math.max(...curves.flatMap(({ points }) => points.map(([, value]) => value))), 4)
  const y = linearScale(/** @type {number} */ (values.at(-1)), box.bottom, box.top)
  return [
    ...valueAxis(box, y, values, title),
    ...extra(y),
    ...curves.map(({ classes, points }) =>
      curve(
        points.map(([time, value]) => [x(time), y(value)]),
        classes,
      ),
    ),
    ...curves.map(({ classes, points }) => peak(points, x, y, classes)),
  ]
}

/**
 * The greatest value of a curve, written where it is first reached.
 * @param {Point[]} points
 * @param {Scale} x
 * @param {Scale} y
 * @param {string} classes
 */
function peak(points, x, y, classes) {
  const [time, value] = points.reduce((best, point) => (point[1] > best[1] ? point : best))
  const anchor = x(time) > (LEFT + RIGHT) / 2 ? 'end' : ''
  return text(x(time), y(value) - 7, `at most ${value.toFixed(1)}`, `${classes} ${anchor}`)
}

/**
 * @param {Series[]} series
 * @param {Scale} x
 */
function phasePanel(series, x) {
  return [
    text(LEFT, PHASE_BOX.top - 12, 'Phases', 'panel-title'),
    ...series.flatMap(({ classes, recording }, index) => {
      const top = PHASE_BOX.top + index * (STRIP_HEIGHT + 4)
      return recording.spans.flatMap(span => strip(span, top, x, classes))
    }),
  ]
}

/**
 * @param {import('./watch.mjs').Span} span
 * @param {number} top
 * @param {Scale} x
 * @param {string} classes
 */
function strip(span, top, x, classes) {
  const left = x(span.startMs / 1000)
  const width = x(span.endMs / 1000) - left
  const name = `${span.phase} ${formatSeconds(span.endMs - span.startMs)}`
  return [
    `<rect x="${left.toFixed(1)}" y="${top}" width="${width.toFixed(1)}" height="${STRIP_HEIGHT}" class="strip ${classes}">`,
    `<title>${name}</title></rect>`,
    ...(name.length * LETTER_WIDTH < width ? [text(left + width / 2, top + 17, name, `${classes} middle`)] : []),
  ]
}

/**
 * A dotted line through both charts where a phase starts.
 * @param {Series[]} series
 * @param {Scale} x
 */
function markers(series, x) {
  return series.flatMap(({ classes, recording }) =>
    recording.spans.flatMap(({ startMs }) => {
      const left = x(startMs / 1000)
      return [RSS_BOX, HELD_BOX].map(({ top, bottom }) => line([left, top], [left, bottom], `marker ${classes}`))
    }),
  )
}
