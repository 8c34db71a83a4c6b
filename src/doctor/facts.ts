/** Gathers the facts of a diagnosis: what the search for the addon came to, and what the addon says. */

import { type Search, search } from '../addon/search.js'
import { DOCTOR, fromNative, type PageoutError } from '../model/errors.js'
import { os, workers } from '../runtime/node.js'
import { type Facts, type InstallationFacts, NO_ANSWER, type Reason, type ScratchFacts } from './types.js'

/** What to look at. */
export interface Request {
  readonly scratchDir: string | undefined
  readonly allowRamBacked: boolean
  readonly measuresSpeed: boolean
}

/** A directory of a file system that hangs, as one of a network may, answers never. */
const PATIENCE_MS = 30_000

/** Gathers all there is. It does not reject, and waits no longer than `patienceMs`. */
export async function factsOf(request: Request, patienceMs = PATIENCE_MS): Promise<Facts> {
  const found = search()
  const installation = installationOf(found)
  if (!found.addon) return { installation }
  try {
    const machine = await withinTime(machineOf(found.addon, request), patienceMs)
    return { installation, ...(machine ?? { error: noAnswer(patienceMs, request) }) }
  } catch (thrown) {
    return { installation, error: reasonOf(fromNative(thrown)) }
  }
}

/** What comes of a promise; nothing where it takes longer. */
async function withinTime<T>(promise: Promise<T>, limitMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const end = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, limitMs, undefined)
  })
  return Promise.race([promise, end]).finally(() => clearTimeout(timer))
}

function noAnswer(patienceMs: number, { scratchDir }: Request): Reason {
  const { PAGEOUT_SCRATCH_DIR: preferred } = process.env
  const searched = [...(preferred ? [preferred] : []), os.tmpdir(), '/var/tmp']
  const names = (scratchDir === undefined ? searched : [scratchDir]).join(', ')
  return { code: NO_ANSWER, message: `There is no answer after ${patienceMs / 1000} s, most likely from ${names}` }
}

function installationOf({ version, nodes, platform, looks, addon, error }: Search): InstallationFacts {
  const file = addon && looks.at(-1)?.file()
  return {
    version,
    node: process.versions.node,
    supportedNodes: nodes,
    platform,
    ...(file !== undefined && { addon: file }),
    looks: looks.map(({ file: _, ...look }) => look),
    ...(!addon && { error: reasonOf(error) }),
  }
}

async function machineOf(addon: NonNullable<Search['addon']>, request: Request): Promise<Omit<Facts, 'installation'>> {
  const { scratchDir, allowRamBacked, measuresSpeed } = request
  const facts = await addon.examine(scratchDir, allowRamBacked, measuresSpeed, workerEnvironment())
  const scratch: ScratchFacts = {
    ...(scratchDir !== undefined && { named: scratchDir }),
    variables: variables(),
    ...facts.scratch,
  }
  return { ...facts, scratch }
}

/** The variables that are set. */
function variables(): ScratchFacts['variables'] {
  const { PAGEOUT_SCRATCH_DIR: scratchDir, PAGEOUT_CAPACITY_BYTES: capacityBytes } = process.env
  return { ...(scratchDir && { scratchDir }), ...(capacityBytes && { capacityBytes }) }
}

/** A worker's own variables, which the addon cannot see; nothing on the main thread, where it reads them itself. */
function workerEnvironment(): string[] | undefined {
  if (workers.isMainThread) return undefined
  const { PAGEOUT_SCRATCH_DIR = '', PAGEOUT_CAPACITY_BYTES = '' } = process.env
  return [PAGEOUT_SCRATCH_DIR, os.tmpdir(), PAGEOUT_CAPACITY_BYTES]
}

/** An error in words, without the advice to call the doctor. */
function reasonOf(error: unknown): Reason {
  const { code = 'ERR_PAGEOUT_INTERNAL', message } = error as Partial<PageoutError>
  return { code, message: (message ?? String(error)).replace(DOCTOR, '') }
}
