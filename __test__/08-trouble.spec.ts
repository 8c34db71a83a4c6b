import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { PageoutError, Pager, type PagerOptions } from 'pageout'
import { runChild } from './helpers/child.js'
import { KIB, MIB, pattern, sameBytes } from './helpers/chunks.js'
import { isReached } from './helpers/collect.js'
import { canMount, canMountFiles, inMemory, newFileMount, newMount, writeFull } from './helpers/mounts.js'
import type { Outcome } from './helpers/outcome.js'
import { countsOf, hasProc, newDirectory, newPager, openDescriptors } from './helpers/places.js'
import { scratchFiles, spoil } from './helpers/scratch.js'

/** Runs a test where the machine allows it; elsewhere the report shows it as skipped. */
const where = (isPossible: boolean) => (isPossible ? test : test.skip)

function failureOf(t: ExecutionContext, call: () => unknown, code: string): PageoutError {
  return t.throws(call, { instanceOf: PageoutError, code }) as PageoutError
}

test('a scratch directory that does not exist is created with its parents, for its owner', t => {
  const scratchDir = join(newDirectory(t), 'a', 'b', 'c')
  using pager = new Pager({ scratchDir })
  t.is(pager.stats().scratchDir, scratchDir)
  t.true(statSync(scratchDir).isDirectory())
  sameBytes(t, pager.take(pager.pageout(pattern(10))), pattern(10))
})

test('a relative scratch directory is one below the working directory', t => {
  const before = process.cwd()
  const directory = newDirectory(t)
  process.chdir(directory)
  try {
    using pager = new Pager({ scratchDir: 'here' })
    t.is(pager.stats().scratchDir, join(directory, 'here'))
  } finally {
    process.chdir(before)
  }
})

test('a file is no scratch directory', t => {
  const path = join(newDirectory(t), 'file')
  writeFileSync(path, 'content')
  for (const scratchDir of [path, join(path, 'below')]) {
    const error = failureOf(t, () => new Pager({ scratchDir }), 'ERR_PAGEOUT_SCRATCH_DIR')
    t.true(error.message.includes(scratchDir))
    const cause = error.cause as PageoutError
    t.true(cause instanceof PageoutError)
    t.true(['ENOTDIR', 'EEXIST'].includes(cause.code), cause.code)
    t.true(cause.errno !== undefined && cause.errno < 0)
    t.is(typeof cause.syscall, 'string')
    t.deepEqual(
      error.tried?.map(refused => [refused.path, refused.error.code]),
      [[scratchDir, cause.code]],
    )
    t.is(error.path, scratchDir)
  }
  t.is(readFileSync(path, 'utf8'), 'content')
})

where(hasProc)('a place where nothing can be created is no scratch directory', t => {
  for (const scratchDir of ['/proc/pageout', '/proc', '/sys/pageout', '/dev/null']) {
    const error = failureOf(t, () => new Pager({ scratchDir }), 'ERR_PAGEOUT_SCRATCH_DIR')
    t.regex((error.cause as PageoutError).code, /^E[A-Z]+$/, scratchDir)
    t.deepEqual(
      error.tried?.map(({ path }) => path),
      [scratchDir],
    )
  }
})

test('a directory without permission is no scratch directory', async t => {
  const parent = newDirectory(t)
  const [closed, below] = [join(parent, 'closed'), join(parent, 'closed', 'below')]
  mkdirSync(closed)
  chmodSync(parent, 0o755)
  chmodSync(closed, 0o555)
  t.teardown(() => chmodSync(closed, 0o755))
  for (const outcome of await runChild<Outcome[]>('without-permission.ts', [closed, below])) {
    t.is(outcome.code, 'ERR_PAGEOUT_SCRATCH_DIR', outcome.message ?? 'nothing was thrown')
    t.is(outcome.causeCode, 'EACCES')
    t.is(outcome.errno, -13)
  }
  t.deepEqual(readdirSync(closed), [])
})

