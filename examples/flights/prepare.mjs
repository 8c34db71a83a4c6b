// Makes a fresh clone ready to run: dependencies, the built package, the data set.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const EXAMPLE = fileURLToPath(new URL('./', import.meta.url))

export function prepare() {
  if (!existsSync(`${ROOT}node_modules`)) npm(['ci'], ROOT, 'installing the build tools')
  if (!isBuilt()) npm(['run', 'build'], ROOT, 'building pageout')
  if (!existsSync(`${EXAMPLE}node_modules`)) npm(['ci'], EXAMPLE, 'installing the data set and its decoder')
}

function isBuilt() {
  return existsSync(`${ROOT}dist/index.js`) && readdirSync(ROOT).some(name => name.endsWith('.node'))
}

/**
 * @param {string[]} args
 * @param {string} cwd
 * @param {string} purpose
 */
function npm(args, cwd, purpose) {
  console.log(`${purpose}: npm ${args.join(' ')}`)
  const [command, ...prefix] = npmCommand()
  const { error, status } = spawnSync(command, [...prefix, ...args], { cwd, stdio: 'inherit' })
  if (error) throw new Error(`npm could not be started: ${error.message}`)
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed in ${cwd}`)
}

/** The npm that started us if there is one, so that a demo started by npm needs none on the PATH. */
function npmCommand() {
  const path = process.env.npm_execpath
  return path && /^npm(-cli\.c?js)?$/.test(basename(path)) ? [process.execPath, path] : ['npm']
}
