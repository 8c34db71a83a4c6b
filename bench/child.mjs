// Parts of the bench that need a process of their own.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/**
 * Runs a module of `sections/` and gives what it answered with.
 *
 * @template Answer
 * @param {string} module
 * @param {object} question
 * @param {{ execArgv?: string[], prefix?: string[] }} [how] `prefix` is a command that runs the command behind it
 * @returns {Answer}
 */
export function ask(module, question, { execArgv = [], prefix = [] } = {}) {
  const path = fileURLToPath(new URL(`sections/${module}`, import.meta.url))
  const [command = '', ...args] = [...prefix, process.execPath, ...execArgv, path, JSON.stringify(question)]
  const { error, status, signal, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (error) throw error
  if (status !== 0) throw new Error(`${module} ended with ${status ?? signal}: ${stderr}`)
  return JSON.parse(stdout)
}

/** What the parent asked. */
export function question() {
  return JSON.parse(process.argv[2] ?? 'null')
}

/** @param {object} result */
export function answer(result) {
  process.stdout.write(JSON.stringify(result))
}