where(process.getuid?.() === 0)(
  'a directory of another user that everybody may write to is refused, and says whose it is',
  t => {
    const scratchDir = newDirectory(t)
    const [other, mode] = [65_534, 0o1777]
    chownSync(scratchDir, other, other)
    chmodSync(scratchDir, mode)
    const error = failureOf(t, () => new Pager({ scratchDir }), 'ERR_PAGEOUT_SCRATCH_DIR')
    t.regex(error.message, /belongs to another user.*owner 65534, mode 1777/)
    const cause = error.cause as PageoutError
    t.deepEqual([error.path, cause.code, cause.path], [scratchDir, 'ERR_PAGEOUT_SCRATCH_DIR', scratchDir])
    t.deepEqual([cause.owner, cause.mode], [other, mode])
  },
)

where(inMemory)('a scratch directory in memory is refused unless that is allowed', t => {
  const scratchDir = '/dev/shm'
  for (const allowRamBacked of [undefined, false]) {
    const options = (
      allowRamBacked === undefined ? { scratchDir } : { scratchDir, allowRamBacked }
    ) satisfies PagerOptions
    const error = failureOf(t, () => new Pager(options), 'ERR_PAGEOUT_RAM_BACKED')
    t.is(error.path, scratchDir)
    t.is(error.fileSystem, 'tmpfs')
  }
  using pager = new Pager({ scratchDir, allowRamBacked: true })
  t.is(pager.stats().fileSystem, 'tmpfs')
  sameBytes(t, pager.take(pager.pageout(pattern(5000))), pattern(5000))
})

where(canMount)('a full disk is an ordinary error that leaves everything as it was', t => {
  const scratchDir = newMount(t, '8m')
  const pager = new Pager({ scratchDir, allowRamBacked: true, capacityBytes: 2 ** 30 })
  t.teardown(() => pager.close())
  const first = pager.pageout(pattern(4 * MIB))
  const chunks = [pattern(5 * MIB, 2), pattern(3 * MIB, 3)]
  const before = countsOf(pager)
  failureOf(t, () => pager.pageout(chunks), 'ENOSPC')
  const result = pager.tryPageout(chunks)
  t.is(result.ok ? undefined : result.error.code, 'ENOSPC')
  chunks.forEach((chunk, position) => {
    sameBytes(t, chunk, pattern([5 * MIB, 3 * MIB][position] ?? 0, position + 2))
  })
  t.deepEqual({ ...countsOf(pager), scratchBytes: 0 }, { ...before, scratchBytes: 0 })

  const small = pager.pageout(pattern(MIB, 4))
  sameBytes(t, pager.take(small), pattern(MIB, 4), 'smaller payloads are still served')
  sameBytes(t, pager.take(first), pattern(4 * MIB))
  const retried = pager.pageout(chunks[0] ?? [])
  sameBytes(t, pager.take(retried), pattern(5 * MIB, 2), 'what did not fit before does now')
})

where(canMount)('a full disk says what was asked for, what is in use and what may be', t => {
  const scratchDir = newMount(t, '8m')
  const pager = new Pager({ scratchDir, allowRamBacked: true, capacityBytes: 2 ** 30 })
  t.teardown(() => pager.close())
  const handle = pager.pageout(pattern(4 * MIB))
  const error = failureOf(t, () => pager.pageout(pattern(8 * MIB)), 'ENOSPC')
  t.is(error.errno, -28)
  t.regex(error.syscall ?? '', /^[a-z]+\d*$/)
  t.is(error.path, scratchDir)
  t.regex(error.message, /ENOSPC/)
  const { requestedBytes, usedBytes, capacityBytes } = error
  t.deepEqual(
    { requestedBytes, usedBytes, capacityBytes },
    { requestedBytes: 8 * MIB, usedBytes: 4 * MIB, capacityBytes: 2 ** 30 },
  )
  t.false(handle.released)
})

