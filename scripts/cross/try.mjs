// Installs the packages from a registry on loopback, and runs them, under every Node that can run here: on glibc, on an old
// glibc, on musl, and for ARM by an emulator. What cannot be run says why. Ends with the table of docs/platforms.md.
//   scripts/cross/try [TARGET...]
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { consume } from '../consume.mjs'
import { nodeOf, VERSIONS } from '../nodes.mjs'
import { packAll, packageOf } from '../packages.mjs'
import { compileIfMissing } from '../prepare.mjs'
import { inspect } from './binary.mjs'
import { serve } from './registry.mjs'
import { Missing, muslRoot, onArm, onOldGlibc } from './runtimes.mjs'
import { ARTIFACTS, TARGETS, targetsNamed } from './targets.mjs'

/** Enters a root folder, with the devices and processes of this machine in it, and runs a command in one of its folders. */
const ENTER =
  'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && cd=$1 && shift && exec unshare --root="$0" --wd="$cd" "$@"'

const work = mkdtempSync(join(tmpdir(), 'pageout-try-'))

async function glibcPlace(version) {
  const { node } = nodeOf(version)
  return { folder: work, node: (_, args) => [node, ...args] }
}

async function oldGlibcPlace(version) {
  const command = await onOldGlibc(nodeOf(version).node)
  return { folder: work, node: (_, args) => [...command, ...args] }
}

async function armPlace(version) {
  const command = await onArm(version)
  return { folder: work, node: (_, args) => [...command, ...args] }
}

async function muslPlace(cpu, version) {
  const { root, node, npm } = await muslRoot(cpu, version)
  const enter = ['unshare', '--mount', 'bash', '-c', ENTER, root]
  const inside = folder => `/${relative(root, folder)}`
  return { folder: join(root, 'tmp'), npm, node: (cwd, args) => [...enter, inside(cwd), ...node, ...args] }
}

/** Where a target can be tried, by what is said of it. */
const PLACES = {
  'linux-x64-gnu': [
    ...VERSIONS.map(version => [version, '', () => glibcPlace(version)]),
    ['22', ' on glibc 2.31', () => oldGlibcPlace('22')],
  ],
  'linux-arm64-gnu': VERSIONS.map(version => [version, ' emulated', () => armPlace(version)]),
  'linux-x64-musl': VERSIONS.map(version => [version, '', () => muslPlace('x64', version)]),
  'linux-arm64-musl': VERSIONS.map(version => [version, ' emulated', () => muslPlace('arm64', version)]),
}

/** The binary for the same processor and the other C library. */
function foreignTo({ os, cpu, libc }) {
  const other = TARGETS.find(target => target.os === os && target.cpu === cpu && target.libc !== libc)
  return join(ARTIFACTS, other.file)
}

/** Tries one target in one place. */
async function attempt(target, [major, how, open], registry) {
  const where = `${target.suffix}, Node ${major}${how}`
  try {
    const place = { suffix: target.suffix, ...(await open()) }
    const { version, packages, files, bytes, smoke } = await consume(place, registry, foreignTo(target))
    console.log(`${where}: ${packages} packages, ${files} files, ${bytes} bytes; smoke checks: ${smoke}`)
    return { where: `${version.slice(1)}${how}`, bytes }
  } catch (error) {
    if (!(error instanceof Missing)) throw new Error(`${where} failed`, { cause: error })
    console.log(`${where}: skipped: ${error.message}`)
    return undefined
  }
}

/** Tries one target everywhere, and gives its row of the table. */
async function tryTarget(target, packed, registry) {
  const path = join(ARTIFACTS, target.file)
  if (!existsSync(path)) throw new Error(`there is no ${path}: scripts/cross/build ${target.triple}`)
  const places = isHostRight() ? (PLACES[target.suffix] ?? []) : []
  if (places.length === 0) console.log(`${target.suffix}: skipped: nothing here runs it`)
  const tried = []
  for (const place of places) tried.push(await attempt(target, place, registry))
  const good = tried.filter(Boolean)
  const { byteLength, floor } = inspect(path, target)
  const { size } = packed.find(({ name }) => name === packageOf(target.suffix))
  const where = good.length > 0 ? `Node ${good.map(({ where }) => where).join(', ')}` : 'no'
  return [target.triple, byteLength, size, good[0]?.bytes ?? '', floor, where]
}

const isHostRight = () => process.platform === 'linux' && process.arch === 'x64'

compileIfMissing()
let registry
try {
  const { folder, packed } = await packAll(ARTIFACTS, work)
  registry = await serve(folder)
  const rows = []
  for (const target of targetsNamed(process.argv.slice(2))) rows.push(await tryTarget(target, packed, registry.origin))
  console.log('\n| target | binary, bytes | packed | installed, with the root package | needs | tried here |')
  console.log('| --- | --- | --- | --- | --- | --- |')
  for (const row of rows) console.log(`| ${row.map(cell => cell.toLocaleString('en')).join(' | ')} |`)
} finally {
  registry?.close()
  rmSync(work, { recursive: true, force: true })
}
