// The storm under the lowest and the highest version of Node that is supported, one after the other:
//   npm run storm:long [-- --interleavings N --seed N]
import { spawnSync } from 'node:child_process'
import { nodeOf, VERSIONS } from './nodes.mjs'
import { buildIfMissing, ROOT } from './prepare.mjs'

buildIfMissing()
const ends = [VERSIONS[0], VERSIONS.at(-1)].map(version => {
  const { node } = nodeOf(/** @type {string} */ (version))
  const program = ['--expose-gc', `${ROOT}__test__/storm/main.mjs`, ...process.argv.slice(2)]
  return spawnSync(node, program, { stdio: 'inherit' }).status
})
process.exitCode = ends.every(status => status === 0) ? 0 : 1
