// Draws the memory of both processes over time, with the limit: an SVG file that needs nothing else, for light or dark
// surroundings.
import { formatGib, GIB, MIB } from '../shared/units.mjs'
import { areaCurve, cross, line, linearScale, text, thinned, ticks } from './chart.mjs'
import { deathOf } from './limits.mjs'
import { totalBytes } from './source.mjs'

/** @typedef {import('./chart.mjs').Point} Point */
/** @typedef {import('./chart.mjs').Scale} Scale */
/** @typedef {import('./limits.mjs').LimitName} LimitName */
/** @typedef {import('./main.mjs').Run} Run */
/** @typedef {import('./main.mjs').Runs} Runs */
/** @typedef {import('./main.mjs').Sizes} Sizes */
/** @typedef {{ x: Scale, y: Scale }} Scales */
/** @typedef {keyof typeof COLOURS} Theme */

const WIDTH = 880
const HEIGHT = 470
const BOX = { left: 68, right: WIDTH - 24, top: 84, bottom: HEIGHT - 66 }
/** Free room above the greatest value, as a part of it. */
const HEADROOM = 1.14
const CROSS = 8

const COLOURS = {
  light: { ground: '#ffffff', text: '#1f2328', muted: '#59636e', grid: '#d8dee4', map: '#c2410c', paged: '#0369a1' },
  dark: { ground: '#0d1117', text: '#e6edf3', muted: '#9aa4af', grid: '#2a323d', map: '#ff9b5e', paged: '#58b4ff' },
}

/**
 * @param {Runs} runs
 * @param {Sizes} sizes
 * @param {LimitName} limitName
 * @param {Theme} theme
 */
export function drawPicture({ map, pagedMap }, sizes, limitName, theme) {
  const { limitBytes, tenants } = sizes
  const greatestBytes = Math.max(
    limitBytes,
    ...[map, pagedMap].flatMap(run => run.samples.map(sample => sample.ownBytes)),
  )
  const endS = Math.max(map.endMs, pagedMap.endMs) / 1000
  const scales = {
    x: linearScale(endS * 1.02, BOX.left, BOX.right),
    y: linearScale((greatestBytes / MIB) * HEADROOM, BOX.bottom, BOX.top),
  }
  const [gib, limitMib] = [(totalBytes(tenants) / GIB).toFixed(0), limitBytes / MIB]
  const title = `One dies, one lives: ${gib} GiB of columns where ${limitMib} MiB are allowed`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>${title}. In a Map: ${endOf(map, limitName)}. In a PagedMap: ${endOf(pagedMap, limitName)}.</title>`,
    `<style>${styleOf(COLOURS[theme])}</style>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" rx="8" class="ground"/>`,
    text([24, 38], title, 'title'),
    text([24, 64], 'Memory of the process, without pages of program files (MiB)', 'muted'),
    ...axes(scales, limitMib, endS, greatestBytes / MIB),
    ...areaCurve(pointsOf(pagedMap, scales), BOX.bottom, 'paged'),
    ...areaCurve(pointsOf(map, scales), BOX.bottom, 'map'),
    ...limitLine(scales, limitMib, limitName),
    ...phases(pagedMap, scales),
    ...mapLabels(map, scales, sizes, limitName),
    ...pagedLabels(pagedMap, scales, sizes, limitName),
    '</svg>\n',
  ].join('\n')
}

/** @param {Record<string, string>} colours */
function styleOf({ ground, text: ink, muted, grid, map, paged }) {
  return `
  text { font: 16px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: ${ink} }
  .ground { fill: ${ground} }
  .title { font-size: 20px; font-weight: 600 }
  .muted { fill: ${muted} }
  .strong { font-weight: 600 }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .grid { stroke: ${grid} }
  .axis { stroke: ${muted} }
  .limit { stroke: ${ink}; stroke-width: 2; stroke-dasharray: 8 5 }
  .curve { fill: none; stroke-width: 2.5; stroke-linejoin: round }
  .area { opacity: 0.14 }
  .mark { stroke-width: 4; stroke-linecap: round }
  .map { stroke: ${map} }
  .paged { stroke: ${paged} }
  .area.map, text.map, circle.map { fill: ${map}; stroke: none }
  .area.paged, text.paged, circle.paged { fill: ${paged}; stroke: none }
`
}

