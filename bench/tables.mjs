// The results of a bench as short Markdown tables: medians, a column for each row of the full ones. For documents:
//   node bench/tables.mjs target/bench/rust.json target/bench/node.json
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { DIGITS, median, ratio } from './report.mjs'

/** @typedef {import('./types.js').Table} Table */

/** @param {Table} table */
export function shortMarkdown(table) {
  const head = `### ${table.title}\n\n`
  if ('skipped' in table) return `${head}Skipped: ${table.skipped}\n`
  const { rows, unit, subject, references } = table
  const candidates = [...new Set(rows.flatMap(row => row.cells.map(cell => cell.candidate)))]
  const columns = rows.map(row => (row.unit === undefined || row.unit === unit ? row.name : `${row.name}, ${row.unit}`))
  const medians = candidates.map(name => [
    name === subject ? `**${name}**` : name,
    ...rows.map(row => number(median(row, name))),
  ])
  const ratios = references.map(name => [`${subject} against ${name}`, ...rows.map(row => ratio(table, row, name))])
  const lines = [[unit, ...columns], ['---', ...columns.map(() => '--:')], ...medians, ...ratios]
  return `${head}${table.note}\n\n${lines.map(fields => `| ${fields.join(' | ')} |`).join('\n')}\n`
}

/** @param {number | undefined} value */
const number = value => (value === undefined ? '' : DIGITS.format(value))

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const path of process.argv.slice(2)) {
    const { title, command, machine, tables } = JSON.parse(readFileSync(path, 'utf8'))
    console.log(`## ${title}\n\n\`${command}\`: ${Object.values(machine).join('; ')}\n`)
    for (const table of tables) console.log(shortMarkdown(table))
  }
}
