import { parseArgs } from 'node:util'

export const MIN_ROWS = 1_000
export const MAX_ROWS = 3_000_000

export const USAGE = `Usage: npm run demo -- [--rows N] [--scratch DIR]

  --rows N       use the first N rows (${MIN_ROWS} to ${MAX_ROWS}; default: all of them)
  --scratch DIR  where pageout keeps its unnamed files (default: its own choice)
  --help         print this text`

export class UsageError extends Error {}

/**
 * @typedef {{ rows: number, scratchDir?: string, help: boolean }} Options
 * @param {string[]} args
 * @returns {Options}
 */
export function parseOptions(args) {
  const { rows, scratch, help } = parseFlags(args)
  if (scratch === '') throw new UsageError('--scratch: a directory is needed, received an empty string')
  return { rows: parseRows(rows), scratchDir: scratch, help }
}

/** @param {string[]} args */
function parseFlags(args) {
  try {
    return parseArgs({
      args,
      options: {
        rows: { type: 'string', default: String(MAX_ROWS) },
        scratch: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message)
  }
}

/** @param {string} text */
function parseRows(text) {
  const rows = Number(text)
  if (/^\d+$/.test(text) && rows >= MIN_ROWS && rows <= MAX_ROWS) return rows
  throw new UsageError(`--rows: a whole number from ${MIN_ROWS} to ${MAX_ROWS} is needed, received "${text}"`)
}
