/** What is said where the addon cannot be loaded: ERR_PAGEOUT_ADDON, with what to do. */

import { DOCTOR, PageoutError } from '../model/errors.js'

/** What asks for the addon, and where it runs. */
export interface Place {
  /** The version of the package. */
  readonly version: string
  /** What this process runs on, such as `linux-x64-musl`. */
  readonly platform: string
  /** The package that has the addon for it. */
  readonly packageName: string
  /** The file of the loader, or of the bundle that holds it. */
  readonly file: string | undefined
}

/** An addon that is there. */
export interface Found {
  /** What it belongs to, which decides what is to be done about it. */
  readonly origin: 'clone' | 'package' | 'bundle' | 'environment'
  /** The package's name, or the file's path. */
  readonly name: string
}

/** What to do about an addon, by what it belongs to. */
const REPLACE = {
  clone: 'Build it again (npm run build), or remove it',
  package: 'Install pageout again on this platform',
  bundle: 'Copy the file of the installed package there again',
  environment: 'PAGEOUT_ADDON names it: name another file, or unset PAGEOUT_ADDON',
}

/** What to tell a bundler. */
const EXTERNAL =
  "Mark pageout as external (esbuild: --external:pageout; webpack: externals: { pageout: 'commonjs pageout' }; rollup: external: [/^pageout/]; Next.js: serverExternalPackages: ['pageout']; Electron: asarUnpack) and install it where the bundle runs"

export function oldNode(version: string, nodes: string): PageoutError {
  const { platform, arch, versions } = process
  const message = `pageout ${version} needs Node ${nodes}, and this is Node ${versions.node}: use a newer Node`
  return notHere(message, { platform: `${platform}-${arch}` })
}

export function notSupported({ platform }: Place, platforms: readonly string[]): PageoutError {
  const message = `pageout does not run under ${here(platform)}, only on ${platforms.join(', ')}. On Windows, use WSL. On 64-bit hardware, install the 64-bit Node`
  return notHere(message, { platform })
}

export function otherVersion(place: Place, { origin, name }: Found, version: string | undefined): PageoutError {
  const other = version ?? 'of an unknown version'
  return unusable(place, `pageout ${place.version} found ${name} ${other}: the versions must match. ${REPLACE[origin]}`)
}

/** The file is there, and the system or Node refuses it. */
export function notLoaded(place: Place, { origin, name }: Found, error: unknown): PageoutError {
  // Lines about who required it follow the first, and where a package lacks its file, advice for those who make packages.
  const [reason = ''] = (error as Error).message.split(/\.?(?:\n|$)|\. Please verify/, 1)
  const advice = adviceFor(error as NodeJS.ErrnoException, reason, place.platform) ?? `${DAMAGED}. ${REPLACE[origin]}`
  return unusable(place, `${name} does not load: ${reason}. ${advice}`, error)
}

export function noSuchFile(place: Place, path: string, error: unknown): PageoutError {
  return unusable(place, `PAGEOUT_ADDON names ${path}, which does not exist. ${REPLACE.environment}`, error)
}

export function wrongName(place: Place, path: string): PageoutError {
  return unusable(place, `PAGEOUT_ADDON names ${path}, and the name of an addon ends in .node`)
}

/** The addon is nowhere. */
export function notInstalled(place: Place, error: unknown): PageoutError {
  const { packageName, platform } = place
  if (isBundle(place)) return unusable(place, bundled(place), error)
  const isPnpm = /[\\/]node_modules[\\/]\.pnpm[\\/]/.test(place.file ?? '')
  const message = [
    `${packageName} is not installed, which pageout needs`,
    'It is an optional dependency: install pageout again on this platform, without --omit=optional or --no-optional. If node_modules or the lock file came from another platform, delete them and install again',
    isPnpm
      ? forPnpm(platform)
      : `To install for this platform on another: npm install ${optionsFor(platform).join(' ')}`,
  ].join('. ')
  return unusable(place, message, error)
}

/** What is said where the code runs from a bundle. */
function bundled({ packageName, platform, file }: Place): string {
  return [
    `The code of pageout runs from a bundle (${file ?? 'an ES module'}), and its addon, ${packageName}, was not found from there. A bundle cannot hold the addon`,
    EXTERNAL,
    `Otherwise copy pageout.${platform}.node, the file of ${packageName}, beside the bundle, or name it in PAGEOUT_ADDON`,
    'In an isolated node_modules (pnpm, Yarn PnP), a bundle sees only what its project depends on directly: pageout has to be among that',
  ].join('. ')
}