where(canMount)('a disk that others filled serves again once they made room', t => {
  const scratchDir = newMount(t, '8m')
  const pager = new Pager({ scratchDir, allowRamBacked: true, capacityBytes: 2 ** 30 })
  t.teardown(() => pager.close())
  writeFileSync(join(scratchDir, 'filler'), new Uint8Array(8 * MIB - 64 * KIB))
  const chunk = pattern(MIB)
  failureOf(t, () => pager.pageout(chunk), 'ENOSPC')
  failureOf(t, () => pager.pageout(chunk), 'ENOSPC')
  sameBytes(t, chunk, pattern(MIB))
  sameBytes(t, pager.take(pager.pageout(pattern(4 * KIB))), pattern(4 * KIB))
  rmSync(join(scratchDir, 'filler'))
  sameBytes(t, pager.take(pager.pageout(chunk)), pattern(MIB))
})

where(canMount)('a disk that is full from the beginning is no reason to refuse its directory', t => {
  const scratchDir = newMount(t, '1m')
  writeFull(join(scratchDir, 'filler'))
  const pager = new Pager({ scratchDir, allowRamBacked: true, capacityBytes: 2 ** 30 })
  t.teardown(() => pager.close())
  failureOf(t, () => pager.pageout(pattern(100)), 'ENOSPC')
  rmSync(join(scratchDir, 'filler'))
  sameBytes(t, pager.take(pager.pageout(pattern(100))), pattern(100))
})

where(canMount)('without a capacity a tenth of the file system stays free', t => {
  const scratchDir = newMount(t, '20m')
  const pager = new Pager({ scratchDir, allowRamBacked: true })
  t.teardown(() => pager.close())
  const error = failureOf(t, () => pager.pageout(pattern(19 * MIB)), 'ERR_PAGEOUT_CAPACITY')
  t.is(error.capacityBytes, pager.stats().capacityBytes)
  t.true((error.capacityBytes ?? 0) <= 18 * MIB, String(error.capacityBytes))
  sameBytes(t, pager.take(pager.pageout(pattern(16 * MIB))), pattern(16 * MIB))
})

where(canMount)('the space of a closed pager goes back to the file system, while handles are still held', async t => {
  const scratchDir = newMount(t, '96m')
  const freeBytes = () => statfsSync(scratchDir).bfree * statfsSync(scratchDir).bsize
  const before = freeBytes()
  const pager = new Pager({ scratchDir, allowRamBacked: true, capacityBytes: 2 ** 30 })
  const handles = [pattern(100), pattern(70 * MIB)].map(chunk => pager.pageout(chunk))
  t.true(freeBytes() <= before - 70 * MIB)
  pager.close()
  t.true(await isReached(() => freeBytes() === before), `${freeBytes()} of ${before} bytes are free`)
  t.is(handles.length, 2)
})

where(canMountFiles)('what the device loses is reported as that, and the rest goes on', async t => {
  // 256 MiB on a device that has 48: what is written is well until the kernel writes it back.
  const device = newMount(t, '48m')
  const place = newFileMount(t, 'ext4', 256 * MIB, device)
  const outcomes = await runChild<Record<string, number> & { errors: [string, number][] }>('lost.ts', [place])
  const { right, wrong, lost, errors, writeBackFailures, atRisk, atRiskBytes } = outcomes
  t.is(wrong, 0)
  t.true(right !== undefined && right > 0 && lost !== undefined && lost > 0, JSON.stringify(outcomes))
  t.deepEqual([writeBackFailures, atRisk, atRiskBytes], [1, 100, 100 * MIB])
  for (const [code, errno] of errors) {
    t.is(code, 'ERR_PAGEOUT_CORRUPT')
    t.true([-28, -5].includes(errno), `ENOSPC or EIO, not ${errno}`)
  }
})

