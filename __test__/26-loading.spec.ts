/** What becomes of an import where the addon is missing, wrong or in trouble, and where many load it. */

import { execFileSync, spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
// @ts-expect-error: the scripts are JavaScript without declarations.
import { nodeOf } from '../scripts/nodes.mjs'
// @ts-expect-error: as above.
import { npmCommand } from '../scripts/prepare.mjs'
import { output, runChild } from './helpers/child.js'
import {
  ADDON,
  copyPackage,
  type Imported,
  importIn,
  installation,
  PLATFORM,
  PLATFORMS,
  ROOT,
} from './helpers/installation.js'

const text = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const manifest = JSON.parse(text('package.json')) as { version: string; engines: { node: string } }
const NODE = process.versions.node
const onLinux = process.platform === 'linux' ? test : test.skip

/** Lines that make a process believe that it runs elsewhere. */
function elsewhere(platform: string, arch: string, program = process.execPath): string {
  return Object.entries({ platform, arch, execPath: program })
    .map(([name, value]) => `Object.defineProperty(process, '${name}', { value: ${JSON.stringify(value)} })`)
    .join('\n')
}

/** A program of 64 bits that has one program header, which names the loader that the kernel starts it with. */
function program(folder: string, loader: string): string {
  const [bytes, path] = [Buffer.alloc(9000), join(folder, 'program')]
  bytes.write('\x7fELF\x02\x01\x01', 'latin1')
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeUInt16LE(1, 56)
  bytes.writeUInt32LE(3, 64)
  // As tools that change programs do, far behind the first page.
  bytes.writeBigUInt64LE(8000n, 64 + 8)
  bytes.writeBigUInt64LE(BigInt(loader.length + 1), 64 + 32)
  bytes.write(loader, 8000)
  writeFileSync(path, bytes)
  return path
}

/** Checks that an import failed as it should, and what its message says. */
function failed(t: ExecutionContext, seen: Imported, platform: string, says: readonly string[]): void {
  t.deepEqual([seen.name, seen.code, seen.platform], ['PageoutError', 'ERR_PAGEOUT_ADDON', platform])
  for (const part of [platform, NODE, ...says]) t.true(seen.message?.includes(part), `${part} in: ${seen.message}`)
  t.true(seen.message?.endsWith('run `npx pageout doctor`'), seen.message)
}

test('an installed package is imported', async t => {
  const folder = installation(t, { [PLATFORM]: ADDON })
  t.like(await importIn(folder), { byte: 7 })
})

for (const [platform, arch, named] of [
  ['win32', 'x64', 'win32-x64'],
  ['win32', 'arm64', 'win32-arm64'],
  ['linux', 'ia32', 'linux-ia32'],
  ['linux', 'arm', 'linux-arm'],
  ['freebsd', 'x64', 'freebsd-x64'],
  ['android', 'arm64', 'android-arm64'],
] as const) {
  test(`${platform} on ${arch} is refused by name, and nothing is tried`, async t => {
    const folder = installation(t, { [PLATFORM]: ADDON }, { [PLATFORM]: ADDON })
    const before = elsewhere(platform, arch, program(folder, '/lib/ld-linux-armhf.so.3'))
    const seen = await importIn(folder, { before })
    failed(t, seen, platform === 'linux' ? `${named}-gnu` : named, PLATFORMS)
    t.deepEqual([seen.tried, seen.packageName, seen.cause], [[], undefined, undefined])
  })
}

for (const platform of PLATFORMS) {
  test(`the package of ${platform} that is not installed is named, and how to install it`, async t => {
    const [os = '', cpu = '', libc] = platform.split('-')
    const folder = installation(t, {})
    const loader = libc === 'musl' ? '/lib/ld-musl-aarch64.so.1' : '/lib64/ld-linux-x86-64.so.2'
    const seen = await importIn(folder, { before: elsewhere(os, cpu, program(folder, loader)) })
    const forNpm = `--os=${os} --cpu=${cpu}${libc ? ` --libc=${{ gnu: 'glibc', musl: 'musl' }[libc]}` : ''}`
    failed(t, seen, platform, [`@pageout/${platform}`, '--omit=optional', '--no-optional', 'lock file', forNpm])
    t.deepEqual([seen.packageName, seen.cause?.code], [`@pageout/${platform}`, 'MODULE_NOT_FOUND'])
    t.deepEqual(seen.tried, [join(folder, `node_modules/pageout/pageout.${platform}.node`), `@pageout/${platform}`])
  })
}

/** ELF says at this place which processor a file is for; 40 is ARM of 32 bit. */
function ofAnotherProcessor(addon: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(addon)
  changed[18] = 40
  return changed
}

for (const [what, addon] of [
  ['is empty', ''],
  ['holds something else', 'no addon'],
  ['is cut off', ADDON.subarray(0, 100)],
  // The loader of musl does not look.
  ['is of another processor', PLATFORM.endsWith('-gnu') ? ofAnotherProcessor(ADDON) : 'no addon'],
  ['is gone', undefined],
] as const) {
  test(`an addon that ${what} is an error with its cause`, async t => {
    const seen = await importIn(installation(t, { [PLATFORM]: addon }))
    t.truthy(seen.cause?.message)
    t.is(seen.cause?.code, addon === undefined ? 'MODULE_NOT_FOUND' : 'ERR_DLOPEN_FAILED')
    // What follows is for those who make packages.
    const [reason = ''] = seen.cause?.message.split(/\n|\. Please verify/) ?? []
    failed(t, seen, PLATFORM, [`@pageout/${PLATFORM} does not load`, reason, 'Install pageout again'])
    t.notRegex(seen.message ?? '', /Please verify/)
    t.is(seen.packageName, `@pageout/${PLATFORM}`)
  })
}

const OTHER_VERSION = manifest.version.replaceAll(/\d/g, '9')

/** The addon, which says that it is of another version. */
function ofAnotherVersion(): Uint8Array {
  return Buffer.from(ADDON.toString('latin1').replaceAll(manifest.version, OTHER_VERSION), 'latin1')
}

test('an addon of another version is refused, and both versions are named', async t => {
  const seen = await importIn(installation(t, { [PLATFORM]: ofAnotherVersion() }))
  failed(t, seen, PLATFORM, [
    `pageout ${manifest.version} found @pageout/${PLATFORM} ${OTHER_VERSION}: the versions must match`,
    'Install pageout again',
  ])
  t.deepEqual([seen.packageName, seen.cause], [`@pageout/${PLATFORM}`, undefined])
})

test('an addon that was built beside package.json wins over the package', async t => {
  t.like(await importIn(installation(t, { [PLATFORM]: 'no addon' }, { [PLATFORM]: ADDON })), { byte: 7 })
})

test('an addon that was built beside package.json and does not load is an error, whatever is installed', async t => {
  const seen = await importIn(installation(t, { [PLATFORM]: ADDON }, { [PLATFORM]: 'no addon' }))
  failed(t, seen, PLATFORM, [`pageout.${PLATFORM}.node does not load`, 'npm run build', 'remove it'])
  t.is(seen.cause?.code, 'ERR_DLOPEN_FAILED')
})

test('an addon that was built beside package.json in another version is an error', async t => {
  const seen = await importIn(installation(t, { [PLATFORM]: ADDON }, { [PLATFORM]: ofAnotherVersion() }))
  failed(t, seen, PLATFORM, [`pageout.${PLATFORM}.node ${OTHER_VERSION}: the versions must match`, 'npm run build'])
})

const onGlibc = PLATFORM.endsWith('-gnu') ? test : test.skip

onGlibc('an addon for another C library is an error that says so', async t => {
  const ofMusl = Buffer.from(ADDON.toString('latin1').replaceAll('libc.so.6', 'libc.so\0\0'), 'latin1')
  const seen = await importIn(installation(t, { [PLATFORM]: ofMusl }))
  failed(t, seen, PLATFORM, ['does not load', 'built for another C library', 'Alpine'])
})

/** Sets the environment of the program that imports. */
const withAddon = (path: string) => `process.env.PAGEOUT_ADDON = ${JSON.stringify(path)}`

test('PAGEOUT_ADDON names the addon, whatever is installed', async t => {
  const folder = installation(t, { [PLATFORM]: 'no addon' }, { [PLATFORM]: 'no addon' })
  const path = join(folder, 'named.node')
  writeFileSync(path, ADDON)
  t.like(await importIn(folder, { before: withAddon(path) }), { byte: 7, tried: [path] })
  t.like(await importIn(folder, { before: withAddon('named.node') }), { byte: 7 }, 'from the current directory')
})

for (const [what, name, addon, says] of [
  ['does not exist', 'named.node', undefined, ['which does not exist']],
  ['does not load', 'named.node', 'no addon', ['does not load', 'damaged']],
  ['has another version', 'named.node', ofAnotherVersion(), [`${OTHER_VERSION}: the versions must match`]],
  ['is not named as one', 'named.so', ADDON, ['ends in .node']],
] as const) {
  test(`an addon of PAGEOUT_ADDON that ${what} is an error, and no other is tried`, async t => {
    const folder = installation(t, { [PLATFORM]: ADDON }, { [PLATFORM]: ADDON })
    const path = join(folder, name)
    if (addon !== undefined) writeFileSync(path, addon)
    const seen = await importIn(folder, { before: withAddon(path) })
    failed(t, seen, PLATFORM, [path, 'PAGEOUT_ADDON', ...says])
    t.deepEqual(seen.tried, name.endsWith('.node') ? [path] : [])
  })
}

test('in an isolated node_modules the message is for pnpm', async t => {
  const folder = installation(t, {})
  const modules = join(folder, 'node_modules')
  const real = join(modules, '.pnpm', 'pageout@0.1.0', 'node_modules', 'pageout')
  mkdirSync(dirname(real), { recursive: true })
  renameSync(join(modules, 'pageout'), real)
  symlinkSync(real, join(modules, 'pageout'))
  failed(t, await importIn(folder), PLATFORM, ['is not installed', 'supportedArchitectures', 'pnpm-workspace.yaml'])
})

/** Makes one file of the package, as bundlers do, and asks it for the addon. */
function bundle(folder: string): string {
  const ofAddon = ['load', 'search', 'failures', 'entry', 'platform'].map(name => `/addon/${name}.js`)
  const modules = [...ofAddon, '/model/errors.js', '/runtime/signal.js', '/runtime/captured.js', '/runtime/node.js']
  const bodies = modules.map(name => {
    return `${JSON.stringify(name)}: (exports, require) => {\n${text(join('dist', name))}\n},\n`
  })
  const program = `
    const { posix } = require('node:path')
    const modules = {${bodies.join('')}}
    const loaded = {}
    const load = name => {
      const requireThere = other => (other.startsWith('.') ? load(posix.join(name, '..', other)) : require(other))
      if (!loaded[name]) modules[name]((loaded[name] = {}), requireThere)
      return loaded[name]
    }
    try {
      console.log(load('/addon/load.js').native.version())
    } catch (error) {
      console.log(error.code, error.message)
    }`
  const path = join(folder, 'bundle.cjs')
  writeFileSync(path, program)
  return path
}

test('a bundle finds the addon beside it, in its node_modules and where pageout sees it, or says what to do', async t => {
  const folder = installation(t, { [PLATFORM]: ADDON })
  const path = bundle(folder)
  const run = () => output(process.execPath, [path], { cwd: folder })
  t.is((await run()).trim(), manifest.version, 'hoisted')
  const scope = join(folder, 'node_modules', '@pageout')
  renameSync(scope, join(folder, 'away'))
  const said = await run()
  for (const part of [
    'ERR_PAGEOUT_ADDON',
    'runs from a bundle',
    path,
    '--external:pageout',
    'externals',
    'serverExternal',
  ]) {
    t.true(said.includes(part), `${part} in: ${said}`)
  }
  const nested = join(folder, 'node_modules', 'pageout', 'node_modules')
  mkdirSync(nested)
  renameSync(join(folder, 'away'), join(nested, '@pageout'))
  t.is((await run()).trim(), manifest.version, 'isolated')
  rmSync(join(folder, 'node_modules'), { recursive: true })
  writeFileSync(join(folder, `pageout.${PLATFORM}.node`), ADDON)
  t.is((await run()).trim(), manifest.version, 'beside it')
})

test('a process that may not load addons is told so', async t => {
  const seen = await importIn(installation(t, { [PLATFORM]: ADDON }), { flags: ['--no-addons'] })
  failed(t, seen, PLATFORM, [`@pageout/${PLATFORM} does not load`, 'loading addons is disabled'])
  t.is(seen.cause?.code, 'ERR_DLOPEN_DISABLED')
})

const OTHER_LIBC = PLATFORM.endsWith('-musl') ? PLATFORM.replace('musl', 'gnu') : PLATFORM.replace('gnu', 'musl')

onLinux('with the packages of both C libraries installed, that of this process is loaded', async t => {
  const folder = installation(t, { [PLATFORM]: ADDON, [OTHER_LIBC]: 'no addon' })
  t.like(await importIn(folder), { byte: 7 })
})

for (const [libc, loader, report] of [
  ['musl', `/lib/ld-musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`, '{ glibcVersionRuntime: "2.36" }'],
  ['gnu', process.arch === 'arm64' ? '/lib/ld-linux-aarch64.so.1' : '/lib64/ld-linux-x86-64.so.2', '{}'],
  ['gnu', '/nix/store/0c0h-glibc-2.40/lib/ld-linux-x86-64.so.2', '{}'],
  // Started by the loader itself, whose file names none.
  ['musl', 'libc.musl', '{}'],
  ['gnu', 'libc.so.6', '{ glibcVersionRuntime: "2.36" }'],
  ['musl', undefined, '{}'],
  ['gnu', undefined, '{ glibcVersionRuntime: "2.36" }'],
] as const) {
  onLinux(`a program that names ${loader ?? 'nothing'} and a report of ${report} mean ${libc}`, async t => {
    const platform = `linux-${process.arch}-${libc}`
    const folder = installation(t, { [PLATFORM]: 'no addon', [OTHER_LIBC]: 'no addon' })
    const path = loader === undefined ? join(folder, 'gone') : program(folder, loader)
    // The network is not asked, and what was set before is as it was.
    const before = `
      ${elsewhere('linux', process.arch, path)}
      left = [process.report.excludeNetwork]
      process.report.getReport = () => {
        left.push(process.report.excludeNetwork)
        queueMicrotask(() => left.push(process.report.excludeNetwork))
        return { header: ${report} }
      }`
    const seen = await importIn(folder, { before })
    failed(t, seen, platform, [`@pageout/${platform} does not load`, 'C library'])
    const asked = loader === undefined || loader.startsWith('libc.')
    t.deepEqual(seen.left, asked ? [false, true, false] : [false])
  })
}

for (const [what, spoil] of [
  ['holds nothing', () => Buffer.alloc(0)],
  ['ends in its header', (bytes: Buffer) => bytes.subarray(0, 40)],
  ['ends in the table of what it has', (bytes: Buffer) => bytes.subarray(0, 100)],
  ['has that table behind its end', (bytes: Buffer) => bytes.fill(0xff, 32, 40)],
  ['is of 32 bits', (bytes: Buffer) => bytes.fill(1, 4, 5)],
  ['names no loader', (bytes: Buffer) => bytes.fill(1, 64, 65)],
  ['is no program', (bytes: Buffer) => bytes.fill('x')],
] as const) {
  onLinux(`where the file of the program ${what}, the report is asked`, async t => {
    const folder = installation(t, { [OTHER_LIBC]: 'no addon' })
    const path = program(folder, PLATFORM.endsWith('-gnu') ? '/lib/ld-linux-x86-64.so.2' : '/lib/ld-musl-x86_64.so.1')
    writeFileSync(path, spoil(readFileSync(path)))
    const version = OTHER_LIBC.endsWith('-gnu') ? '"2.36"' : 'undefined'
    const before = `
      ${elsewhere('linux', process.arch, path)}
      process.report.getReport = () => ({ header: { glibcVersionRuntime: ${version} } })`
    failed(t, await importIn(folder, { before }), OTHER_LIBC, [`@pageout/${OTHER_LIBC} does not load`])
  })
}

onLinux('a report is had without a switch for the network', async t => {
  const folder = installation(t, { [PLATFORM]: ADDON })
  const before = `
    ${elsewhere('linux', process.arch, join(folder, 'gone'))}
    const { getReport } = process.report
    Object.defineProperty(process, 'report', { value: { getReport } })`
  t.like(await importIn(folder, { before }), { byte: 7 })
})

onLinux(
  'an import does not wait for a thread that is in a call of the system, which may wait for the import',
  async t => {
    const folder = installation(t, { [PLATFORM]: ADDON })
    const before = `
    import { once } from 'node:events'
    import { existsSync, writeFileSync } from 'node:fs'
    import { setTimeout } from 'node:timers/promises'
    import { Worker } from 'node:worker_threads'
    const wait = 'touch begun; for try in $(seq 300); do [ -e imported ] && exit 0; sleep 0.1; done; exit 1'
    const program = "const { status } = require('node:child_process').spawnSync('sh', ['-c', process.argv[2]]);"
    const tell = "require('node:worker_threads').parentPort.postMessage(status)"
    const worker = new Worker(program + tell, { eval: true, execArgv: [], argv: [wait] })
    while (!existsSync('begun')) await setTimeout(1)
    await import('pageout')
    writeFileSync('imported', '')
    left = (await once(worker, 'message'))[0]`
    t.like(await importIn(folder, { before }), { byte: 7, left: 0 })
  },
)

/** A Node that is too old, or why there is none. */
function oldNode(version: string): { node?: string; why?: string } {
  try {
    return nodeOf(version) as { node: string }
  } catch (error) {
    return { why: (error as Error).message }
  }
}

for (const version of ['18.20.8', '20.15.1', '21.7.3', '22.2.0']) {
  const { node, why } = oldNode(version)
  const title = `Node ${version} is told which Node is needed`
  if (node === undefined) {
    test.skip(`${title}: ${why}`, t => t.fail())
    continue
  }
  test(title, async t => {
    const seen = await importIn(installation(t, { [PLATFORM]: ADDON }), { node })
    t.deepEqual(
      [seen.name, seen.code, seen.platform],
      ['PageoutError', 'ERR_PAGEOUT_ADDON', `${process.platform}-${process.arch}`],
    )
    const needed = `pageout ${manifest.version} needs Node ${manifest.engines.node}, and this is Node ${version}`
    t.true(seen.message?.startsWith(needed), seen.message)
    t.deepEqual(seen.tried, [])
  })
}

const isRoot = process.getuid?.() === 0
/** Modes mean nothing to root, so that root needs a mount, which containers may refuse. */
const canProtect = !isRoot || spawnSync('unshare', ['--mount', 'true']).status === 0
const protect = canProtect ? onLinux : test.skip

protect('a package in a folder that cannot be written to is imported', async t => {
  const folder = installation(t, { [PLATFORM]: ADDON })
  const before = `
    import { writeFileSync } from 'node:fs'
    try {
      writeFileSync('node_modules/pageout/new', '')
    } catch (error) {
      left = error.code
    }`
  if (isRoot) {
    const mount = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"'
    const seen = await importIn(folder, { before, under: ['unshare', '--mount', 'sh', '-c', mount, 'sh'] })
    t.like(seen, { byte: 7, left: 'EROFS' })
  } else {
    execFileSync('chmod', ['-R', 'a-w', folder])
    t.teardown(() => execFileSync('chmod', ['-R', 'u+w', folder]))
    t.like(await importIn(folder, { before }), { byte: 7, left: 'EACCES' })
  }
})

const canMount = isRoot && canProtect ? onLinux : test.skip

canMount('an addon on a mount with noexec is an error that names the mount', async t => {
  const folder = installation(t, { [PLATFORM]: ADDON })
  const mount = 'mount --bind . . && mount -o remount,noexec,bind . && cd "$PWD" && exec "$@"'
  const seen = await importIn(folder, { under: ['unshare', '--mount', 'sh', '-c', mount, 'sh'] })
  failed(t, seen, PLATFORM, ['does not load', `is on ${folder}, which is mounted noexec`, 'PAGEOUT_ADDON'])
  t.is(seen.cause?.code, 'ERR_DLOPEN_FAILED')
})

test('two copies of the package that load the very same addon share the pager, and each has its own handles', async t => {
  const folder = installation(t, { [PLATFORM]: ADDON })
  copyPackage(join(folder, 'node_modules', 'other', 'node_modules', 'pageout'))
  const before = `
    import { Handle, pageout, stats, take } from 'pageout'
    import * as other from './node_modules/other/node_modules/pageout/dist/index.js'
    const [mine, others] = [pageout(Uint8Array.of(1)), other.pageout(Uint8Array.of(2))]
    const codes = [() => take(others), () => other.take(mine)].map(call => {
      try {
        call()
      } catch (error) {
        return error.code
      }
    })
    const handles = [stats().handles, other.stats().handles]
    left = { codes, handles, bytes: [...take(Handle.adopt(others.move())), ...take(mine)] }`
  const { left } = await importIn(folder, { before })
  const codes = ['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_TYPE']
  t.deepEqual(left, { codes, handles: [2, 2], bytes: [2, 1] })
})

const ENTRY = join(ROOT, 'dist', 'index.js')

test('evaluated in contexts of their own, copies share the pager, and results are of the class there', async t => {
  const program = join(ROOT, '__test__', 'helpers', 'children', 'contexts.mjs')
  const seen = JSON.parse(await output(process.execPath, [program, ENTRY]))
  t.deepEqual(seen, {
    own: { left: [0], values: [1.5, 2.5], isOwn: true },
    other: { left: [0], values: [1.5, 2.5], isOwn: true },
    mixed: { left: [0, 0], values: [1.5, 2.5, 1.5, 2.5], isOwn: true },
    target: [true, 2.5, 2.5],
    sharesThePager: true,
    refused: 'ERR_INVALID_ARG_TYPE',
    moved: [1.5, 2.5],
    wrong: 'ERR_INVALID_ARG_TYPE',
    bare: 'ReferenceError: process is not defined',
  })
})

test('many threads load the package at once and over and over, before the first thread does', async t => {
  const [threads, rounds] = [32, 3]
  const seen = await runChild('load-in-workers.mjs', [pathToFileURL(ENTRY).href, threads, rounds])
  const last = Array.from({ length: threads }, (_, number) => number)
  t.deepEqual(seen, { right: threads * rounds, last, handles: 0, movingHandles: 0 })
})

test('npm holds what the build tool makes of package.json', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'pageout-npm-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'package.json'), text('package.json'))
  const napi = join(dirname(createRequire(import.meta.url).resolve('@napi-rs/cli/package.json')), 'dist', 'cli.js')
  await output(process.execPath, [napi, 'create-npm-dirs', '--npm-dir', 'npm'], { cwd: folder })
  const filesOf = (npm: string) =>
    readdirSync(npm, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && !entry.name.endsWith('.node'))
      .map(entry => join(entry.parentPath, entry.name))
      .map(path => [relative(npm, path), readFileSync(path, 'utf8')])
      .sort()
  const made = filesOf(join(folder, 'npm'))
  t.is(made.length, 2 * PLATFORMS.length)
  // The tool knows no name without one of ours in it.
  const named = made.map(([path, content]) => [
    path,
    content?.replaceAll(/\bpageout-(?=(linux|darwin)-)/g, '@pageout/'),
  ])
  t.deepEqual(filesOf(join(ROOT, 'npm')), named)
  for (const platform of PLATFORMS) {
    const { engines } = JSON.parse(text(`npm/${platform}/package.json`)) as typeof manifest
    t.deepEqual(engines, manifest.engines, platform)
  }
})

