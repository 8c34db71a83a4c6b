// Reads binaries of Linux and macOS with LLVM's tools, which come with the compiler (rustup component add llvm-tools), and says
// what is wrong with one.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { ROOT } from '../prepare.mjs'
import { FLOOR } from './targets.mjs'

/** The largest of the six has 1.9 MB, of which the cipher is 0.45; much more is a mistake: symbols that were not stripped, a library. */
const BYTES_MAX = 2_200_000
/** What Node looks for. */
const ENTRY = 'napi_register_module_v1'
/** As LLVM calls them, in files of Linux and of macOS. */
const CPUS = { x64: /^(x86_64|X86_64)$/, arm64: /^(aarch64|ARM64)$/ }
/** The libraries of a plain system; the unwinder is linked in, since Alpine has no libgcc. */
const LIBRARIES = {
  gnu: /^(lib(c|m)\.so\.6|libdl\.so\.2|libpthread\.so\.0|ld-linux-(x86-64|aarch64)\.so\.\d)$/,
  musl: /^libc\.so$/,
  darwin: /^\/usr\/lib\/libSystem\.B\.dylib$/,
}
/** Homes of users, as Linux and macOS name them, and where cargo keeps sources. */
const HOMES = /\/(?:root|home|Users|\.cargo)\//

let tools
/** The output of one of LLVM's tools. */
function llvm(tool, ...args) {
  tools ??= `${run('rustc', '--print', 'target-libdir').trim()}/../bin`
  return run(`${tools}/${tool}`, ...args)
}