/**
 * @param {Scales} scales
 * @param {number} limitMib
 * @param {number} endS
 * @param {number} greatestMib
 */
function axes({ x, y }, limitMib, endS, greatestMib) {
  // Quarters of the limit, so that it is one of them.
  const step = (limitMib / 4) * Math.ceil(greatestMib / limitMib / 1.5)
  const values = Array.from({ length: Math.floor((greatestMib * HEADROOM) / step) + 1 }, (_, index) => index * step)
  return [
    ...values.flatMap(value => [
      line([BOX.left, y(value)], [BOX.right, y(value)], value === 0 ? 'axis' : 'grid'),
      text([BOX.left - 10, y(value) + 5], value, 'muted end'),
    ]),
    ...ticks(endS, 8).flatMap(value => [
      line([x(value), BOX.bottom], [x(value), BOX.bottom + 6], 'axis'),
      text([x(value), BOX.bottom + 24], value, 'muted middle'),
    ]),
    text([(BOX.left + BOX.right) / 2, BOX.bottom + 50], 'Time since the start of the process (s)', 'muted middle'),
  ]
}

/**
 * @param {Run} run
 * @param {Scales} scales
 */
function pointsOf({ samples, endMs }, { x, y }) {
  const seen = samples.filter(({ timeMs }) => timeMs <= endMs)
  return thinned(seen.map(({ timeMs, ownBytes }) => [x(timeMs / 1000), y(ownBytes / MIB)]))
}

/**
 * @param {Scales} scales
 * @param {number} limitMib
 * @param {LimitName} limitName
 */
function limitLine({ y }, limitMib, limitName) {
  const label = limitName === 'watch' ? `${limitMib} MiB (no limit is set)` : `limit ${limitMib} MiB`
  return [
    line([BOX.left, y(limitMib)], [BOX.right, y(limitMib)], 'limit'),
    text([BOX.right, y(limitMib) - 9], label, 'strong end'),
  ]
}

/**
 * What the PagedMap's process does meanwhile.
 * @param {Run} run
 * @param {Scales} scales
 */
function phases({ spans }, { x }) {
  const names = /** @type {Record<string, string>} */ ({
    serve: 'columns arrive, requests are answered',
    check: 'every column is checked',
  })
  return spans.flatMap(({ phase, startMs, endMs }) => [
    ...(phase === 'check' ? [line([x(startMs / 1000), BOX.bottom - 34], [x(startMs / 1000), BOX.bottom], 'axis')] : []),
    text([x((startMs + endMs) / 2000), BOX.bottom - 14], names[phase], 'muted middle'),
  ])
}

/**
 * @param {Run} run
 * @param {Scales} scales
 * @param {Sizes} sizes
 * @param {LimitName} limitName
 */
function mapLabels(run, scales, { limitBytes, tenants }, limitName) {
  const [x, y] = lastPoint(run, scales)
  const kept = formatGib(run.fraction * totalBytes(tenants))
  return [
    ...cross([x, y], CROSS, 'mark map'),
    text(
      [x + 4, Math.min(y - CROSS, scales.y(limitBytes / MIB)) - 9],
      `Map: ${endOf(run, limitName)}, ${kept} kept`,
      'strong map',
    ),
  ]
}

/**
 * @param {Run} run
 * @param {Scales} scales
 * @param {Sizes} sizes
 * @param {LimitName} limitName
 */
function pagedLabels(run, scales, { residentBytes, tenants }, limitName) {
  const [x, y] = lastPoint(run, scales)
  const top = Math.min(...pointsOf(run, scales).map(point => point[1]))
  const kept = formatGib(totalBytes(tenants))
  const label = `PagedMap of ${residentBytes / MIB} MiB: ${endOf(run, limitName)}, ${kept} kept`
  return [
    `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="6" class="paged"/>`,
    text([(BOX.left + BOX.right) / 2, top - 14], label, 'strong paged middle'),
  ]
}

/**
 * @param {Run} run
 * @param {Scales} scales
 */
function lastPoint(run, scales) {
  const points = pointsOf(run, scales)
  return points[points.length - 1]
}

/**
 * @param {Run} run
 * @param {LimitName} limitName
 */
function endOf({ result, status, endMs }, limitName) {
  return `${result ? 'finished' : deathOf(limitName, status)} after ${(endMs / 1000).toFixed(endMs < 10_000 ? 1 : 0)} s`
}