test('a payload of a device that says nothing is not at risk', t => {
  const pager = newPager(t)
  const [handle, kept] = [pager.pageout(pattern(100)), pager.pageoutWith('swap', pattern(100))]
  t.deepEqual([handle.atRisk, kept.atRisk], [false, false])
  handle[Symbol.dispose]()
  t.false(handle.atRisk)
  t.deepEqual([pager.stats().writeBackFailures, pager.stats().atRiskBytes], [0, 0])
})

test('a reached capacity is an ordinary error with its numbers', t => {
  const pager = newPager(t, { capacityBytes: 64 * KIB })
  t.is(pager.stats().capacityBytes, 64 * KIB)
  const first = pager.pageout(pattern(48 * KIB))
  const chunks = [pattern(10_000, 2), pattern(10_000, 3)]
  const before = countsOf(pager)
  const error = failureOf(t, () => pager.pageout(chunks), 'ERR_PAGEOUT_CAPACITY')
  t.is(error.usedBytes, 48 * KIB)
  t.is(error.capacityBytes, 64 * KIB)
  t.is(error.payloads, 1)
  t.regex(error.message, /49152 of 65536 bytes in use by 1 payloads/)
  t.true((error.requestedBytes ?? 0) >= 20_000 && (error.requestedBytes ?? 0) <= 32 * KIB, String(error.requestedBytes))
  const result = pager.tryPageout(chunks)
  t.is(result.ok ? undefined : result.error.code, 'ERR_PAGEOUT_CAPACITY')
  chunks.forEach((chunk, position) => {
    sameBytes(t, chunk, pattern(10_000, position + 2))
  })
  t.deepEqual(countsOf(pager), before)
  const small = pager.pageout(pattern(16 * KIB, 4))
  failureOf(t, () => pager.pageout(Uint8Array.of(1)), 'ERR_PAGEOUT_CAPACITY')
  t.is(pager.pageout(new Uint8Array(0)).length, 0, 'nothing needs no room')
  const swapped = pager.pageoutWith('swap', pattern(MIB))
  sameBytes(t, pager.take(swapped), pattern(MIB), 'the capacity is one of scratch space')
  first[Symbol.dispose]()
  sameBytes(t, pager.take(pager.pageout(chunks)), Buffer.concat([pattern(10_000, 2), pattern(10_000, 3)]))
  sameBytes(t, pager.take(small), pattern(16 * KIB, 4))
})

test('a capacity below the smallest slot serves no payload', t => {
  const pager = newPager(t, { capacityBytes: 1 })
  const chunk = Uint8Array.of(5)
  const error = failureOf(t, () => pager.pageout(chunk), 'ERR_PAGEOUT_CAPACITY')
  t.deepEqual([error.usedBytes, error.capacityBytes], [0, 1])
  t.deepEqual([...chunk], [5])
})

test('the try forms return failures of the system and values alike', t => {
  const pager = newPager(t, { capacityBytes: 8 * KIB })
  const full = pager.tryPageoutWith('file', pattern(9 * KIB))
  t.false(full.ok)
  if (!full.ok) t.true(full.error instanceof PageoutError)
  const out = pager.tryPageoutWith('file', pattern(100))
  if (!out.ok) return t.fail(out.error.message)
  const read = pager.tryReadAt(out.value, 10, 5)
  if (!read.ok) return t.fail(read.error.message)
  sameBytes(t, read.value, pattern(100).subarray(10, 15))
  const many = pager.tryReadAtMany(out.value, [
    [50, 1],
    [0, 2],
  ])
  if (!many.ok) return t.fail(many.error.message)
  sameBytes(t, many.value, Uint8Array.of(...pattern(100).subarray(50, 51), ...pattern(100).subarray(0, 2)))
  const taken = pager.tryTake(out.value, new Uint8Array(200))
  if (!taken.ok) return t.fail(taken.error.message)
  sameBytes(t, taken.value, pattern(100))
})

