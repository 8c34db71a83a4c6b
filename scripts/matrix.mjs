// The specs and the smoke checks under several versions of Node, which npm installs below target/nodes:
//   npm run test:matrix [-- 20 22 24 26]
import { runSmoke, runSpecs } from './counted.mjs'
import { nodeOf, VERSIONS } from './nodes.mjs'
import { buildIfMissing } from './prepare.mjs'

/**
 * Runs everything under one version.
 *
 * @param {string} wanted
 */
async function check(wanted) {
  const { node, version } = nodeOf(wanted)
  console.log(`\n== Node ${version}`)
  const [smoke, specs] = [await runSmoke(node, ['--expose-gc']), await runSpecs(node)]
  return { Node: version, passed: smoke.passed + specs.passed, failed: smoke.failed + specs.failed }
}

const versions = process.argv.slice(2)
buildIfMissing()
const rows = []
for (const version of versions.length > 0 ? versions : VERSIONS) rows.push(await check(version))
console.log()
console.table(rows)
process.exitCode = rows.every(({ failed }) => failed === 0) ? 0 : 1
