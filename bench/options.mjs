import { parseArgs } from 'node:util'
import { ROOT } from '../scripts/prepare.mjs'

/** The sections, in the order in which they run. */
export const IDS = [
  'round-trip',
  'fresh',
  'churn',
  'borrow',
  'popular',
  'misses',
  'ranges',
  'out-of-core',
  'sealed',
  'promises',
  'threads',
  'layer',
  'handles',
  'tracing',
  'closing',
  'resident',
]

export const USAGE = `Usage: npm run bench -- [--quick | --smoke] [--only ID[,ID]] [--against DIR] [--json FILE] [--html FILE]

  --quick        a first impression in about four minutes
  --smoke        one round of the same, to see that all of it runs
  --only IDS     only these sections: ${IDS.join(', ')}
  --against DIR  also another build of pageout: the directory of its package
  --json FILE    where the results go (default: target/bench/node.json)
  --html FILE    where the page goes that shows them (default: target/bench/node.html)
  --help         print this text`

export class UsageError extends Error {}

/**
 * @typedef {{ quick: boolean, smoke: boolean, ids: string[], against?: string | undefined, json: string, html: string, help: boolean }} Options
 * @param {string[]} args
 * @returns {Options}
 */
export function parseOptions(args) {
  const { only, ...flags } = parseFlags(args)
  return { ...flags, ids: only === undefined ? IDS : parseIds(only) }
}

/** @param {string[]} args */
function parseFlags(args) {
  try {
    return parseArgs({
      args,
      options: {
        quick: { type: 'boolean', default: false },
        smoke: { type: 'boolean', default: false },
        only: { type: 'string' },
        against: { type: 'string' },
        json: { type: 'string', default: `${ROOT}target/bench/node.json` },
        html: { type: 'string', default: `${ROOT}target/bench/node.html` },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message)
  }
}

/** @param {string} text */
function parseIds(text) {
  const asked = text.split(',')
  const unknown = asked.find(id => !IDS.includes(id))
  if (unknown !== undefined) throw new UsageError(`--only: there is no section "${unknown}"`)
  return IDS.filter(id => asked.includes(id))
}

/**
 * The command that measures the same again.
 *
 * @param {Options} options
 */
export function commandOf({ quick, smoke, ids, against }) {
  const flags = [
    ...(quick ? ['--quick'] : []),
    ...(smoke ? ['--smoke'] : []),
    ...(ids.length < IDS.length ? [`--only ${ids.join(',')}`] : []),
    ...(against === undefined ? [] : [`--against ${against}`]),
  ]
  return ['npm run bench', ...(flags.length > 0 ? ['--', ...flags] : [])].join(' ')
}
