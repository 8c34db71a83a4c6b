/** The doctor on machines: what it finds is what a pager meets there, and nothing is left of it. */

import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { diagnose, type Facts } from 'pageout/doctor'
import { endOf, output } from './helpers/child.js'
import { MIB } from './helpers/chunks.js'
import { CLI, doctor, findingsOf, runCli } from './helpers/doctor.js'
import { ADDON, installation, PLATFORM, ROOT } from './helpers/installation.js'
import { enterMemoryGroup } from './helpers/memory-group.js'
import { canMount } from './helpers/mounts.js'
import { hasProc, newDirectory } from './helpers/places.js'

const onLinux = process.platform === 'linux' ? test : test.skip
/** Mounts that only the command sees: needs root, and a machine that allows it. */
const inMounts = canMount ? onLinux : test.skip
/** The same over the usual temporary directories: they must not hide the package. */
const overTemporary = /^\/(var\/)?tmp\//.test(ROOT) ? test.skip : inMounts

/** Runs in mounts of its own, which the commands make first. */
function mounted(commands: readonly string[]): { under: readonly string[]; before: string } {
  return { under: ['unshare', '--mount', '--propagation', 'private'], before: commands.join(' && ') }
}

/** What a pager with default options fails with there. */
async function failureOfPager(before: string, under: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const entry = JSON.stringify(pathToFileURL(join(ROOT, 'dist', 'index.js')).href)
  const program = `import { pageout } from ${entry}
    try {
      pageout(new Uint8Array(9))
    } catch ({ code, message, tried }) {
      console.log(JSON.stringify({ code, message, tried: tried.map(({ path, error }) => [path, error.message]) }))
    }`
  const node = [process.execPath, '--input-type=module', '--eval', program]
  const [command = 'sh', ...args] = [...under, 'sh', '-c', `${before} && exec "$@"`, 'sh', ...node]
  const { PAGEOUT_SCRATCH_DIR: _, ...inherited } = process.env
  const printed = await output(command, args, { env: { ...inherited, ...env } })
  return JSON.parse(printed) as { code: string; message: string; tried: [string, string][] }
}

test('this machine serves, with its speed measured', async t => {
  const { code, canServe, installation, scratch, memory, process: limits, encryption, speed, ...rest } = await doctor()
  t.deepEqual([code, canServe, rest.format], [0, true, 1])
  t.like(installation, {
    node: process.versions.node,
    platform: PLATFORM,
    addon: join(ROOT, `pageout.${PLATFORM}.node`),
  })
  t.true((scratch?.chosen?.capacityBytes ?? 0) > 0)
  t.true((memory?.physicalBytes ?? 0) > 0 && (memory?.autoBytes ?? 0) >= MIB)
  t.true((limits?.descriptors.used ?? 0) > 3 || !hasProc)
  t.deepEqual([encryption?.cipher, rest.compression], ['AEGIS-128X2', ['lz4']])
  t.is(encryption?.isOutOfCoreDumps, process.platform === 'linux')
  t.is(speed?.payloadBytes, MIB)
  t.true((speed?.out.bytesPerSecond ?? 0) > 0 && (speed?.back.calls ?? 0) > 0)
  t.deepEqual(
    rest.findings.filter(({ level }) => level === 'problem'),
    [],
  )
})

test('as text it is printed whole into a pipe, and ends in a verdict', async t => {
  const { code, printed, complaints } = await runCli({ args: ['doctor', '--no-speed'] })
  t.deepEqual([code, complaints], [0, ''])
  t.true(printed.startsWith('Installation\n  ok '), printed)
  t.regex(printed, /\npageout can serve here(: \d notes?)?\.\n$/)
  t.false(printed.includes('Speed'))
})

test('whoever stops to read does no harm', async t => {
  const { end, complaints } = await endOf('sh', [
    '-c',
    `"${process.execPath}" "${CLI}" doctor --json --no-speed | head -n 1`,
  ])
  t.deepEqual([end, complaints], [0, ''])
})

if (process.platform === 'linux') {
  test('what cannot be printed is told', async t => {
    const { end, complaints } = await endOf('sh', [
      '-c',
      `"${process.execPath}" "${CLI}" doctor --json --no-speed > /dev/full`,
    ])
    t.is(end, 1)
    t.regex(complaints, /^pageout: .*ENOSPC/)
  })
}

