// The whole test suite from a fresh clone: builds, runs the Rust tests and the Node specs, and counts both.
import { spawn } from 'node:child_process'
import { installTools, npm, ROOT } from './prepare.mjs'

/** What each runner says about its counts; all matches are added up. */
const CARGO = { passed: /^test result: \w+\. (\d+) passed/gm, failed: /^test result: .*?; (\d+) failed/gm }
const AVA = { passed: /^\s*(\d+) tests? passed/gm, failed: /^\s*(\d+) (?:tests?|uncaught exceptions?) failed/gm }

/**
 * Runs a command, shows what it prints, and counts its tests.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ passed: RegExp, failed: RegExp }} patterns
 */
async function runCounted(command, args, patterns) {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    output += text
    process.stdout.write(text)
  })
  const status = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  const [passed, failed] = [sum(output, patterns.passed), sum(output, patterns.failed)]
  if (status === 0 && passed === 0) throw new Error(`${command} ${args.join(' ')} ran no test`)
  // A runner that fails without saying how often still failed.
  return { passed, failed: status === 0 ? failed : Math.max(failed, 1) }
}

/**
 * @param {string} output
 * @param {RegExp} pattern
 */
function sum(output, pattern) {
  return [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0)
}

installTools()
npm(['run', 'build'], ROOT, 'building pageout')
const rust = await runCounted('cargo', ['test', '--workspace', '--locked'], CARGO)
const node = await runCounted(process.execPath, ['node_modules/ava/entrypoints/cli.mjs'], AVA)
const failed = rust.failed + node.failed
console.log(
  `\nRust: ${rust.passed} passed, ${rust.failed} failed. Node: ${node.passed} passed, ${node.failed} failed.\n`,
)
console.log(`${rust.passed + node.passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
