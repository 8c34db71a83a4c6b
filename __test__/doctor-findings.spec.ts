/** What recorded facts mean, how a diagnosis reads, and how the command line is understood: no machine is asked. */

import { readFileSync } from 'node:fs'
import test from 'ava'
import type { Diagnosis, EncryptionFacts, Facts, Finding, ScratchDirFacts } from 'pageout/doctor'
import { MIB } from './helpers/chunks.js'
import { findingsOf } from './helpers/doctor.js'

const GIB = 2 ** 30

interface Modules {
  readonly findings: { diagnosisOf(facts: Facts): Diagnosis }
  readonly text: { textOf(diagnosis: Diagnosis): string }
  readonly command: { commandOf(args: readonly string[]): object; USAGE: string }
  readonly words: Record<'bytes' | 'speed' | 'milliseconds', (count: number) => string>
}
const moduleOf = async <N extends keyof Modules>(name: N) => (await import(`../dist/doctor/${name}.js`)) as Modules[N]
const { diagnosisOf } = await moduleOf('findings')
const { textOf } = await moduleOf('text')
const { commandOf, USAGE } = await moduleOf('command')
const words = await moduleOf('words')

/** The facts of a machine, as `pageout doctor --json` printed them there. */
type Recorded = Facts & Required<Pick<Facts, 'scratch' | 'memory' | 'process'>>
function recorded(name: string): Recorded {
  return JSON.parse(readFileSync(new URL(`helpers/recorded/${name}.json`, import.meta.url), 'utf8')) as Recorded
}
const plain = recorded('plain')

/** Codes of findings that are not as they should be. */
function concerns(diagnosis: Diagnosis): string[] {
  return diagnosis.findings.filter(({ level }) => level !== 'ok').map(({ code, level }) => `${level} ${code}`)
}

function only(facts: Facts, code: string): Finding {
  const found = findingsOf(diagnosisOf(facts), code)
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} findings are ${code}`)
  return found[0]
}

/** A plain machine whose scratch directory is otherwise. */
function withChosen(changes: Partial<ScratchDirFacts>): Facts {
  return { ...plain, scratch: { ...plain.scratch, chosen: { ...plain.scratch.chosen, ...changes } as ScratchDirFacts } }
}

for (const [name, canServe, expected] of [
  ['plain', true, ['note swap']],
  ['group', true, ['note swap']],
  ['descriptors', true, ['note swap', 'note descriptors']],
  ['in-memory', false, ['problem scratch-refused', 'problem scratch-refused', 'problem scratch-missing', 'note swap']],
  ['read-only', false, [...Array<string>(3).fill('problem scratch-refused'), 'problem scratch-missing', 'note swap']],
  ['musl-missing', false, ['problem addon']],
] as const) {
  test(`${name}: ${expected.join(', ')}`, t => {
    const diagnosis = diagnosisOf(recorded(name))
    t.deepEqual(concerns(diagnosis), [...expected])
    t.deepEqual([diagnosis.format, diagnosis.canServe], [1, canServe])
  })

  test(`${name}: every concern says what to do, and all of it fits 80 columns`, t => {
    const diagnosis = diagnosisOf(recorded(name))
    for (const { level, advice, code } of diagnosis.findings) if (level !== 'ok') t.truthy(advice, code)
    for (const line of textOf(diagnosis).split('\n')) {
      // A path is not cut.
      t.true(
        line.length <= 80 ||
          !line
            .trim()
            .replace(/^[->] /, '')
            .includes(' '),
        line,
      )
      t.is(line, line.trimEnd())
    }
  })
}

test('the facts are part of the diagnosis as they are', t => {
  const { format: _, canServe: __, findings: ___, ...facts } = diagnosisOf(plain)
  t.deepEqual(facts, plain)
})

test('a plain machine reads like this', t => {
  t.is(
    textOf(diagnosisOf(plain)),
    `Installation
  ok       pageout 0.1.0 with its addon for linux-x64-gnu, on Node 20.20.2
           - /app/node_modules/@pageout/linux-x64-gnu/pageout.linux-x64-gnu.node

