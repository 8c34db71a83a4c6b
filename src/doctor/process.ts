/** What the limits of the process mean: pure. */

import type { Finding, LimitFacts, ProcessFacts } from './types.js'
import { bytes } from './words.js'

const section = 'process'

/** The largest slot: the piece that a long payload is cut into. */
const LARGEST_SLOT_BYTES = 64 * 2 ** 20

export function processFindings(facts: ProcessFacts): Finding[] {
  const { addressSpaceBytes, dataBytes, fileBytes } = facts
  const memory = [
    memoryLimit('Address space', 'ulimit -v', addressSpaceBytes),
    memoryLimit('Private memory', 'ulimit -d', dataBytes),
  ].flat()
  return [descriptors(facts), fileLength(fileBytes), ...memory]
}

function descriptors({ descriptors: { soft, hard, used = 0 }, pagerDescriptors }: ProcessFacts): Finding {
  const ok = { section, code: 'descriptors', level: 'ok' } as const
  if (soft === undefined) return { ...ok, message: `No limit of open files, ${used} open` }
  const message = `Open files: at most ${soft}, ${used} open; a pager opens up to ${pagerDescriptors}`
  if (soft - used >= pagerDescriptors) return { ...ok, message }
  const wanted = used + 2 * pagerDescriptors
  const bound = hard !== undefined && hard < wanted ? ` Only root may raise it past ${hard}.` : ''
  const advice = `Raise the limit to ${wanted} or more: ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of Docker.${bound} Until then paging out may fail with EMFILE.`
  return { ...ok, level: 'note', message, advice }
}

function fileLength({ soft }: LimitFacts): Finding {
  const ok = { section, code: 'file-length', level: 'ok' } as const
  if (soft === undefined) return { ...ok, message: 'No limit on the length of files' }
  const message = `Files may have at most ${bytes(soft)}`
  if (soft >= LARGEST_SLOT_BYTES) return { ...ok, message }
  const advice = `Raise it to ${bytes(LARGEST_SLOT_BYTES)} or more (ulimit -f, LimitFSIZE= of systemd). Longer payloads fail with EFBIG.`
  return { ...ok, level: 'note', message, advice }
}

function memoryLimit(name: string, command: string, { soft, used }: LimitFacts): Finding[] {
  if (soft === undefined) return []
  const inUse = used === undefined ? '' : `, ${bytes(used)} in use`
  const message = `${name} of this process is limited to ${bytes(soft)} (${command})${inUse}`
  const advice =
    'Results need memory within this limit, which counts what is reserved too: raise it where calls fail with ENOMEM.'
  return [{ section, code: 'process-memory', level: 'note', message, advice }]
}
