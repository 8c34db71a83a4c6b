/**
 * Loads the addon of this platform. The entry points import this module before all others, so that where the package
 * cannot work, an error says why and what to do about it.
 */

import type * as Addon from '../../index.d.ts'
import { PageoutError } from '../model/errors.js'
import { platformOf } from './platform.js'

/** The version of the package, which the addon has to have too. */
const VERSION = '0.1.0'
/** The oldest Node that is supported. */
const NODE_MIN = '20.19.0'

/** An addon's file: what a clone of the repository builds beside package.json, and the package that npm installs. */
interface Places {
  readonly built: () => unknown
  readonly installed: () => unknown
}

/** The platforms that have an addon. All names are written out, so that tools which trace or bundle files see them. */
const PLATFORMS: Readonly<Record<string, Places>> = {
  'linux-x64-gnu': {
    built: () => require('../../pageout.linux-x64-gnu.node'),
    installed: () => require('pageout-linux-x64-gnu'),
  },
  'linux-x64-musl': {
    built: () => require('../../pageout.linux-x64-musl.node'),
    installed: () => require('pageout-linux-x64-musl'),
  },
  'linux-arm64-gnu': {
    built: () => require('../../pageout.linux-arm64-gnu.node'),
    installed: () => require('pageout-linux-arm64-gnu'),
  },
  'linux-arm64-musl': {
    built: () => require('../../pageout.linux-arm64-musl.node'),
    installed: () => require('pageout-linux-arm64-musl'),
  },
  'darwin-x64': {
    built: () => require('../../pageout.darwin-x64.node'),
    installed: () => require('pageout-darwin-x64'),
  },
  'darwin-arm64': {
    built: () => require('../../pageout.darwin-arm64.node'),
    installed: () => require('pageout-darwin-arm64'),
  },
}

/** What to do about an addon of a clone, and of an installation. */
const REBUILD = 'build it again (npm run build), or remove it'
const REINSTALL = 'install pageout again on this platform'

/** @internal What the addon exports: the entry points' types lead here, and the types of the addon are not published. */
export const native = load()

function load(): typeof Addon {
  const platform = platformOf(process)
  const here = `Node ${process.versions.node} on ${platform}`
  if (isOlder(process.versions.node, NODE_MIN)) {
    throw unusable(`pageout needs Node ${NODE_MIN} or newer, and this is ${here}`, { platform })
  }
  const places = PLATFORMS[platform]
  if (!places) throw unusable(notSupported(here), { platform })
  const about = { platform, packageName: `pageout-${platform}` }
  const ofClone = { name: `pageout.${platform}.node`, load: places.built, advice: REBUILD }
  const ofPackage = { name: about.packageName, load: places.installed, advice: REINSTALL }
  let missing: unknown
  for (const { name, load, advice } of [ofClone, ofPackage]) {
    const { addon, error } = attempt(load)
    if (addon?.version?.() === VERSION) return addon as typeof Addon
    if (addon) throw unusable(`${otherVersion(name, addon.version?.(), here)}: ${advice}`, about)
    if (!isMissing(error)) throw unusable(`${notLoaded(name, error, here)}. If so: ${advice}`, about, error)
    missing = error
  }
  throw unusable(notInstalled(platform, here), about, missing)
}

function notSupported(here: string): string {
  const platforms = Object.keys(PLATFORMS).join(', ')
  return `pageout does not run under ${here}, only on ${platforms}. On Windows use it in WSL; a processor of 64 bit needs a Node of 64 bit too`
}

function otherVersion(name: string, version: string | undefined, here: string): string {
  return `${name} is of version ${version}, and pageout of version ${VERSION}, under ${here}`
}

function notLoaded(name: string, error: unknown, here: string): string {
  // Lines about who required it follow the first.
  const [reason] = (error as Error).message.split(/\.?(?:\n|$)/, 1)
  const why = 'It may be damaged, or made for another platform or C library, or for a newer system'
  return `${name} does not load under ${here}: ${reason}. ${why}`
}

function notInstalled(platform: string, here: string): string {
  const [os, cpu, libc] = platform.split('-')
  const options = [`--os=${os}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc === 'gnu' ? 'glibc' : libc}`] : [])]
  return [
    `pageout-${platform} is not installed, which pageout needs under ${here}`,
    'It is an optional dependency: install pageout again on this platform, without --omit=optional or --no-optional, and without the lock file or node_modules of another platform where these lack it',
    `To install for this platform on another: npm install ${options.join(' ')}`,
  ].join('. ')
}

function unusable(message: string, about: { platform: string; packageName?: string }, cause?: unknown): PageoutError {
  return new PageoutError('ERR_PAGEOUT_ADDON', message, about, cause === undefined ? {} : { cause })
}

function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [majorMin = 0, minorMin = 0] = than.split('.').map(Number)
  return major < majorMin || (major === majorMin && minor < minorMin)
}

/** What a call gives or throws. */
function attempt(load: () => unknown): { addon?: Partial<typeof Addon>; error?: unknown } {
  try {
    return { addon: load() as Partial<typeof Addon> }
  } catch (error) {
    return { error }
  }
}

/** Whether there was nothing to load. A path is that of a package which is there, and lacks the file that it names. */
function isMissing(error: unknown): boolean {
  const { code, path } = error as NodeJS.ErrnoException
  return code === 'MODULE_NOT_FOUND' && path === undefined
}