Scratch directory
  ok       /tmp serves: ext4 on /dev/vda, mounted at /
  ok       Room: 39.8 GiB of 252 GiB free; a pager may use 14.6 GiB (a tenth
           stays free)
  ok       The file system has unnamed files, reserved space, holes

Memory
  ok       Machine: 23.5 GiB, 22.8 GiB available
  ok       No memory group (cgroup) limits this process
  ok       residentBytes: 'auto' would begin with 11.4 GiB

Swap space
  note     No swap space: the swap backend would free nothing
           > It matters only to pagers with backend: 'swap': let them use the
             file backend, the default.

Limits of the process
  ok       Open files: at most 20000, 21 open; a pager opens up to 113
  ok       No limit on the length of files

Speed
  ok       64 payloads of 1 MiB through the page cache:
           - out 3729 MB/s (1.5 x the time of a copy), longest call 0.5 ms
           - back 8604 MB/s (0.7 x the time of a copy), longest call 0.85 ms
           - copy in memory 5631 MB/s
  ok       The device, past the page cache:
           - writes 539 MB/s, longest call 46.1 ms
           - reads 1730 MB/s, longest call 6.96 ms

pageout can serve here: 1 note.
`,
  )
})

test('an addon that is missing is told with where it was looked for and how to install it', t => {
  t.is(
    textOf(diagnosisOf(recorded('musl-missing'))),
    `Installation
  problem  @pageout/linux-x64-musl is not installed, which pageout needs
           - looked for /app/node_modules/pageout/pageout.linux-x64-musl.node:
             missing
           - looked for @pageout/linux-x64-musl: missing
           > It is an optional dependency: install pageout again on this
             platform, without --omit=optional or --no-optional. If node_modules
             or the lock file came from another platform, delete them and
             install again. To install for this platform on another: npm install
             --os=linux --cpu=x64 --libc=musl (Node 20.20.2 on linux-x64-musl)