test('the platforms of the loader are those that are published, and their packages are written out for tools', t => {
  const written = [...text('dist/addon/search.js').matchAll(/join\(__dirname, '\.\.\/\.\.\/\.\.\/([^']+)'\)/g)].map(
    ([, name]) => name,
  )
  t.deepEqual(
    written.sort(),
    PLATFORMS.map(platform => `@pageout/${platform}`),
  )
})

test('the loader says the version and the Node of package.json', t => {
  const constants = [...text('src/addon/search.ts').matchAll(/^const (VERSION|NODES) = '(.*)'$/gm)].map(
    ([, , value]) => value,
  )
  t.deepEqual(constants, [manifest.version, manifest.engines.node])
})

test('what is published runs nothing when it is installed, and holds what it needs', async t => {
  const [command = 'npm', ...prefix] = npmCommand() as string[]
  const packed = await output(command, [...prefix, 'pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT })
  const [{ files }] = JSON.parse(packed) as [{ files: { path: string }[] }]
  const others = files.map(({ path }) => path).filter(path => !path.startsWith('dist/'))
  t.deepEqual(others.sort(), ['CHANGELOG.md', 'LICENSE', 'LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json'])
  for (const path of ['package.json', ...PLATFORMS.map(platform => `npm/${platform}/package.json`)]) {
    const { scripts = {}, gypfile } = JSON.parse(text(path)) as { scripts?: object; gypfile?: boolean }
    const hooks = Object.keys(scripts).filter(name => /^(pre|post)?(install|prepare)$|^prepublish$/.test(name))
    t.deepEqual([hooks, gypfile], [[], undefined], path)
  }
})

test('the types of the entry points need none of the addon', t => {
  const reached = new Set(['index', 'promises', 'doctor'].flatMap(entry => [`${entry}.d.mts`, `${entry}.d.ts`]))
  for (const name of reached) {
    for (const [, from = ''] of text(join('dist', name)).matchAll(/(?:from|import) '([^']+)'/g)) {
      t.regex(from, /^\.{1,2}\/[\w/-]+\.m?js$/, name)
      const path = join(dirname(name), from)
      t.false(path.startsWith('..'), `${name} leads to ${path}`)
      reached.add(path.replace(/js$/, 'ts').replace(/(?=m?ts$)/, 'd.'))
    }
  }
  t.true(reached.has(join('addon', 'load.d.ts')) && reached.has(join('model', 'handle.d.ts')))
})
