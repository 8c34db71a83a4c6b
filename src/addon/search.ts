/**
 * Finds the addon of this platform and loads it, or says why it cannot and what to do about it.
 *
 * Bundlers must not see a `require` of the addon: most fail the build when they meet a `.node` file, even in a `try`. So the
 * functions that require are made at run time, for the file that runs: a module of the package, or a bundle that holds it.
 */

import type * as Addon from '../../index.d.ts'
import { orUndefined } from '../runtime/captured.js'
import { entryUrl } from './entry.js'
import type { Found, Place } from './failures.js'
import * as failures from './failures.js'
import { platformOf } from './platform.js'

const builtin = process.getBuiltinModule

/** The version of the package, which the addon has to have too. */
const VERSION = '0.1.0'
/** The Nodes that are supported, as `engines` of package.json has them. */
const NODES = '^20.16.0 || >=22.3.0'

/** The platforms that have an addon. */
const PLATFORMS = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-x64-gnu',
  'linux-x64-musl',
]

/**
 * Nobody calls this. Tools that copy what a program needs (@vercel/nft, Turbopack) read it, and find the packages of the
 * platforms: all names are written out for them.
 */
export function foldersToCopy(): string[] {
  const fs: typeof import('node:fs') = require('node:fs')
  const path: typeof import('node:path') = require('node:path')
  return [
    fs.readdirSync(path.join(__dirname, '../../../@pageout/darwin-arm64')),
    fs.readdirSync(path.join(__dirname, '../../../@pageout/darwin-x64')),
    fs.readdirSync(path.join(__dirname, '../../../@pageout/linux-arm64-gnu')),
    fs.readdirSync(path.join(__dirname, '../../../@pageout/linux-arm64-musl')),
    fs.readdirSync(path.join(__dirname, '../../../@pageout/linux-x64-gnu')),
    fs.readdirSync(path.join(__dirname, '../../../@pageout/linux-x64-musl')),
  ].flat()
}

/** A place where the addon was looked for, and what was there. */
export interface Look extends Found {
  readonly outcome: 'loaded' | 'missing' | 'refused'
  /** What the system or Node said, where it was refused. */
  readonly message?: string
  /** The file; nothing where there is none. */
  readonly file: () => string | undefined
}

/** What came of the search. */
export interface Search {
  readonly version: string
  /** The Nodes that are supported. */
  readonly nodes: string
  readonly platform: string
  readonly looks: readonly Look[]
  /** @internal The types of the addon are not published. */
  readonly addon?: typeof Addon
  /** Why there is none. */
  readonly error?: unknown
}

/** Looks for the addon. It does not throw. */
export function search(): Search {
  const looks: Look[] = []
  const isNodeSupported = isSupported(process.versions.node)
  const platform = isNodeSupported ? platformOf(process) : `${process.platform}-${process.arch}`
  const here = { version: VERSION, nodes: NODES, platform, looks }
  try {
    if (!isNodeSupported) throw failures.oldNode(VERSION, NODES)
    return { ...here, addon: load(platform, looks) }
  } catch (error) {
    return { ...here, error }
  }
}

/** A place where the addon may be, and how it is loaded from there. */
interface Candidate extends Found {
  readonly load: () => unknown
  readonly file: () => string
}

function load(platform: string, looks: Look[]): typeof Addon {
  const at: Place = { version: VERSION, platform, packageName: `@pageout/${platform}`, file: fileOfThis() }
  const named = process.env.PAGEOUT_ADDON
  if (named) return loadNamed(at, named, looks)
  if (!PLATFORMS.includes(platform)) throw failures.notSupported(at, PLATFORMS)
  let missing: unknown
  for (const candidate of candidates(at)) {
    const { addon, error } = attempt(candidate, looks)
    if (addon) return ofThisVersion(at, candidate, addon)
    if (!isMissing(error)) throw failures.notLoaded(at, candidate, error)
    if (candidate.origin === 'package') missing ??= error
  }
  throw failures.notInstalled(at, missing)
}