function run(command, ...args) {
  const { stdout, stderr, status, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 26 })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr}`)
  return stdout
}

const byVersion = (left, right) => left.localeCompare(right, 'en', { numeric: true })

/**
 * What a binary is, and everything that is wrong with it.
 *
 * @param {string} path
 * @param {import('./targets.mjs').Target} target
 */
export function inspect(path, target) {
  const bytes = readFileSync(path)
  const { cpu, floor, needed, exported, problems } = target.libc ? readElf(path, target.libc) : readMachO(path, bytes)
  const check = (isRight, problem) => isRight || problems.push(problem)
  check(CPUS[target.cpu].test(cpu), `is for ${cpu}, not for ${target.cpu}`)
  check(bytes.length <= BYTES_MAX, `has ${bytes.length} bytes, more than ${BYTES_MAX}`)
  check(exported.includes(ENTRY), `does not export ${ENTRY}`)
  for (const name of needed) check(LIBRARIES[target.libc ?? 'darwin'].test(name), `needs ${name}`)
  const own = [ROOT, `${homedir()}/`].find(folder => bytes.includes(folder))
  const named = own ?? HOMES.exec(bytes.toString('latin1'))?.[0]
  check(named === undefined, `names a folder of the machine that built it: ${named}`)
  return { byteLength: bytes.length, floor, needed, problems }
}

/** A library of Linux. */
function readElf(path, libc) {
  const sections = ['--needed-libs', '--dynamic-table', '--dyn-symbols', '--program-headers']
  const [facts] = JSON.parse(llvm('llvm-readobj', '--elf-output-style=JSON', ...sections, path))
  const problems = []
  for (const { Type } of facts.DynamicSection) {
    if (/^(RPATH|RUNPATH|TEXTREL)$/.test(Type)) problems.push(`has a dynamic entry ${Type}`)
  }
  // Node unloads it with the last thread of JavaScript that has it, and other threads go on in it.
  const stays = facts.DynamicSection.some(({ Type, Flags }) => Type === 'FLAGS_1' && Flags.includes('NODELETE'))
  if (!stays) problems.push('can be unloaded')
  const stack = facts.ProgramHeaders.find(({ ProgramHeader }) => ProgramHeader.Type.Name === 'PT_GNU_STACK')
  const isPlain = stack?.ProgramHeader.Flags.Flags.every(({ Name }) => Name !== 'PF_X') ?? false
  if (!isPlain) problems.push('makes the stack executable')
  const symbols = facts.DynamicSymbols.map(({ Symbol: symbol }) => symbol).filter(({ Name }) => Name.Name !== '')
  const isAsked = ({ Section }) => Section.Name === 'Undefined'
  // Wherever the standard library probes for a function, the symbol is weak: it may be missing.
  const asked = symbols.filter(symbol => isAsked(symbol) && symbol.Binding.Name !== 'Weak').map(({ Name }) => Name.Name)
  return {
    cpu: facts.FileSummary.Arch,
    floor: libc === 'gnu' ? glibcFloor(asked, problems) : 'musl',
    needed: facts.NeededLibraries,
    exported: symbols.filter(symbol => !isAsked(symbol)).map(({ Name }) => Name.Name),
    problems,
  }
}

/** The glibc that a library asks for. */
function glibcFloor(asked, problems) {
  // The linker lets a function through that is newer than the floor. Its name then has no version, and only an old system
  // would find that it is missing.
  for (const name of asked) if (!name.includes('@')) problems.push(`asks for ${name} of no version`)
  const floor =
    asked
      .flatMap(name => /@GLIBC_([\d.]+)$/.exec(name)?.[1] ?? [])
      .sort(byVersion)
      .at(-1) ?? '0'
  if (byVersion(floor, FLOOR.glibc) > 0) problems.push(`asks for glibc ${floor}, newer than ${FLOOR.glibc}`)
  return `glibc ${floor}`
}

/** A library of macOS. */
function readMachO(path, bytes) {
  const headers = llvm('llvm-objdump', '--macho', '--private-headers', path)
  const commands = headers.split(/^Load command \d+$/m).slice(1)
  const all = (command, field) =>
    commands
      .filter(text => new RegExp(`\\bcmd ${command}$`, 'm').test(text))
      .map(text => new RegExp(`\\b${field} (\\S+)`).exec(text)?.[1])
  const problems = []
  const check = (isRight, problem) => isRight || problems.push(problem)
  const [minos] = all('LC_BUILD_VERSION', 'minos')
  const [name] = all('LC_ID_DYLIB', 'name')
  check(all('LC_BUILD_VERSION', 'platform')[0] === 'macos', 'is not for macOS')
  check(minos === FLOOR.macos, `asks for macOS ${minos}, not ${FLOOR.macos}`)
  check(name === '@rpath/pageout.node', `is named ${name}`)
  check(all('LC_RPATH', 'path').length === 0, 'has a search path')
  // A library with thread-local variables stays loaded.
  check(/\bMH_HAS_TLV_DESCRIPTORS\b/.test(headers), 'can be unloaded')
  const [cpu = 'another processor'] = /\b(X86_64|ARM64)\b/.exec(headers) ?? []
  if (cpu === 'ARM64') checkSignature(bytes, all('LC_CODE_SIGNATURE', 'dataoff')[0], check)
  return {
    cpu,
    floor: `macOS ${minos}`,
    needed: all('LC_(LAZY_)?(LOAD|REEXPORT)(_WEAK|_UPWARD)?_DYLIB', 'name'),
    exported: llvm('llvm-nm', '--extern-only', '--defined-only', '--format=just-symbols', path)
      .split('\n')
      .map(line => line.replace(/^_/, '')),
    problems,
  }
}

/**
 * A Mac with an ARM processor runs nothing without a signature. Ours names no signer; it must hold a digest of each page as the
 * file is now, after symbols were stripped. The layout is the one of cs_blobs.h in Apple's xnu: numbers are big-endian.
 */
function checkSignature(bytes, offset, check) {
  const [SUPER_BLOB, DIRECTORY, SHA256] = [0xfade0cc0, 0xfade0c02, 2]
  if (offset === undefined) return check(false, 'has no signature')
  const signature = bytes.subarray(Number(offset))
  check(signature.readUInt32BE(0) === SUPER_BLOB, 'has a signature of unknown form')
  const directory = signature.subarray(signature.readUInt32BE(16))
  if (directory.readUInt32BE(0) !== DIRECTORY) return check(false, 'has a signature without a directory')
  const [digestsAt, , , pages, limit] = [16, 20, 24, 28, 32].map(at => directory.readUInt32BE(at))
  const [digestBytes, kind, , pageBits] = directory.subarray(36, 40)
  check(kind === SHA256, `has digests of kind ${kind}`)
  check(limit === Number(offset), `signs ${limit} bytes of ${offset}`)
  for (let page = 0; page < pages; page++) {
    const content = bytes.subarray(page << pageBits, Math.min((page + 1) << pageBits, limit))
    const digest = directory.subarray(digestsAt + page * digestBytes).subarray(0, digestBytes)
    const isGood = createHash('sha256').update(content).digest().equals(digest)
    check(isGood, `its page ${page} is not what was signed`)
  }
}