for (const way of ['overwritten', 'cut off'] as const) {
  where(hasProc)(`bytes of a scratch file that were ${way} are an error of their own, never data`, t => {
    const scratchDir = newDirectory(t)
    using pager = new Pager({ scratchDir, spareBytes: 0 })
    const bytes = pattern(40 * KIB)
    const handle = pager.pageout(bytes.slice())
    const heal = spoil(scratchDir, bytes.subarray(20 * KIB), way)
    const calls = [
      () => pager.readAt(handle, 20 * KIB + 100, 1),
      () => pager.readAt(handle, 0, 40 * KIB),
      () =>
        pager.readAtMany(handle, [
          [30 * KIB, 1],
          [20 * KIB, 5],
        ]),
      () => pager.readAt(handle, 20 * KIB, 10, new Uint8Array(10)),
      () => pager.take(handle),
      () => pager.take(handle, new Uint8Array(40 * KIB)),
    ]
    const before = countsOf(pager)
    for (const call of calls) {
      const error = failureOf(t, call, 'ERR_PAGEOUT_CORRUPT')
      t.is(typeof error.byteOffset, 'number')
      t.true((error.byteOffset ?? -1) <= 20 * KIB)
    }
    const result = pager.tryTake(handle)
    t.is(result.ok ? undefined : result.error.code, 'ERR_PAGEOUT_CORRUPT')
    t.deepEqual(countsOf(pager), before)
    t.false(handle.released)
    sameBytes(t, pager.readAt(handle, 100, 8 * KIB), bytes.subarray(100, 100 + 8 * KIB), 'the rest is still there')
    heal()
    sameBytes(t, pager.take(handle), bytes, 'a take that failed can be tried again')
  })
}

where(hasProc)('without integrity bytes come back as the scratch file has them', t => {
  const scratchDir = newDirectory(t)
  using pager = new Pager({ scratchDir, integrity: 'none' })
  const bytes = pattern(8 * KIB)
  const handle = pager.pageout(bytes.slice())
  spoil(scratchDir, bytes.subarray(4 * KIB), 'overwritten')
  const result = pager.take(handle)
  t.is(result[4 * KIB], (bytes[4 * KIB] ?? 0) ^ 0xff)
  sameBytes(t, result.subarray(0, 4 * KIB), bytes.subarray(0, 4 * KIB))
})

where(hasProc)('without a file descriptor a pageout fails, and serves again when there is one', async t => {
  const arguments_ = [newDirectory(t)]
  const { descriptors, without, isIntact, again, read, retry } = await runChild<{
    descriptors: number
    without: Outcome
    isIntact: boolean
    again: Outcome
    read: Outcome
    retry: Outcome
  }>('no-descriptors.ts', arguments_, {}, 'ulimit -n 256')
  t.true(descriptors > 0 && descriptors < 256)
  t.is(without.code, 'EMFILE')
  t.is(without.errno, -24)
  t.is(without.path, arguments_[0])
  t.is(typeof without.syscall, 'string')
  t.true(isIntact)
  t.deepEqual([again, read, retry], [{}, {}, {}], 'all else works')
})

test('the scratch directory of the process is chosen once', async t => {
  const good = newDirectory(t)
  const alias = join(newDirectory(t), 'alias')
  symlinkSync(good, alias)
  const other = join(newDirectory(t), 'other')
  const file = join(newDirectory(t), 'file')
  writeFileSync(file, '')
  const steps = await runChild<Record<string, Outcome>>('set-scratch-dir.ts', [file, good, alias, other])
  const inUse: Outcome = { code: 'ERR_PAGEOUT_SCRATCH_DIR', path: good, isPageoutError: true }
  const { unusable, other: refused, unusableLater, ...rest } = steps
  t.like(unusable, { code: 'ERR_PAGEOUT_SCRATCH_DIR', tried: [file] })
  t.like(refused, inUse)
  t.true(refused?.message?.includes(other))
  t.like(unusableLater, inUse)
  t.deepEqual(rest as object, {
    placeAfterUnusable: null,
    good: {},
    placeAfterGood: good,
    again: {},
    alias: {},
    placeAtTheEnd: good,
    sum: 6,
  })
  t.false(existsSync(other), 'a refused choice creates nothing')
})

