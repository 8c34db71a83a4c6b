// Reads the reports of AddressSanitizer and LeakSanitizer in a folder: `node scripts/leaks.mjs <folder> <name of the addon>`.
// Fails on a report of an error, on a leak that the addon itself allocated, and where nobody looked for leaks at all. What node
// allocates when the addon calls it is node's: it never frees all of that where the process ends first.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder, addon] = process.argv.slice(2)
if (folder === undefined || addon === undefined) throw new Error('a folder and the name of the addon are needed')

let searched = 0
let foreign = 0
/** @type {string[]} */
const found = []
for (const name of readdirSync(folder)) {
  const report = readFileSync(join(folder, name), 'utf8')
  if (report.includes('ERROR: LeakSanitizer: detected memory leaks')) searched += 1
  if (report.includes('ERROR: AddressSanitizer') || report.includes('LeakSanitizer has encountered a fatal error')) {
    found.push(report)
    continue
  }
  // A leak is a paragraph: a line that says so, then the frames of its allocation.
  for (const paragraph of report.split(/\n\s*\n/)) {
    if (!/^(?:Direct|Indirect) leak of /m.test(paragraph)) continue
    // Frame 0 is the allocator, frame 1 who called it.
    const caller = /^ *#1 .*$/m.exec(paragraph)?.[0] ?? ''
    if (paragraph.includes(addon) && !caller.includes('/node+0x')) found.push(paragraph)
    else foreign += 1
  }
}

for (const text of found) console.error(`${text}\n`)
console.log(
  `${searched} processes left something behind: ${foreign} leaks of node, ${found.length} errors and leaks of the addon`,
)
if (searched === 0) {
  // Node never frees all it allocates, so a search that finds nothing did not take place.
  console.error('no process was searched for leaks')
  process.exitCode = 1
}
if (found.length > 0) process.exitCode = 1
