// Makes a fresh clone ready to run: what is missing is installed and built, what is there is left alone.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL('../', import.meta.url))

/** This platform, as npm's packages call it. The runtime's report says so, where the package looks at the runtime's file. */
export function platformHere() {
  const { glibcVersionRuntime } = process.report.getReport().header
  const libc = process.platform === 'linux' ? [glibcVersionRuntime === undefined ? 'musl' : 'gnu'] : []
  return [process.platform, process.arch, ...libc].join('-')
}

/** Installs the build tools where they are missing. */
export function installTools() {
  installIn(ROOT, 'installing the build tools')
}

/** Builds the package where it is missing. */
export function buildIfMissing() {
  installTools()
  const isBuilt = existsSync(`${ROOT}dist/index.js`) && readdirSync(ROOT).some(name => name.endsWith('.node'))
  if (!isBuilt) npm(['run', 'build'], ROOT, 'building pageout')
}

/** Builds the JavaScript of the package where it is missing. */
export function compileIfMissing() {
  installTools()
  if (!existsSync(`${ROOT}dist/index.js`)) npm(['run', 'build:ts'], ROOT, 'compiling pageout')
}

/**
 * Installs the dependencies of a folder that has its own package.json, where they are missing.
 *
 * @param {string} folder
 * @param {string} purpose
 */
export function installIn(folder, purpose) {
  if (!existsSync(`${folder}/node_modules`)) npm(['ci', '--no-audit', '--no-fund'], folder, purpose)
}

/**
 * Installs one package into a folder of its own, where it is missing.
 *
 * @param {string} folder
 * @param {string} name
 * @param {string} version
 * @param {string[]} flags for npm, where the package is for another platform
 * @returns the folder of modules
 */
export function installInto(folder, name, version, flags = []) {
  const modules = `${folder}/node_modules`
  if (existsSync(`${modules}/${name}`)) return modules
  mkdirSync(folder, { recursive: true })
  const quietly = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund']
  const what = `${name}@${version}`
  npm(['install', ...quietly, ...flags, '--prefix', folder, what], folder, `installing ${what}`)
  return modules
}

/**
 * Runs npm and waits for it.
 *
 * @param {string[]} args
 * @param {string} cwd
 * @param {string} purpose
 */
export function npm(args, cwd, purpose) {
  console.log(`${purpose}: npm ${args.join(' ')}`)
  const [command, ...prefix] = npmCommand()
  const { error, status } = spawnSync(command, [...prefix, ...args], { cwd, stdio: 'inherit' })
  if (error) throw new Error(`npm could not be started: ${error.message}`)
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed in ${cwd}`)
}

/** The npm that started us if there is one, so that a script started by npm needs none on the PATH. */
export function npmCommand() {
  const path = process.env.npm_execpath
  return path && /^npm(-cli\.c?js)?$/.test(basename(path)) ? [process.execPath, path] : ['npm']
}
