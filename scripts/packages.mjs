// The packages as they will be published: the root with its optional dependencies, and one for each platform.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { ROOT } from './prepare.mjs'

/**
 * Runs a command and gives what it prints; what it says when it fails is in the error.
 *
 * @param {string[]} command
 * @param {import('node:child_process').SpawnOptions} [options]
 */
export async function run([name, ...args], options = {}) {
  const child = spawn(name, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const [[status, signal], stdout, stderr] = await Promise.all([
    once(child, 'close'),
    text(child.stdout),
    text(child.stderr),
  ])
  if (status !== 0) throw new Error(`${name} ${args.join(' ')} failed (${status ?? signal}):\n${stdout}${stderr}`)
  return stdout
}

/** The npm of this machine as a script, so that any Node can run it. */
export function npmScript() {
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map(folder => join(folder, 'npm'))
    .find(path => existsSync(path))
  const path = process.env.npm_execpath ?? (found && realpathSync(found))
  if (!path?.endsWith('npm-cli.js')) throw new Error(`npm-cli.js is not to be found: npm is ${path}`)
  return path
}

const npm = (cwd, ...args) => run([process.execPath, npmScript(), ...args], { cwd })

/**
 * Packs the root package and the platforms' as npm publishes them, with the binaries of a folder in their places. A platform
 * without a binary is packed without it.
 *
 * @param {string} binaries
 * @param {string} work an empty folder
 * @returns the folder of tarballs, what npm says of each, the root's first, and the platforms that have their binary
 */
export async function packAll(binaries, work) {
  const [root, folder] = ['root', 'tarballs'].map(name => join(work, name))
  mkdirSync(folder)
  const platforms = layOut(root, binaries)
  const packed = []
  for (const path of [root, ...readdirSync(join(root, 'npm')).map(platform => join(root, 'npm', platform))]) {
    const said = await npm(path, 'pack', '--json', '--ignore-scripts', '--pack-destination', folder)
    packed.push(JSON.parse(said)[0])
  }
  return { folder, packed, platforms }
}

/**
 * What the root package asks npm for: the package of each platform, in its own version.
 *
 * @param {string[]} platforms
 * @param {string} version
 */
export function optionalDependencies(platforms, version) {
  return Object.fromEntries(platforms.map(platform => [packageOf(platform), version]))
}

/**
 * The name of the package of a platform.
 *
 * @param {string} platform
 */
export function packageOf(platform) {
  return `@pageout/${platform}`
}

/** Makes a folder as it is when it is published: the root package there, the platforms' below npm/. */
function layOut(root, binaries) {
  const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
  for (const name of ['README.md', 'npm', ...manifest.files]) {
    cpSync(`${ROOT}${name}`, join(root, name), { recursive: true })
  }
  const platforms = readdirSync(join(root, 'npm'))
  manifest.optionalDependencies = optionalDependencies(platforms, manifest.version)
  writeFileSync(join(root, 'package.json'), JSON.stringify(manifest, null, 2))
  const built = platforms.filter(platform => existsSync(join(binaries, `pageout.${platform}.node`)))
  for (const platform of built) {
    const name = `pageout.${platform}.node`
    cpSync(join(binaries, name), join(root, 'npm', platform, name))
  }
  return built
}