/** The file that the environment names, and no other. */
function loadNamed(at: Place, named: string, looks: Look[]): typeof Addon {
  const name = builtin('path').resolve(named)
  const candidate = ofFile('environment', name)
  if (!name.endsWith('.node')) throw failures.wrongName(at, name)
  const { addon, error } = attempt(candidate, looks)
  if (addon) return ofThisVersion(at, candidate, addon)
  throw isMissing(error) ? failures.noSuchFile(at, name, error) : failures.notLoaded(at, candidate, error)
}

/** Where the addon may be, in the order in which it is looked for. */
function* candidates(at: Place): Generator<Candidate> {
  const { join } = builtin('path')
  const name = `pageout.${at.platform}.node`
  if (at.file !== undefined) {
    yield ofFile('clone', join(at.file, '../../..', name))
    yield ofPackage(at, at.file)
  }
  if (!failures.isBundle(at)) return
  for (const base of basesOfBundle(at.file)) {
    yield ofFile('bundle', join(base, '..', name))
    yield ofPackage(at, base)
    yield ofPackage(at, base, 'pageout/package.json')
  }
}

function ofFile(origin: Candidate['origin'], name: string): Candidate {
  return { origin, name, load: () => requireFrom(name)(name), file: () => requireFrom(name).resolve(name) }
}

/** The package of the platform as a file sees it, or as another package does that the file sees. */
function ofPackage({ packageName: name }: Place, from: string, through?: string): Candidate {
  const there = () => requireFrom(through === undefined ? from : requireFrom(from).resolve(through))
  return { origin: 'package', name, load: () => there()(name), file: () => there().resolve(name) }
}

/** The file of this module, or of the bundle that holds it. A bundle that is an ES module has no such name. */
function fileOfThis(): string | undefined {
  return typeof __filename === 'string' && builtin('path').isAbsolute(__filename) ? __filename : undefined
}

/** What sees the packages that a bundle was made of: the bundle, the main script, or a program that holds both in itself. */
function basesOfBundle(file: string | undefined): string[] {
  if (failures.isCompiled()) return [process.execPath]
  const url = entryUrl?.startsWith('file:') ? builtin('url').fileURLToPath(entryUrl) : undefined
  const files = [file, url, process.argv[1]].filter(path => path !== undefined && builtin('fs').existsSync(path))
  return files.length > 0 ? [...new Set(files as string[])] : [process.execPath]
}

function requireFrom(path: string): NodeJS.Require {
  return builtin('module').createRequire(path)
}

function ofThisVersion(at: Place, found: Found, addon: Partial<typeof Addon>): typeof Addon {
  const version = addon.version?.()
  if (version !== VERSION) throw failures.otherVersion(at, found, version)
  return addon as typeof Addon
}

/** Whether a version is one of the supported ones. */
function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return [...NODES.matchAll(/(\^|>=)(\d+)\.(\d+)/g)].some(([, sign, majorMin, minorMin]) => {
    const isLater = sign === '>=' && major > Number(majorMin)
    return isLater || (major === Number(majorMin) && minor >= Number(minorMin))
  })
}

/** What loading gives or throws, which is added to `looks`. */
function attempt(candidate: Candidate, looks: Look[]): { addon?: Partial<typeof Addon>; error?: unknown } {
  const { origin, name } = candidate
  const look = { origin, name, file: () => orUndefined(candidate.file) }
  try {
    const addon = candidate.load() as Partial<typeof Addon>
    looks.push({ ...look, outcome: 'loaded' })
    return { addon }
  } catch (error) {
    const { message } = error as Error
    looks.push(isMissing(error) ? { ...look, outcome: 'missing' } : { ...look, outcome: 'refused', message })
    return { error }
  }
}

/** Whether there was nothing to load. A path is that of a package which is there, and lacks the file that it names. */
function isMissing(error: unknown): boolean {
  const { code, path } = error as NodeJS.ErrnoException
  return code === 'MODULE_NOT_FOUND' && path === undefined
}
