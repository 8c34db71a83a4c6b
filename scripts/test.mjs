// The whole test suite from a fresh clone: builds, runs the Rust tests and the Node specs, and counts both.
import { runRust, runSpecs } from './counted.mjs'
import { installTools, npm, ROOT } from './prepare.mjs'

installTools()
npm(['run', 'build'], ROOT, 'building pageout')
const rust = await runRust()
const node = await runSpecs()
const failed = rust.failed + node.failed
console.log(
  `\nRust: ${rust.passed} passed, ${rust.failed} failed. Node: ${node.passed} passed, ${node.failed} failed.\n`,
)
console.log(`${rust.passed + node.passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
