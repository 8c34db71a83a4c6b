// Runs test suites and counts what they say of themselves.
import { spawn } from 'node:child_process'
import { ROOT } from './prepare.mjs'

/**
 * What a runner says about its counts; all matches are added up.
 *
 * @typedef {{ passed: RegExp, failed: RegExp }} Patterns
 */

/** @type {Patterns} */
const CARGO = { passed: /^test result: \w+\. (\d+) passed/gm, failed: /^test result: .*?; (\d+) failed/gm }
/** @type {Patterns} */
const AVA = { passed: /^\s*(\d+) tests? passed/gm, failed: /^\s*(\d+) (?:tests?|uncaught exceptions?) failed/gm }
/** @type {Patterns} */
export const NODE_TEST = { passed: /^ℹ pass (\d+)/gm, failed: /^ℹ (?:fail|cancelled) (\d+)/gm }
/** @type {Patterns} */
export const TAPE = { passed: /^# pass +(\d+)/gm, failed: /^# fail +(\d+)/gm }
/** @type {Patterns} */
export const VITEST = { passed: /^ +Tests .*?(\d+) passed/gm, failed: /^ +Tests .*?(\d+) failed/gm }
/** @type {Patterns} */
const SMOKE = { passed: /^(\d+) passed/gm, failed: /^\d+ passed, (\d+) failed/gm }

/** The Rust tests. */
export function runRust() {
  return runCounted('cargo', ['test', '--workspace', '--locked'], CARGO)
}

/**
 * The specs, under a Node of one's choice.
 *
 * @param {string} node path of its binary
 */
export function runSpecs(node = process.execPath) {
  return runCounted(node, ['node_modules/ava/entrypoints/cli.mjs'], AVA)
}

/**
 * The smoke checks.
 *
 * @param {string} runtime path of its binary
 * @param {string[]} flags what gives it a global function gc, and lets it do what Node may
 */
export function runSmoke(runtime, flags) {
  return runCounted(runtime, [...flags, '__test__/smoke/smoke.mjs'], SMOKE)
}

/**
 * Runs a command, shows what it prints, and counts its tests.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {Patterns} patterns
 */
export async function runCounted(command, args, patterns) {
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
  return { passed, failed: status === 0 ? failed : Math.max(failed, 1), output }
}

/**
 * @param {string} output
 * @param {RegExp} pattern
 */
function sum(output, pattern) {
  return [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0)
}
