/**
 * Lines of a table for the terminal. Every row has a label, and as many values as there are titles.
 * @param {string[]} titles
 * @param {[label: string, ...values: string[]][]} rows
 */
export function textTable(titles, rows) {
  const cells = [['', ...titles], ...rows]
  const widths = cells[0].map((_, column) => Math.max(...cells.map(row => row[column].length)))
  const lines = cells.map(([label, ...values]) =>
    [label.padEnd(widths[0]), ...values.map((value, index) => value.padStart(widths[index + 1]))].join('   ').trimEnd(),
  )
  const rule = '-'.repeat(Math.max(...lines.map(({ length }) => length)))
  return [lines[0], rule, ...lines.slice(1)].join('\n')
}