for (const [args, code, said] of [
  [['--help'], 0, 'Usage: pageout doctor'],
  [['--version'], 0, (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version],
  [[], 2, ''],
  [['doctor', '--jsn'], 2, ''],
  [['doctor', '--scratch-dir', '--json'], 2, ''],
] as const) {
  test(`pageout ${args.join(' ')} ends with ${code}`, async t => {
    const ended = await runCli({ args })
    t.is(ended.code, code)
    if (code === 0) t.true(ended.printed.startsWith(said), ended.printed)
    // What is wrong, and how it is right.
    else t.deepEqual([ended.printed, /^pageout: .*\n\nUsage: pageout/.test(ended.complaints)], ['', true])
  })
}

test('npx finds the command', t => {
  const { status, stdout, stderr } = spawnSync('npx', ['--no', 'pageout', '--version'], { cwd: ROOT, encoding: 'utf8' })
  t.deepEqual([status, /^\d+\.\d+\.\d+\n?$/.test(stdout)], [0, true], stderr)
})

overTemporary('where only memory is there, no directory serves, for the reasons of a pager', async t => {
  const { before, under } = mounted(['mount -t tmpfs none /tmp', 'mount -t tmpfs none /var/tmp'])
  const env = { TMPDIR: '/tmp' }
  const found = await doctor({ before, under, env })
  t.deepEqual([found.code, found.canServe, found.scratch?.chosen, found.speed], [1, false, undefined, undefined])
  const failure = await failureOfPager(before, under, env)
  t.is(failure.code, 'ERR_PAGEOUT_SCRATCH_DIR')
  t.true(failure.message.endsWith('run `npx pageout doctor`'), failure.message)
  t.deepEqual(
    found.scratch?.refused.map(({ path, reason }) => [path, reason.message]),
    failure.tried,
  )
  t.deepEqual(
    found.scratch?.refused.map(({ reason }) => [reason.code, reason.fileSystem]),
    [
      ['ERR_PAGEOUT_RAM_BACKED', 'tmpfs'],
      ['ERR_PAGEOUT_RAM_BACKED', 'tmpfs'],
    ],
  )
  t.is(findingsOf(found, 'scratch-missing')[0]?.level, 'problem')

  const allowed = await doctor({ before, under, env, args: ['--allow-ram-backed'] })
  t.like(allowed, { code: 0, canServe: true, scratch: { chosen: { path: '/tmp', isInMemory: true } } })
  t.is(findingsOf(allowed, 'scratch-in-memory').length, 1)
  // What is written there never leaves the page cache.
  t.deepEqual([allowed.speed?.deviceRead, (allowed.speed?.out.calls ?? 0) > 0], [undefined, true])
})

inMounts('where every candidate is read-only, no directory serves', async t => {
  const directory = newDirectory(t)
  const readOnly = (path: string) => `mount --bind "${path}" "${path}" && mount -o remount,ro,bind "${path}"`
  const { before, under } = mounted([directory, '/tmp', '/var/tmp'].map(readOnly))
  const env = { PAGEOUT_SCRATCH_DIR: join(directory, 'scratch'), TMPDIR: '/tmp' }
  const found = await doctor({ before, under, env, args: ['--no-speed'] })
  t.deepEqual([found.code, found.canServe], [1, false])
  const paths = [env.PAGEOUT_SCRATCH_DIR, '/tmp', '/var/tmp']
  t.deepEqual(
    found.scratch?.refused.map(({ path, reason }) => [path, reason.code]),
    paths.map(path => [path, 'EROFS']),
  )
  t.deepEqual(
    (await failureOfPager(before, under, env)).tried.map(([path]) => path),
    paths,
  )
  const [first] = findingsOf(found, 'scratch-refused')
  t.true(first?.message.includes('which PAGEOUT_SCRATCH_DIR names'), first?.message)
  t.true(first?.advice?.startsWith('Mount a volume there that can be written to'), first?.advice)
})

const canLower =
  process.getuid?.() === 0 && spawnSync('setpriv', ['--reuid=65534', '--clear-groups', 'true']).status === 0
const asNobody = canLower ? onLinux : test.skip

asNobody('a directory of somebody else is refused, with what to do about the right to write', async t => {
  const directory = newDirectory(t)
  const installed = installation(t, { [PLATFORM]: ADDON })
  execFileSync('chmod', ['755', installed])
  const found = await doctor({
    under: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
    cli: join(installed, 'node_modules', 'pageout', 'dist', 'cli.js'),
    env: { PAGEOUT_SCRATCH_DIR: join(directory, 'new') },
    args: ['--no-speed'],
  })
  t.deepEqual(
    found.scratch?.refused.map(({ path, reason }) => [path, reason.code, reason.syscall]),
    [[join(directory, 'new'), 'EACCES', 'mkdir']],
  )
  t.regex(findingsOf(found, 'scratch-refused')[0]?.advice ?? '', /^Give the user of this process the right to write/)
})

asNobody('a process that may lock no memory has keys that may be swapped out', async t => {
  const installed = installation(t, { [PLATFORM]: ADDON })
  execFileSync('chmod', ['755', installed])
  const under = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  const cli = join(installed, 'node_modules', 'pageout', 'dist', 'cli.js')
  const found = await doctor({ under, cli, before: 'ulimit -l 0', args: ['--no-speed'] })
  t.like(found, { encryption: { isOutOfSwap: false }, process: { lockedBytes: { soft: 0 } } })
  const [keys] = findingsOf(found, 'keys')
  t.is(keys?.level, found.memory?.swapBytes === 0 ? 'ok' : 'note')
})

inMounts('a full disk has no room, which is a problem although the directory is good', async t => {
  const directory = newDirectory(t)
  const image = join(directory, 'image')
  const { before, under } = mounted([
    `truncate -s 64M "${image}"`,
    `mkfs.ext4 -q -m 0 -F "${image}"`,
    `mkdir "${directory}/disk"`,
    `mount -o loop "${image}" "${directory}/disk"`,
    `(dd if=/dev/zero of="${directory}/disk/filler" bs=1M 2>/dev/null || true)`,
  ])
  const found = await doctor({ before, under, args: ['--scratch-dir', join(directory, 'disk')] })
  t.like(found, { code: 1, canServe: false, scratch: { chosen: { fileSystem: 'ext4', capacityBytes: 0 } } })
  t.deepEqual(
    findingsOf(found, 'room').map(({ level }) => level),
    ['problem'],
  )
  t.is(found.speed, undefined)
})

onLinux('a memory group of 512 MiB is shown, and what it leaves for an automatic budget', async t => {
  const before = enterMemoryGroup(t, 512 * MIB)
  const { code, memory, ...rest } = await doctor({ before })
  t.is(code, 0)
  if (before === 'true') return
  const own = memory?.groups[0]
  t.is(own?.limitBytes, 512 * MIB)
  t.true((own?.usedBytes ?? 0) > 0 && (own?.heldBytes ?? Number.POSITIVE_INFINITY) <= (own?.usedBytes ?? 0) + MIB)
  t.is(memory?.limitBytes, 512 * MIB)
  t.true((memory?.groupFreeBytes ?? 0) > 256 * MIB && (memory?.groupFreeBytes ?? 0) < 512 * MIB)
  t.true((memory?.autoBytes ?? 0) > 128 * MIB && (memory?.autoBytes ?? 0) <= 256 * MIB)
  t.regex(findingsOf(rest, 'memory-limit')[0]?.message ?? '', /^Memory limit 512 MiB/)
})

onLinux('with 64 descriptors it serves, and says that they are few', async t => {
  const found = await doctor({ before: 'ulimit -n 64', args: ['--no-speed'] })
  t.like(found, { code: 0, process: { descriptors: { soft: 64 } } })
  t.deepEqual(
    findingsOf(found, 'descriptors').map(({ level }) => level),
    ['note'],
  )
})

onLinux('limits on memory and on the length of files are shown', async t => {
  // Blocks of 512 bytes, and KiB.
  const found = await doctor({ before: 'ulimit -f 16384 && ulimit -v 60000000' })
  t.like(found, { code: 0, process: { fileBytes: { soft: 8 * MIB }, addressSpaceBytes: { soft: 60_000_000 * 1024 } } })
  t.deepEqual(
    [...findingsOf(found, 'file-length'), ...findingsOf(found, 'process-memory')].map(({ level }) => level),
    ['note', 'note'],
  )
  t.true((found.speed?.deviceWrite?.bytes ?? 0) <= 8 * MIB)
})

onLinux('without swap space the swap backend is told to free nothing', async t => {
  const { memory, ...rest } = await doctor({ args: ['--no-speed'] })
  const hasSwap = readFileSync('/proc/swaps', 'utf8').trim().split('\n').length > 1
  t.is((memory?.swapBytes ?? 0) > 0, hasSwap)
  const [swap] = findingsOf(rest, 'swap')
  if (hasSwap) t.log('this machine has swap space')
  else t.deepEqual([swap?.level, swap?.message.startsWith('No swap space')], ['note', true])
})

test('a missing addon is a finding, of the command and of diagnose, by import and by require', async t => {
  const folder = installation(t, {})
  const cli = join(folder, 'node_modules', 'pageout', 'dist', 'cli.js')
  const found = await doctor({ cli })
  t.like(found, { code: 1, canServe: false, scratch: undefined, speed: undefined })
  t.deepEqual(found.installation.looks, [
    { origin: 'clone', name: join(folder, `node_modules/pageout/pageout.${PLATFORM}.node`), outcome: 'missing' },
    { origin: 'package', name: `@pageout/${PLATFORM}`, outcome: 'missing' },
  ])
  const [addon] = findingsOf(found, 'addon')
  t.is(addon?.message, `@pageout/${PLATFORM} is not installed, which pageout needs`)
  t.true(addon?.advice?.startsWith('It is an optional dependency'), addon?.advice)
  t.false(JSON.stringify(found).includes('npx pageout doctor'), 'that is what runs')

  const program = `
    import { createRequire } from 'node:module'
    import { diagnose } from 'pageout/doctor'
    const { diagnose: required } = createRequire(process.cwd() + '/')('pageout/doctor')
    const [{ canServe }, again] = [await diagnose(), await required()]
    console.log(JSON.stringify([diagnose === required, canServe, again.installation.error.code]))`
  const printed = await output(process.execPath, ['--input-type=module', '--eval', program], { cwd: folder })
  t.deepEqual(JSON.parse(printed), [true, false, 'ERR_PAGEOUT_ADDON'])
})

for (const [what, addon, message] of [
  ['is damaged', 'no addon', 'does not load'],
  ['is gone from its package', undefined, 'does not load'],
  ['is of another version', ofAnotherVersion(), 'the versions must match'],
] as const) {
  test(`an addon that ${what} is a finding`, async t => {
    const folder = installation(t, { [PLATFORM]: addon })
    const found = await doctor({ cli: join(folder, 'node_modules', 'pageout', 'dist', 'cli.js') })
    t.like(found, { code: 1, canServe: false })
    const [finding] = findingsOf(found, 'addon')
    t.true(finding?.message.includes(message), finding?.message)
    t.regex(finding?.advice ?? '', /nstall pageout again/)
  })
}

function ofAnotherVersion(): Uint8Array {
  return Buffer.from(ADDON.toString('latin1').replaceAll('0.1.0', '9.1.9'), 'latin1')
}

test('an installed package is found, with its file', async t => {
  const folder = installation(t, { [PLATFORM]: ADDON })
  const { code, installation: found } = await doctor({
    cli: join(folder, 'node_modules', 'pageout', 'dist', 'cli.js'),
    args: ['--no-speed'],
  })
  t.deepEqual([code, found.addon], [0, join(folder, 'node_modules', '@pageout', PLATFORM, `pageout.${PLATFORM}.node`)])
  t.deepEqual(
    found.looks.map(({ outcome }) => outcome),
    ['missing', 'loaded'],
  )
})

test('a process that may not load addons is told so', async t => {
  const found = await doctor({ flags: ['--no-addons'] })
  t.is(found.code, 1)
  t.regex(findingsOf(found, 'addon')[0]?.advice ?? '', /start Node without --no-addons/)
})

test('the environment is that of a pager: a capacity, and a directory that is not there yet', async t => {
  const directory = newDirectory(t)
  const env = { PAGEOUT_SCRATCH_DIR: join(directory, 'a', 'b'), PAGEOUT_CAPACITY_BYTES: String(64 * MIB) }
  const found = await doctor({ env })
  t.like(found, {
    code: 0,
    scratch: {
      variables: { scratchDir: env.PAGEOUT_SCRATCH_DIR, capacityBytes: env.PAGEOUT_CAPACITY_BYTES },
      chosen: { path: env.PAGEOUT_SCRATCH_DIR, isNew: true, capacityBytes: 64 * MIB },
    },
  })
  t.true((found.speed?.out.calls ?? 0) <= 8, 'an eighth of the capacity')
  t.deepEqual(readdirSync(directory), [], 'what was made is removed')

  const wrong = await doctor({ env: { PAGEOUT_CAPACITY_BYTES: 'much' } })
  t.is(wrong.code, 1)
  t.regex(findingsOf(wrong, 'capacity-variable')[0]?.message ?? '', /PAGEOUT_CAPACITY_BYTES must be a number of bytes/)
})

test('a directory that is named is looked at, and no other', async t => {
  const directory = newDirectory(t)
  writeFileSync(join(directory, 'file'), '')
  const found = await diagnose({ scratchDir: join(directory, 'file'), speed: false })
  t.deepEqual([found.canServe, findingsOf(found, 'scratch-missing')], [false, []], 'the refusal says it all')
  t.deepEqual([found.scratch?.named, found.scratch?.untried], [join(directory, 'file'), []])
  t.deepEqual(
    found.scratch?.refused.map(({ reason }) => reason.code),
    ['ENOTDIR'],
  )
  t.true((await diagnose({ scratchDir: directory, speed: false })).canServe)
  t.deepEqual(readdirSync(directory), ['file'])
})

test('diagnose leaves no directory open, prints nothing and adds no listeners', async t => {
  const directory = newDirectory(t)
  const folder = JSON.stringify(directory)
  const program = `
    import { readdirSync } from 'node:fs'
    import { diagnose } from 'pageout/doctor'
    import { stats } from 'pageout'
    const listeners = () => process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
    const open = () => process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0
    // The files that tell memory limits stay open, one set for the process.
    await diagnose({ scratchDir: ${folder} + '/new' })
    const before = [open(), listeners(), stats().scratchDir]
    for (let round = 0; round < 3; round++) await diagnose({ scratchDir: ${folder} + '/new', speed: round > 0 })
    const after = [open(), listeners(), stats().scratchDir]
    process.exitCode = JSON.stringify(before) === JSON.stringify(after) ? 0 : 3`
  const args = ['--input-type=module', '--eval', program]
  t.deepEqual(await endOf(process.execPath, args, { cwd: ROOT }), { end: 0, printed: '', complaints: '' })
  t.deepEqual(readdirSync(directory), [])
})

test.serial('many at once do not disturb each other, and work goes on meanwhile', async t => {
  const directory = newDirectory(t)
  let isDone = false
  const all = Promise.all(Array.from({ length: 4 }, () => diagnose({ scratchDir: join(directory, 'new') })))
  const turn = new Promise<boolean>(resolve => setImmediate(() => resolve(isDone)))
  const diagnoses = await all.finally(() => {
    isDone = true
  })
  t.false(await turn, 'the first turn of the event loop comes before the speed is known')
  for (const { canServe, speed, speedError } of diagnoses) {
    t.deepEqual([canServe, speed === undefined, speedError], [true, false, undefined])
  }
  t.deepEqual(readdirSync(directory), [])
})

test.serial('a directory that does not answer, and an addon that fails, are findings', async t => {
  const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: { examine: unknown } }
  const { factsOf } = (await import(`${'../dist/doctor/facts.js'}`)) as {
    factsOf(request: object, patienceMs: number): Promise<Facts>
  }
  const { examine } = native
  t.teardown(() => {
    native.examine = examine
  })
  native.examine = () => new Promise(() => {})
  const { error, scratch } = await factsOf({ scratchDir: '/a', allowRamBacked: false, measuresSpeed: true }, 20)
  t.deepEqual([error?.code, scratch], ['ETIMEDOUT', undefined])
  t.is(error?.message, 'There is no answer after 0.02 s, most likely from /a')
  native.examine = () => Promise.reject(new Error('a job panicked'))
  const failed = await factsOf({ scratchDir: undefined, allowRamBacked: false, measuresSpeed: true }, 10_000)
  t.deepEqual([failed.error?.code, failed.error?.message.includes('a job panicked')], ['ERR_PAGEOUT_INTERNAL', true])
})