pageout cannot serve here: 1 problem.
`,
  )
})

test('an addon of another C library is told as the loader tells it', t => {
  const reason = 'Error loading shared library ld-linux-x86-64.so.2: No such file or directory'
  const said = `@pageout/linux-x64-musl does not load: ${reason}. It was built for another C library than that of this process: install pageout again on this platform`
  const { installation } = recorded('musl-missing')
  const looks = [{ origin: 'package', name: '@pageout/linux-x64-musl', outcome: 'refused', message: reason }] as const
  const { message, details, advice } = only(
    { installation: { ...installation, looks, error: { code: 'ERR_PAGEOUT_ADDON', message: said } } },
    'addon',
  )
  t.is(message, `@pageout/linux-x64-musl does not load: ${reason}`)
  t.deepEqual(details, [`looked for @pageout/linux-x64-musl: ${reason}`])
  t.true(advice?.startsWith('It was built for another C library'))
})

test('an addon that the environment names is worth a note', t => {
  const looks = [{ origin: 'environment', name: '/my.node', outcome: 'loaded' }] as const
  const { level, advice } = only({ ...plain, installation: { ...plain.installation, looks } }, 'addon-from-environment')
  t.deepEqual([level, advice?.includes('Unset')], ['note', true])
})

test('the same advice is given once, and then pointed to', t => {
  const text = textOf(diagnosisOf(recorded('read-only')))
  t.is(text.split('Mount a volume there that can be written to').length, 2)
  t.is(text.split('> As above.').length, 3)
})

test('a refused directory is a note where another one serves, and names the variable that names it', t => {
  const { scratch } = recorded('read-only')
  const refused = scratch.refused.slice(0, 1)
  const chosen = plain.scratch.chosen as ScratchDirFacts
  const diagnosis = diagnosisOf({ ...plain, scratch: { ...scratch, refused, chosen } })
  t.true(diagnosis.canServe)
  const [{ level, message } = { level: 'ok', message: '' }] = findingsOf(diagnosis, 'scratch-refused')
  t.is(level, 'note')
  t.is(
    message,
    '/data/scratch, which PAGEOUT_SCRATCH_DIR names, was refused: EROFS: Read-only file system (os error 30), mkdir',
  )
})

for (const code of [
  'EACCES',
  'ENOTDIR',
  'ENOSPC',
  'EDQUOT',
  'EMFILE',
  'EFBIG',
  'EIO',
  'ERR_PAGEOUT_SCRATCH_DIR',
  'ESTALE',
]) {
  test(`what to do about ${code} is told`, t => {
    const refused = [{ path: '/a', reason: { code, message: `${code}: words in scratch directory '/a'` } }]
    const { chosen: _, ...scratch } = plain.scratch
    const { message, advice } = only({ ...plain, scratch: { ...scratch, refused } }, 'scratch-refused')
    t.is(message, `/a was refused: ${code}: words`)
    t.regex(advice ?? '', /^[A-Z].*\.$/)
  })
}

test('a capacity of the environment that is none is a problem', t => {
  const { chosen: _, ...scratch } = plain.scratch
  const error = {
    code: 'ERR_INVALID_ARG_VALUE',
    message: 'the option PAGEOUT_CAPACITY_BYTES must be a number of bytes',
  }
  t.deepEqual(concerns(diagnosisOf({ ...plain, scratch: { ...scratch, error } })), [
    'problem capacity-variable',
    'note swap',
  ])
})

for (const [capacityBytes, level] of [
  [GIB, 'ok'],
  [GIB - 1, 'note'],
  [4096, 'note'],
  [4095, 'problem'],
  [0, 'problem'],
] as const) {
  test(`room for ${capacityBytes} bytes is ${level}`, t => {
    const { level: found, advice } = only(withChosen({ capacityBytes }), 'room')
    t.deepEqual([found, advice === undefined], [level, level === 'ok'])
  })
}

test('a limit of the environment is named with the room, and is what to raise where it is what counts', t => {
  const room = (capacityBytes: number) => {
    const { scratch, ...facts } = withChosen({ capacityBytes })
    return only({ ...facts, scratch: { ...plain.scratch, ...scratch, variables: { capacityBytes: '5000' } } }, 'room')
  }
  t.true(room(5000).message.includes('PAGEOUT_CAPACITY_BYTES=5000'))
  t.is(room(5000).advice, 'Raise PAGEOUT_CAPACITY_BYTES, or unset it.')
  t.regex(room(4999).advice ?? '', /^Make room on this disk/)
})

test('what a file system lacks is a note, with what follows from it', t => {
  const { level, message } = only(withChosen({ reservedSpace: false, holes: false }), 'file-system')
  t.is(level, 'note')
  t.true(message.includes('has unnamed files.') && message.includes('a full disk may be reported by a write'), message)
  t.is(only(withChosen({}), 'file-system').level, 'ok')
})

test('a directory on another machine or in memory, or one that is not there yet, is told', t => {
  const nfs = withChosen({ isRemote: true, fileSystem: 'nfs4', mountSource: 'server:/export' })
  t.is(only(nfs, 'scratch-remote').level, 'note')
  t.true(only(nfs, 'scratch-chosen').message.includes('nfs4 on server:/export'))
  t.is(only(withChosen({ isInMemory: true }), 'scratch-in-memory').level, 'note')
  t.regex(only(withChosen({ isNew: true }), 'scratch-chosen').details?.[0] ?? '', /first pageout makes it/)
  t.deepEqual(concerns(diagnosisOf(withChosen({}))), ['note swap'])
})

test('a memory group is told with its limit, and is a note when little is left of it', t => {
  const facts = recorded('group')
  const { level, message, details } = only(facts, 'memory-limit')
  t.is(level, 'ok')
  t.true(message.startsWith('Memory limit 512 MiB (cgroup), 503 MiB left'), message)
  t.is(details?.length, 1, 'groups without a limit are left out')
  const near = { ...facts, memory: { ...facts.memory, groupFreeBytes: 63 * MIB } }
  t.is(only(near, 'memory-limit').level, 'note')
})

test('memory that is short on the machine, and for an automatic budget, is a note', t => {
  const { memory } = plain
  const little = { ...plain, memory: { ...memory, availableBytes: GIB, autoBytes: MIB } }
  t.deepEqual(concerns(diagnosisOf(little)), ['note machine-memory', 'note auto-budget', 'note swap'])
  const { physicalBytes: _, availableBytes: __, ...unknown } = memory
  t.deepEqual(concerns(diagnosisOf({ ...plain, memory: unknown })), ['note swap'])
})

for (const [swapLimitBytes, level] of [
  [undefined, 'ok'],
  [MIB, 'ok'],
  [0, 'note'],
] as const) {
  test(`swap space of which the memory group may use ${swapLimitBytes ?? 'all'} is ${level}`, t => {
    const [group] = plain.memory.groups
    const groups = [{ version: 2, directory: '/', ...group, ...(swapLimitBytes !== undefined && { swapLimitBytes }) }]
    const memory = { ...plain.memory, swapBytes: GIB, swapFreeBytes: GIB / 2, groups }
    t.is(only({ ...plain, memory }, 'swap').level, level)
  })
}

test('limits of the process are notes where they are below what is needed', t => {
  const limited = {
    ...plain.process,
    fileBytes: { soft: 64 * MIB - 1 },
    addressSpaceBytes: { soft: 8 * GIB, used: GIB },
    descriptors: { soft: 133, hard: 133, used: 21 },
  }
  const expected = ['note swap', 'note descriptors', 'note file-length', 'note process-memory']
  t.deepEqual(concerns(diagnosisOf({ ...plain, process: limited })), expected)
  const enough = { ...plain.process, fileBytes: { soft: 64 * MIB }, descriptors: { soft: 134, hard: 134, used: 21 } }
  t.deepEqual(concerns(diagnosisOf({ ...plain, process: enough })), ['note swap'])
})

test('what a machine lacks for encryption is a note', t => {
  const all = { cipher: 'AEGIS-128X2', aesInstructions: 'VAES', isOutOfCoreDumps: true, isOutOfSwap: true }
  const { aesInstructions: _, ...slow } = all
  const swapping = { ...plain.memory, swapBytes: GIB, swapFreeBytes: GIB }
  const limits = { ...plain.process, lockedBytes: { soft: 65_536 } }
  const judged = (encryption: EncryptionFacts) =>
    diagnosisOf({ ...plain, memory: swapping, process: limits, encryption })
  t.deepEqual(concerns(judged(all)), [])
  t.deepEqual(
    concerns(judged({ ...all, isOutOfCoreDumps: false })),
    [],
    'a system that has no way is told, and no more',
  )
  t.deepEqual(concerns(judged(slow)), ['note cipher'])
  t.deepEqual(concerns(judged({ ...all, isOutOfSwap: false })), ['note keys'])
  t.deepEqual(
    concerns(diagnosisOf({ ...plain, encryption: { ...all, isOutOfSwap: false } })),
    ['note swap'],
    'no swap space',
  )
  const text = textOf(judged({ ...slow, isOutOfSwap: false }))
  for (const part of ['Encryption and compression\n', 'no instructions for AES', '64 KiB', 'ulimit -l']) {
    t.true(text.replaceAll(/\s+/g, ' ').includes(part.trim()), part)
  }
  t.is(only({ ...plain, compression: ['lz4'] }, 'codec').level, 'ok')
})

test('a slow device is a note, and a trial that fails is a problem', t => {
  const { speed } = plain
  if (speed?.deviceWrite === undefined) throw new Error('a speed was recorded')
  const slow = { ...speed, deviceWrite: { ...speed.deviceWrite, bytesPerSecond: 49e6 } }
  t.is(only({ ...plain, speed: slow }, 'device-speed').level, 'note')
  const stuck = { ...speed, deviceWrite: { ...speed.deviceWrite, longestMs: 1001 } }
  t.is(only({ ...plain, speed: stuck }, 'device-speed').level, 'note')
  const { speed: _, ...unmeasured } = plain
  t.deepEqual(concerns(diagnosisOf(unmeasured)), ['note swap'])
  const speedError = { code: 'EMFILE', message: 'EMFILE: too many open files, openat' }
  const failed = diagnosisOf({ ...unmeasured, speedError })
  t.deepEqual([failed.canServe, concerns(failed)], [false, ['note swap', 'problem speed-failed']])
  t.regex(only({ ...unmeasured, speedError }, 'speed-failed').advice ?? '', /^Raise the limit of open files/)
})

test('a defect of the package is told as one', t => {
  const error = { code: 'ERR_PAGEOUT_INTERNAL', message: 'Internal error in pageout' }
  t.deepEqual(concerns(diagnosisOf({ installation: plain.installation, error })), ['problem internal'])
})

test('a file system that hangs is told as one', t => {
  const error = { code: 'ETIMEDOUT', message: 'There is no answer' }
  t.deepEqual(concerns(diagnosisOf({ installation: plain.installation, error })), ['problem no-answer'])
})

for (const [args, expected] of [
  [['doctor'], { kind: 'doctor', isJson: false, options: {} }],
  [['doctor', '--json', '--no-speed'], { kind: 'doctor', isJson: true, options: { speed: false } }],
  [['doctor', '--scratch-dir', '/a b'], { kind: 'doctor', isJson: false, options: { scratchDir: '/a b' } }],
  [['doctor', '--scratch-dir=/a=b'], { kind: 'doctor', isJson: false, options: { scratchDir: '/a=b' } }],
  [['doctor', '--allow-ram-backed'], { kind: 'doctor', isJson: false, options: { allowRamBacked: true } }],
  [['--help'], { kind: 'help' }],
  [['doctor', '-h'], { kind: 'help' }],
  [['--version'], { kind: 'version' }],
] as const) {
  test(`${args.join(' ')} is understood`, t => t.deepEqual(commandOf(args), expected))
}

for (const args of [
  [],
  ['nurse'],
  ['--json'],
  ['doctor', '--jsn'],
  ['doctor', '-j'],
  ['doctor', 'more'],
  ['doctor', '--json=yes'],
  ['doctor', '--scratch-dir'],
  ['doctor', '--scratch-dir='],
]) {
  test(`${args.join(' ') || 'nothing'} is a misuse`, t => t.like(commandOf(args), { kind: 'misuse' }))
}

test('the usage fits 80 columns and names every option', t => {
  for (const line of USAGE.split('\n')) t.true(line.length <= 80, line)
  for (const option of ['--scratch-dir', '--allow-ram-backed', '--no-speed', '--json', '--help', '--version']) {
    t.true(USAGE.includes(option), option)
  }
})

test('numbers are short', t => {
  const seen = [0, 1023, 1024, 1025, 1536, 10 * 1024, 1023.9 * MIB, 512 * MIB, 17.94 * GIB, 2 ** 70].map(words.bytes)
  const expected = ['0 B', '1023 B', '1 KiB', '1 KiB', '1.5 KiB', '10 KiB', '1 GiB', '512 MiB', '17.9 GiB']
  t.deepEqual(seen, [...expected, '1048576 PiB'])
  t.deepEqual([49.96e6, 1.23e6, 3728.9e6].map(words.speed), ['50 MB/s', '1.2 MB/s', '3729 MB/s'])
  t.deepEqual([0.499, 46.05, 1234.5].map(words.milliseconds), ['0.5 ms', '46 ms', '1235 ms'])
})
