// Installs the packages from a registry on loopback, and runs them, under every Node that can run here: on glibc, on an old
// glibc, on musl, and for ARM by an emulator. What cannot be run says why. Ends with the table of docs/platforms.md.
//   scripts/cross/try [TARGET...]
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { consume } from '../consume.mjs'
import { nodeOf, VERSIONS } from '../nodes.mjs'
import { layOut, packAll } from '../packages.mjs'
import { compileIfMissing } from '../prepare.mjs'
import { serve } from '../registry.mjs'
import { inspect } from './binary.mjs'
import { Missing, muslRoot, onArm, onOldGlibc } from './runtimes.mjs'
import { ARTIFACTS, targetsNamed } from './targets.mjs'

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

/** Where a target can be tried, by name. */
const PLACES = {
  'linux-x64-gnu': [
    ...VERSIONS.map(version => [`Node ${version}`, () => glibcPlace(version)]),
    ['Node 22 on glibc 2.31', () => oldGlibcPlace('22')],
  ],
  'linux-arm64-gnu': VERSIONS.map(version => [`Node ${version}, emulated`, () => armPlace(version)]),
  'linux-x64-musl': VERSIONS.map(version => [`Node ${version}`, () => muslPlace('x64', version)]),
  'linux-arm64-musl': VERSIONS.map(version => [`Node ${version}, emulated`, () => muslPlace('arm64', version)]),
}

/** Tries one target in one place. */
async function attempt({ suffix }, name, open, registry) {
  try {
    const place = { name, suffix, ...(await open()) }
    const { packages, files, bytes, smoke } = await consume(place, registry)
    console.log(`${suffix}, ${name}: ${packages} packages, ${files} files, ${bytes} bytes; smoke checks: ${smoke}`)
    return { isGood: true, name, bytes }
  } catch (error) {
    const isSkipped = error instanceof Missing
    console.log(`${suffix}, ${name}: ${isSkipped ? 'skipped' : 'failed'}: ${isSkipped ? error.message : error.stack}`)
    return { isFailed: !isSkipped, name, reason: error.message }
  }
}

/** Tries one target everywhere. */
async function tryTarget(target, registry) {
  const isForHere = process.platform === 'linux' && process.arch === 'x64'
  const places = isForHere ? (PLACES[target.suffix] ?? []) : []
  if (places.length === 0) console.log(`${target.suffix}: skipped: nothing here runs it`)
  const tried = []
  for (const [name, open] of places) tried.push(await attempt(target, name, open, registry))
  return tried
}

compileIfMissing()
let registry
let isFailed = false
try {
  const [laidOut, tarballs] = ['laid-out', 'tarballs'].map(name => join(work, name))
  for (const folder of [laidOut, tarballs]) mkdirSync(folder)
  layOut(laidOut, ARTIFACTS)
  const packed = await packAll(laidOut, tarballs)
  registry = await serve(tarballs)
  const rows = []
  for (const target of targetsNamed(process.argv.slice(2))) {
    const path = join(ARTIFACTS, target.file)
    if (!existsSync(path)) throw new Error(`there is no ${path}: scripts/cross/build ${target.triple}`)
    const { byteLength, floor } = inspect(path, target)
    const { size } = packed.find(({ name }) => name === `pageout-${target.suffix}`)
    const tried = await tryTarget(target, registry.origin)
    isFailed ||= tried.some(one => one.isFailed)
    const good = tried.filter(({ isGood }) => isGood)
    const where = good.map(({ name }) => name).join(', ') || 'not run here'
    rows.push([target.triple, byteLength, size, good[0]?.bytes ?? '', floor, where])
  }
  console.log('\n| target | binary, bytes | packed | installed with the root package | asks for | run here |')
  console.log('| --- | --- | --- | --- | --- | --- |')
  for (const row of rows) console.log(`| ${row.map(cell => cell.toLocaleString('en')).join(' | ')} |`)
} finally {
  registry?.close()
  rmSync(work, { recursive: true, force: true })
}
process.exitCode = isFailed ? 1 : 0