test('in a worker it is the environment of the worker that counts', async t => {
  const directory = newDirectory(t)
  const program = `
    const { parentPort } = require('node:worker_threads')
    require('pageout/doctor').diagnose({ speed: false }).then(({ scratch }) => parentPort.postMessage(scratch.chosen.path))`
  const env = { ...process.env, PAGEOUT_SCRATCH_DIR: directory }
  const worker = new Worker(program, { eval: true, env, execArgv: [] })
  t.is(await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)), directory)
})

test('wrong options are refused by name', async t => {
  for (const [options, code, named] of [
    [5, 'ERR_INVALID_ARG_TYPE', 'options'],
    [null, 'ERR_INVALID_ARG_TYPE', 'options'],
    [[], 'ERR_INVALID_ARG_TYPE', 'options'],
    [{ scratchDir: 5 }, 'ERR_INVALID_ARG_TYPE', 'options.scratchDir'],
    [{ scratchDir: '' }, 'ERR_INVALID_ARG_VALUE', 'options.scratchDir'],
    [{ scratchDir: 'a\0b' }, 'ERR_INVALID_ARG_VALUE', 'options.scratchDir'],
    [{ speed: 1 }, 'ERR_INVALID_ARG_TYPE', 'options.speed'],
    [{ allowRamBacked: 'yes' }, 'ERR_INVALID_ARG_TYPE', 'options.allowRamBacked'],
  ] as const) {
    const error = await t.throwsAsync(diagnose(options as never), { instanceOf: TypeError, code })
    t.true(error?.message.includes(named), error?.message)
  }
  t.true((await diagnose({ scratchDir: undefined, allowRamBacked: undefined, speed: false })).canServe)
})
