// Ways to spoil a binary, and what has to be said of it then: they show that the checks of binary.mjs can refuse.

const copyOf = (bytes, change) => {
  const copy = Buffer.from(bytes)
  change(copy)
  return copy
}
/** Writes a text over another of the same length, wherever that stands. */
const replacing = (from, to) => bytes =>
  copyOf(bytes, copy => {
    for (let at = copy.indexOf(from); at >= 0; at = copy.indexOf(from, at + 1)) copy.write(to, at, 'latin1')
  })
const placeOf = (bytes, ...numbers) => {
  const words = Buffer.alloc(4 * numbers.length)
  for (const [index, number] of numbers.entries()) words.writeUInt32LE(number, 4 * index)
  return bytes.indexOf(words)
}

const [PT_DYNAMIC, PT_GNU_STACK, DT_NEEDED, DT_RUNPATH, DT_FLAGS_1] = [2, 0x6474e551, 1n, 29n, 0x6ffffffbn]
const [NODELETE, HAS_THREAD_LOCALS] = [0x8, 0x800000]
const [LC_LOAD_DYLIB, LC_RPATH, LC_BUILD_VERSION, MACOS, IOS] = [0xc, 0x8000001c, 0x32, 1, 2]
/** Of the load command that tells the oldest macOS: its kind, its bytes, the platform; the version follows. */
const builtFor = bytes => placeOf(bytes, LC_BUILD_VERSION, 32, MACOS)

const ANY = [
  ['has more bytes than it should', bytes => Buffer.concat([bytes, Buffer.alloc(1 << 20)]), /more than/],
  ['cannot be loaded by Node', replacing('napi_register_module_v1', 'napi_register_module_v9'), /does not export/],
  ['tells where it was built', replacing('/pageout/', '/home/me/'), /names a folder/],
]
const LINUX = [
  ['is for another processor', bytes => copyOf(bytes, copy => (copy[18] ^= 62 ^ 183)), /is for/],
  ['needs another library', replacing('libc.so', 'libz.so'), /needs libz/],
  [
    'asks for a stack with code',
    bytes => copyOf(bytes, copy => (copy[programHeader(copy, PT_GNU_STACK) + 4] |= 1)),
    /stack/,
  ],
  ['looks for libraries elsewhere', bytes => copyOf(bytes, lookElsewhere), /RUNPATH/],
  [
    'can be unloaded',
    bytes => copyOf(bytes, copy => (copy[dynamicEntry(copy, DT_FLAGS_1) + 8] &= ~NODELETE)),
    /can be unloaded/,
  ],
]
const GLIBC = [
  ['asks for a newer glibc', (bytes, floor) => replacing(`GLIBC_${floor}`, 'GLIBC_2.34')(bytes), /newer than/],
  [
    'asks for functions without a version',
    (bytes, floor) => replacing(`GLIBC_${floor}`, '\0'.repeat(10))(bytes),
    /no version/,
  ],
]
const MACOS_ONLY = [
  ['is for another processor', bytes => copyOf(bytes, copy => (copy[4] ^= 0x7 ^ 0xc)), /is for/],
  ['needs another library', replacing('libSystem.B', 'libSystem.C'), /needs/],
  [
    'asks for a newer macOS',
    bytes => copyOf(bytes, copy => copy.writeUInt16LE(13, builtFor(copy) + 14)),
    /asks for macOS 13/,
  ],
  ['is for another system of Apple', bytes => copyOf(bytes, copy => (copy[builtFor(copy) + 8] = IOS)), /not for macOS/],
  ['is named after a path', replacing('@rpath/pageout.node', '/build/pageout.node'), /is named/],
  [
    'looks for libraries elsewhere',
    bytes => copyOf(bytes, copy => copy.writeUInt32LE(LC_RPATH, placeOf(copy, LC_LOAD_DYLIB, 56))),
    /search path/,
  ],
  [
    'can be unloaded',
    bytes => copyOf(bytes, copy => copy.writeUInt32LE(copy.readUInt32LE(24) & ~HAS_THREAD_LOCALS, 24)),
    /can be unloaded/,
  ],
]
const SIGNED = [
  ['was changed after it was signed', bytes => copyOf(bytes, copy => (copy[0x4001] ^= 1)), /not what was signed/],
]

/** The program header of a kind, in an ELF file of 64 bits. */
function programHeader(bytes, kind) {
  let at = Number(bytes.readBigUInt64LE(32))
  while (bytes.readUInt32LE(at) !== kind) at += 56
  return at
}

/** The first dynamic entry of a kind, in the same. */
function dynamicEntry(bytes, kind) {
  let at = Number(bytes.readBigUInt64LE(programHeader(bytes, PT_DYNAMIC) + 8))
  while (bytes.readBigUInt64LE(at) !== kind) at += 16
  return at
}

/** Turns the first library that is needed into a folder to look for libraries in. */
function lookElsewhere(bytes) {
  bytes.writeBigUInt64LE(DT_RUNPATH, dynamicEntry(bytes, DT_NEEDED))
}

/** The ways that fit a target. */
export function damagesOf({ os, cpu, libc }) {
  if (os === 'linux') return [...ANY, ...LINUX, ...(libc === 'gnu' ? GLIBC : [])]
  return [...ANY, ...MACOS_ONLY, ...(cpu === 'arm64' ? SIGNED : [])]
}
