/** Folders as an installation leaves them, and programs in them that import the package. */

import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
// @ts-expect-error: the scripts are JavaScript without declarations.
import { platformHere } from '../../scripts/prepare.mjs'
import { output } from './child.js'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** This platform. */
export const PLATFORM = platformHere() as string
/** Its addon. */
export const ADDON = readFileSync(join(ROOT, `pageout.${PLATFORM}.node`))
/** All platforms that are published. */
export const PLATFORMS = readdirSync(join(ROOT, 'npm')).sort()

/** Addons by platform: a file, or a package that lacks it. */
type Addons = Partial<Record<string, Uint8Array | string | undefined>>

/** Installs the package and those of some platforms in a new folder, as npm would, and gives that folder. */
export function installation(t: ExecutionContext, addons: Addons, builtBeside: Addons = {}): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'pageout-installed-')))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const modules = join(folder, 'node_modules')
  copyPackage(join(modules, 'pageout'), builtBeside)
  for (const [platform, addon] of Object.entries(addons)) {
    const at = join(modules, `@pageout/${platform}`)
    mkdirSync(at, { recursive: true })
    cpSync(join(ROOT, 'npm', platform, 'package.json'), join(at, 'package.json'))
    if (addon !== undefined) writeFileSync(join(at, `pageout.${platform}.node`), addon)
  }
  return folder
}

/** Copies what is published of the package itself. */
export function copyPackage(into: string, builtBeside: Addons = {}): void {
  mkdirSync(into, { recursive: true })
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] }
  for (const name of ['package.json', ...files]) cpSync(join(ROOT, name), join(into, name), { recursive: true })
  for (const [platform, addon] of Object.entries(builtBeside)) {
    if (addon !== undefined) writeFileSync(join(into, `pageout.${platform}.node`), addon)
  }
}

/** What became of an import: the byte of a round trip, or what was thrown. */
export interface Imported {
  readonly byte?: number
  readonly name?: string
  readonly code?: string
  readonly message?: string
  readonly platform?: string
  readonly packageName?: string
  readonly cause?: { readonly code?: string; readonly message: string }
  /** The addons that were required or resolved. */
  readonly tried: readonly string[]
  /** What the lines before the import left in `left`. */
  readonly left?: unknown
}

/** How a program is run. */
interface Run {
  /** Lines that come before the import. */
  readonly before?: string
  readonly node?: string
  readonly flags?: readonly string[]
  /** A command that is put before the program. */
  readonly under?: readonly string[]
}

/** Imports the package in a process of its own. */
export async function importIn(
  folder: string,
  { before = '', node = process.execPath, flags = [], under = [] }: Run = {},
) {
  const script = `
    import Module from 'node:module'
    let left
    ${before}
    const tried = []
    const resolve = Module._resolveFilename
    Module._resolveFilename = (...args) => {
      if (args[0].endsWith('.node') || args[0].startsWith('@pageout/')) tried.push(args[0])
      return resolve(...args)
    }
    const fieldsOf = ({ name, code, message, platform, packageName }) => ({ name, code, message, platform, packageName })
    const seen = await import('pageout').then(
      ({ pageout, take }) => ({ byte: take(pageout(Uint8Array.of(7)))[0] }),
      error => ({ ...fieldsOf(error), cause: error.cause && fieldsOf(error.cause) }),
    )
    console.log(JSON.stringify({ ...seen, tried, left }))`
  writeFileSync(join(folder, 'import.mjs'), script)
  const [command = node, ...args] = [...under, node, ...flags, 'import.mjs']
  return JSON.parse(await output(command, args, { cwd: folder })) as Imported
}
