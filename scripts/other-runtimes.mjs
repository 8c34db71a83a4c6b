// The smoke checks under runtimes other than Node, which npm installs below target/runtimes.
import { isDeepStrictEqual } from 'node:util'
import { runSmoke } from './counted.mjs'
import { buildIfMissing, installInto, ROOT } from './prepare.mjs'

const RUNTIMES = [
  { name: 'bun', version: '1.4.5', flags: ['--expose-gc'] },
  { name: 'deno', version: '2.9.6', flags: ['run', '--allow-all', '--v8-flags=--expose-gc'] },
]

/** What neither of them keeps: see docs/platforms.md. */
const KNOWN_GAPS = ['what a worker leaves behind is freed when it ends']

buildIfMissing()
const rows = []
for (const { name, version, flags } of RUNTIMES) {
  console.log(`\n== ${name} ${version}`)
  const modules = installInto(`${ROOT}target/runtimes/${name}-${version}`, name, version)
  const { passed, failed, output } = await runSmoke(`${modules}/.bin/${name}`, flags)
  const gaps = [...output.matchAll(/^not ok {2}(.*?):/gm)].map(match => match[1])
  const isAsKnown = failed === gaps.length && isDeepStrictEqual(gaps, KNOWN_GAPS)
  rows.push({ runtime: name, version, passed, failed, 'as documented': isAsKnown })
}
console.log()
console.table(rows)
process.exitCode = rows.every(row => row['as documented']) ? 0 : 1
