/**
 * Finds out whether pageout can serve here, and what to do where it cannot. This entry point loads where the others fail because
 * the addon is missing. `npx pageout doctor` prints what it finds.
 *
 * @module pageout/doctor
 */

import { factsOf } from './doctor/facts.js'
import { diagnosisOf } from './doctor/findings.js'
import type { DiagnoseOptions, Diagnosis } from './doctor/types.js'
import { invalidArgType, invalidArgValue } from './model/errors.js'

export type {
  AddonLook,
  DiagnoseOptions,
  Diagnosis,
  EncryptionFacts,
  Facts,
  Finding,
  InstallationFacts,
  Level,
  LimitFacts,
  MemoryFacts,
  MemoryGroupFacts,
  ProcessFacts,
  Reason,
  RefusedFacts,
  ScratchDirFacts,
  ScratchFacts,
  Section,
  SpeedFacts,
  TransferFacts,
} from './doctor/types.js'

/**
 * Looks at the installation, scratch directories, memory, limits and speed. It is a promise, because directories are asked, which
 * may take as long as a network does, and the speed is measured for about a second: both off the JavaScript thread.
 *
 * What it is there to find out is a finding and no rejection: a missing addon, no usable directory. It prints nothing, and leaves
 * nothing behind: of files, only those that tell of memory limits stay open, which the process's pagers share.
 *
 * @example
 * const { canServe, findings } = await diagnose({ speed: false })
 *
 * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE for wrong options
 */
export async function diagnose(options?: DiagnoseOptions): Promise<Diagnosis> {
  const { scratchDir, allowRamBacked, speed } = checked(options)
  const request = { scratchDir, allowRamBacked: allowRamBacked ?? false, measuresSpeed: speed ?? true }
  return diagnosisOf(await factsOf(request))
}

function checked(given: unknown): DiagnoseOptions {
  if (given === undefined) return {}
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw invalidArgType('options', 'of type object', given)
  }
  const { scratchDir, allowRamBacked, speed } = given as Record<string, unknown>
  return {
    scratchDir: directory(scratchDir),
    allowRamBacked: isTrue(allowRamBacked, 'options.allowRamBacked'),
    speed: isTrue(speed, 'options.speed'),
  }
}

function directory(value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw invalidArgType('options.scratchDir', 'of type string', value)
  if (value === '' || value.includes('\0')) {
    throw invalidArgValue('options.scratchDir', 'must be a path without null bytes', value)
  }
  return value
}

function isTrue(value: unknown, name: string): boolean | undefined {
  if (value !== undefined && typeof value !== 'boolean') throw invalidArgType(name, 'of type boolean', value)
  return value
}
