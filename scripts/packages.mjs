// The packages as they will be published: the root with its optional dependencies, and one for each platform.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
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
 * Lays out what is to be published in an empty folder: the root package there, the platforms' below npm/, with the binaries of a
 * folder in their places.
 *
 * @param {string} folder
 * @param {string} binaries
 * @returns the platforms that have their binary
 */
export function layOut(folder, binaries) {
  const { files } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
  for (const name of ['package.json', 'README.md', 'npm', ...files])
    cpSync(`${ROOT}${name}`, join(folder, name), { recursive: true })
  const platforms = readdirSync(join(folder, 'npm'))
  const built = platforms.filter(platform => existsSync(join(binaries, `pageout.${platform}.node`)))
  for (const platform of built) {
    const name = `pageout.${platform}.node`
    cpSync(join(binaries, name), join(folder, 'npm', platform, name))
  }
  // As `napi pre-publish` does when all of them have their binaries.
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  manifest.optionalDependencies = Object.fromEntries(platforms.map(name => [`pageout-${name}`, manifest.version]))
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, null, 2))
  return built
}

/**
 * Packs all that was laid out, as npm would publish it.
 *
 * @param {string} folder
 * @param {string} into
 */
export async function packAll(folder, into) {
  const packages = [folder, ...readdirSync(join(folder, 'npm')).map(platform => join(folder, 'npm', platform))]
  const packed = []
  for (const path of packages) {
    const said = await npm(path, 'pack', '--json', '--ignore-scripts', '--pack-destination', into)
    packed.push(JSON.parse(said)[0])
  }
  return packed
}
