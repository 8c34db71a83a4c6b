/** The command `pageout doctor`, run as users run it. */

import { join } from 'node:path'
import type { Diagnosis, Finding } from 'pageout/doctor'
import { endOf } from './child.js'
import { ROOT } from './installation.js'

export const CLI = join(ROOT, 'dist', 'cli.js')

/** How the command is run. */
interface Run {
  readonly args?: readonly string[]
  /** Shell commands that come first, in the same process. */
  readonly before?: string
  /** A command that is put before the shell. */
  readonly under?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  readonly cli?: string
  readonly node?: string
  readonly flags?: readonly string[]
}

/** What the command came to. */
export interface Ended {
  readonly code: number | NodeJS.Signals | null
  readonly printed: string
  readonly complaints: string
}

/** Runs the command with some arguments. */
export async function runCli({ args = [], before = 'true', under = [], env = {}, ...where }: Run = {}): Promise<Ended> {
  const { cli = CLI, node = process.execPath, flags = [] } = where
  const { PAGEOUT_SCRATCH_DIR: _, PAGEOUT_CAPACITY_BYTES: __, ...inherited } = process.env
  const shell = ['sh', '-c', `${before} && exec "$@"`, 'sh', node, ...flags, cli, ...args]
  const [command = 'sh', ...rest] = [...under, ...shell]
  const { end, printed, complaints } = await endOf(command, rest, { env: { ...inherited, ...env } })
  return { code: end, printed, complaints }
}

/** Runs `pageout doctor --json`, and gives its diagnosis with its exit code. */
export async function doctor(run: Run = {}): Promise<Diagnosis & { readonly code: Ended['code'] }> {
  const { code, printed, complaints } = await runCli({ ...run, args: ['doctor', '--json', ...(run.args ?? [])] })
  if (printed === '') throw new Error(`nothing was printed: ${complaints}`)
  return { ...(JSON.parse(printed) as Diagnosis), code }
}

/** The findings with a code. */
export function findingsOf({ findings }: Pick<Diagnosis, 'findings'>, code: string): Finding[] {
  return findings.filter(finding => finding.code === code)
}