function forPnpm(platform: string): string {
  const { os, cpu, libc } = partsOf(platform)
  const lists = [`os: [${os}]`, `cpu: [${cpu}]`, ...(libc ? [`libc: [${libc}]`] : [])].join(', ')
  return `To install for this platform on another, set supportedArchitectures in pnpm-workspace.yaml: { ${lists} }`
}

function optionsFor(platform: string): string[] {
  const { os, cpu, libc } = partsOf(platform)
  return [`--os=${os}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : [])]
}

/** A platform in the words of package managers. */
function partsOf(platform: string) {
  const [os, cpu, libc] = platform.split('-')
  return { os, cpu, libc: libc === 'gnu' ? 'glibc' : libc }
}

/** Whether this is a program that Bun compiled, which keeps the paths of what it was made of, and finds no packages. */
export function isCompiled(): boolean {
  return process.argv[1]?.startsWith('/$bunfs/') ?? false
}

/** Whether the loader is not in the package, but in a file that was made of it. */
export function isBundle({ file }: Place): boolean {
  if (file === undefined || isCompiled()) return true
  const { join } = process.getBuiltinModule('path')
  try {
    const manifest = process.getBuiltinModule('fs').readFileSync(join(file, '../../../package.json'), 'utf8')
    return (JSON.parse(manifest) as { name?: string }).name !== 'pageout'
  } catch {
    return true
  }
}

const DAMAGED = 'It may be damaged, or made for another platform or C library, or for a newer system'

/** What to do about a refusal whose cause is known. */
function adviceFor({ code, message }: NodeJS.ErrnoException, reason: string, platform: string): string | undefined {
  if (code === 'ERR_DLOPEN_DISABLED') {
    return 'This process may not load addons: start Node without --no-addons, or with --allow-addons where --permission is given'
  }
  if (/failed to map segment|Operation not permitted|Permission denied/i.test(reason)) return adviceForMapping(message)
  if (/version `GLIBC_[\d.]+' not found/.test(reason)) {
    return 'The C library of this system is too old: use a newer system, or a container image that has one'
  }
  // What musl calls libc.so is with glibc a text for linkers, if it is there at all.
  const foreign = platform.endsWith('-gnu') ? /libc\.musl|\blibc\.so: / : /ld-linux|GLIBC|libc\.so\.6|Error relocating/
  if (foreign.test(message)) {
    return 'It was built for another C library than that of this process: install pageout again on this platform, and do not copy node_modules between Alpine and other systems'
  }
  return undefined
}

/** What to do where the system does not let the file be run. */
function adviceForMapping(message: string): string {
  const [, file = ''] = /(\/[^:]+\.node)/.exec(message) ?? []
  const mount = noexecMountOf(file)
  if (mount !== undefined) {
    return `It is on ${mount}, which is mounted noexec, so that nothing can be run from there. Mount it without noexec, install elsewhere, or copy the file and name the copy in PAGEOUT_ADDON`
  }
  return 'The system does not let it be run: is it on a mount with noexec, or does a policy (SELinux, AppArmor) forbid it? Install elsewhere, or copy the file and name the copy in PAGEOUT_ADDON'
}

/** Where the file system of a file is mounted, if nothing can be run from it. */
function noexecMountOf(file: string): string | undefined {
  const { readFileSync, realpathSync } = process.getBuiltinModule('fs')
  try {
    const path = realpathSync(file)
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map(line => line.split(' '))
      .map(([, , , , point = '', options = '']) => ({ point: unescaped(point), options: options.split(',') }))
      .filter(({ point }) => point === '/' || path === point || path.startsWith(`${point}/`))
    // The last of the longest is the one on top.
    const top = mounts.reduce((best, mount) => (mount.point.length >= best.point.length ? mount : best), {
      point: '',
      options: [''],
    })
    return top.options.includes('noexec') ? top.point : undefined
  } catch {
    return undefined
  }
}

/** Blanks and others are written as octal numbers. */
function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
}

function here(platform: string): string {
  return `Node ${process.versions.node} on ${platform}`
}

function unusable({ platform, packageName }: Place, message: string, cause?: unknown): PageoutError {
  const options = cause === undefined ? {} : { cause }
  return notHere(`${message} (${here(platform)})`, { platform, packageName }, options)
}

function notHere(message: string, details: object, options?: ErrorOptions): PageoutError {
  return new PageoutError('ERR_PAGEOUT_ADDON', `${message}${DOCTOR}`, details, options)
}
