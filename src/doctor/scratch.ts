/** What was found out about scratch directories means: pure. */

import type { Finding, Reason, RefusedFacts, ScratchDirFacts, ScratchFacts } from './types.js'
import { bytes } from './words.js'

const section = 'scratch'

/** The smallest slot: with less room nothing can be paged out. */
const SLOT_BYTES = 4096
/** With less room than this it is worth a word. */
const LITTLE_ROOM_BYTES = 2 ** 30

export function scratchFindings(facts: ScratchFacts): Finding[] {
  const { chosen, error, refused } = facts
  if (error) return [noPager(error.message)]
  const findings = refused.map(directory => refusal(directory, facts))
  return chosen
    ? [...findings, serves(chosen), ...notesAbout(chosen), room(chosen, facts), abilities(chosen)]
    : [...findings, ...(facts.named === undefined ? [NOWHERE] : [])]
}

function noPager(message: string): Finding {
  const advice = 'Set PAGEOUT_CAPACITY_BYTES to a number of bytes, or unset it.'
  return { section, code: 'capacity-variable', level: 'problem', message, advice }
}

function refusal({ path, reason }: RefusedFacts, { chosen, named, variables }: ScratchFacts): Finding {
  const level = chosen ? 'note' : 'problem'
  const isWanted = path === variables.scratchDir && named === undefined
  const message = `${path}${isWanted ? ', which PAGEOUT_SCRATCH_DIR names,' : ''} was refused: ${shortened(reason.message)}`
  return { section, code: 'scratch-refused', level, message, advice: adviceAbout(reason) }
}

/** The path stands before it already. */
function shortened(message: string): string {
  return message.replace(/ in scratch directory '.*'$/s, '').replace(/^the (scratch )?directory '.*?' /s, 'it ')
}

const ELSEWHERE = 'name another directory, on a disk, in PAGEOUT_SCRATCH_DIR or scratchDir'

/** What to do about a refusal, by its code. */
const ADVICE: Readonly<Record<string, string>> = {
  ERR_PAGEOUT_RAM_BACKED: `Mount a disk or a volume there, or ${ELSEWHERE}. In Kubernetes: an emptyDir without "medium: Memory". The option allowRamBacked allows memory all the same.`,
  ERR_PAGEOUT_SCRATCH_DIR: `Give the directory to the user of this process, or take the right to write away from all others (chmod o-w), or ${ELSEWHERE}.`,
  EROFS: `Mount a volume there that can be written to (in Kubernetes an emptyDir), or ${ELSEWHERE}.`,
  EACCES: `Give the user of this process the right to write there, or ${ELSEWHERE}.`,
  EPERM: `Give the user of this process the right to write there, or ${ELSEWHERE}.`,
  ENOTDIR: `What has this name, or one on the way there, is no directory: remove it, or ${ELSEWHERE}.`,
  ENOSPC: `Make room on this disk, for files too (df -i), or ${ELSEWHERE}.`,
  EDQUOT: `Make room within the quota, or ${ELSEWHERE}.`,
  EMFILE: 'Raise the limit of open files of this process (ulimit -n).',
  ENFILE: 'The machine may open no more files: raise fs.file-max (sysctl).',
  EFBIG: 'Raise the limit on the length of files (ulimit -f), which is below 4 KiB.',
  EIO: `The device fails, which the log of the kernel (dmesg) may explain: ${ELSEWHERE}.`,
}

export function adviceAbout({ code }: Reason): string {
  return ADVICE[code] ?? `${ELSEWHERE.replace('name', 'Name')}.`
}

/** What several refusals come to. */
const NOWHERE: Finding = {
  section,
  code: 'scratch-missing',
  level: 'problem',
  message: 'No directory can hold scratch files',
  advice:
    'One of these steps is enough. In a container mount a volume, say at /scratch, and set PAGEOUT_SCRATCH_DIR=/scratch.',
}

function serves({ path, fileSystem, mountPoint, mountSource, isNew }: ScratchDirFacts): Finding {
  const source = mountSource?.startsWith('/') || mountSource?.includes(':') ? ` on ${mountSource}` : ''
  const mount = mountPoint === undefined ? '' : `, mounted at ${mountPoint}`
  const message = `${path} serves: ${fileSystem}${source}${mount}`
  const details = isNew ? ['It is not there yet: the first pageout makes it.'] : []
  return { section, code: 'scratch-chosen', level: 'ok', message, details }
}

function notesAbout({ isInMemory, isRemote, fileSystem }: ScratchDirFacts): Finding[] {
  const note = { section, level: 'note' } as const
  const inMemory: Finding = {
    ...note,
    code: 'scratch-in-memory',
    message: 'It is in memory: paging out to it frees nothing',
    advice: 'Name a directory on a disk, and leave allowRamBacked out.',
  }
  const remote: Finding = {
    ...note,
    code: 'scratch-remote',
    message: `It is on another machine (${fileSystem}): what is not in the page cache goes over the network`,
    advice: 'Name a directory on a disk of this machine in PAGEOUT_SCRATCH_DIR.',
  }
  return [...(isInMemory ? [inMemory] : []), ...(isRemote ? [remote] : [])]
}

function room({ freeBytes, totalBytes, capacityBytes }: ScratchDirFacts, { variables }: ScratchFacts): Finding {
  const limit = variables.capacityBytes
  const because = limit === undefined ? 'a tenth stays free' : `a tenth stays free; PAGEOUT_CAPACITY_BYTES=${limit}`
  const free = freeBytes === undefined ? 'unknown' : bytes(freeBytes)
  const of = totalBytes === undefined ? '' : ` of ${bytes(totalBytes)}`
  const message = `Room: ${free}${of} free; a pager may use ${bytes(capacityBytes)} (${because})`
  if (capacityBytes >= LITTLE_ROOM_BYTES) return { section, code: 'room', level: 'ok', message }
  const level = capacityBytes < SLOT_BYTES ? 'problem' : 'note'
  const advice =
    capacityBytes === Number(limit)
      ? 'Raise PAGEOUT_CAPACITY_BYTES, or unset it.'
      : 'Make room on this disk, or name a directory of a larger one in PAGEOUT_SCRATCH_DIR. A pager with capacityBytes of its own may use the last tenth as well.'
  return { section, code: 'room', level, message, advice }
}

function abilities({ unnamedFiles, reservedSpace, holes }: ScratchDirFacts): Finding {
  const named = [
    ['unnamed files', unnamedFiles, 'a file has a name for an instant'],
    ['reserved space', reservedSpace, 'a full disk may be reported by a write'],
    ['holes', holes, 'free space in the middle of a file stays there'],
  ] as const
  const has = named.filter(([, has]) => has).map(([name]) => name)
  const lacks = named.filter(([, has]) => !has).map(([name, , then]) => `${name} (without: ${then})`)
  const can = has.join(', ') || 'none of what pageout uses where it is there'
  const ok: Finding = { section, code: 'file-system', level: 'ok', message: `The file system has ${can}` }
  if (lacks.length === 0) return ok
  const advice = 'Nothing has to be done: pageout does without. On Linux a local ext4, xfs or btrfs has all of it.'
  return { ...ok, level: 'note', message: `${ok.message}. It lacks ${lacks.join(', ')}`, advice }
}
