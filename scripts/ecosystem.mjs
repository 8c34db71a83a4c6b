// The packed package in empty folders, with the tools that people use: installs each in its pinned version, runs a round trip
// through it, and compares what is printed. Ends with the rows of docs/platforms.md.
//   npm run test:ecosystem [-- --quick] [-- jest esbuild ...]
// `--quick` leaves out what takes more than seconds.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { serve } from './cross/registry.mjs'
import { CASES } from './ecosystem/cases.mjs'
import { Project } from './ecosystem/project.mjs'
import { packAll } from './packages.mjs'
import { buildIfMissing, ROOT } from './prepare.mjs'

const { values, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean' } } })
const unknown = positionals.filter(name => !CASES.some(({ group }) => group === name))
if (unknown.length > 0) throw new Error(`there is no ${unknown}, but ${[...new Set(CASES.map(({ group }) => group))]}`)
const chosen = CASES.filter(({ group, isSlow }) =>
  positionals.length > 0 ? positionals.includes(group) : !(values.quick && isSlow),
)

buildIfMissing()
const work = mkdtempSync(join(tmpdir(), 'pageout-ecosystem-'))
const rows = []
let registry
try {
  const { folder } = await packAll(ROOT, work)
  registry = await serve(folder, 'https://registry.npmjs.org/')
  for (const [index, { name, versions, how, check }] of chosen.entries()) {
    const place = join(work, `case-${index}`)
    const project = new Project(place, registry.origin)
    const started = performance.now()
    const problem = await check(project).then(
      () => undefined,
      error => error,
    )
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    console.log(`${problem ? 'not ok' : 'ok'} ${name}, ${how} (${seconds} s)${problem ? `\n${problem.stack}` : ''}`)
    rows.push({ name, versions, how, result: problem ? 'FAILS' : 'works', seconds })
    rmSync(place, { recursive: true, force: true })
  }
} finally {
  registry?.close()
  rmSync(work, { recursive: true, force: true })
}
console.log('\n| tool | version | how | result | seconds |\n| --- | --- | --- | --- | --- |')
for (const row of rows) console.log(`| ${Object.values(row).join(' | ')} |`)
process.exitCode = rows.every(({ result }) => result === 'works') ? 0 : 1