where(inMemory)('the scratch directory of the process is none in memory', async t => {
  const good = newDirectory(t)
  const steps = await runChild<Record<string, Outcome>>('set-scratch-dir.ts', ['/dev/shm', good, good, good])
  t.like(steps.unusable, { code: 'ERR_PAGEOUT_RAM_BACKED', path: '/dev/shm' })
  t.is(steps.placeAtTheEnd as unknown, good)
})

interface Default {
  readonly before: string | null
  readonly scratchDir: string
  readonly length: number
  readonly other: Outcome
}

test('PAGEOUT_SCRATCH_DIR names the default scratch directory, which is created', async t => {
  const named = join(newDirectory(t), 'new', 'one')
  const { before, scratchDir, other } = await runChild<Default>('default-directory.ts', [newDirectory(t)], {
    PAGEOUT_SCRATCH_DIR: named,
  })
  t.is(before, null, 'it is opened by the first pageout')
  t.is(scratchDir, named)
  t.is(other.code, 'ERR_PAGEOUT_SCRATCH_DIR')
  t.is(other.path, named)
})

test('the next directory serves where PAGEOUT_SCRATCH_DIR cannot', async t => {
  const file = join(newDirectory(t), 'file')
  writeFileSync(file, '')
  const [other, temporary] = [newDirectory(t), newDirectory(t)]
  for (const PAGEOUT_SCRATCH_DIR of [file, '', ...(inMemory ? ['/dev/shm'] : [])]) {
    const { scratchDir } = await runChild<Default>('default-directory.ts', [other, temporary], { PAGEOUT_SCRATCH_DIR })
    t.is(scratchDir, temporary, PAGEOUT_SCRATCH_DIR)
  }
  const { scratchDir } = await runChild<Default>('default-directory.ts', [other, file], { PAGEOUT_SCRATCH_DIR: file })
  t.is(scratchDir, '/var/tmp')
})

where(hasProc)('scratch files have no name and are readable for nobody else', t => {
  const scratchDir = newDirectory(t)
  using pager = new Pager({ scratchDir })
  t.deepEqual(readdirSync(scratchDir), [])
  const handles = [1, 5000, 70_000, 3 * MIB].map(byteLength => {
    const handle = pager.pageout(pattern(byteLength))
    t.deepEqual(readdirSync(scratchDir), [])
    return handle
  })
  const files = scratchFiles(scratchDir)
  t.true(files.length >= 4)
  for (const { mode, nlink } of files.map(path => statSync(path))) {
    t.is(mode & 0o077, 0)
    t.is(nlink, 0)
  }
  for (const handle of handles) pager.take(handle)
  pager.trim()
  t.deepEqual(readdirSync(scratchDir), [])
})

for (const how of ['exit', 'throw', 'kill']) {
  test(`no file stays behind a process that ends by ${how}`, async t => {
    const scratchDir = newDirectory(t)
    const ended = runChild('ends.ts', [scratchDir, how])
    const error = await t.throwsAsync(ended)
    t.regex(error?.message ?? '', { exit: /JSON/, throw: /not caught/, kill: /SIGKILL/ }[how] ?? /never/)
    t.deepEqual(readdirSync(scratchDir), [])
  })
}

where(hasProc)('file descriptors do not grow with the number of handles', t => {
  const pager = newPager(t)
  const handles = [pager.pageout(pattern(100))]
  const before = openDescriptors()
  while (handles.length < 10_000) handles.push(pager.pageout(pattern(100)))
  t.is(openDescriptors(), before)
  for (const handle of handles) pager.readAt(handle, 99, 1)
  for (const handle of handles) pager.take(handle)
  t.is(openDescriptors(), before)
})
