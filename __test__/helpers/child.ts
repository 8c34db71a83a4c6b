/** Programs that need a process of their own. */

import { type ChildProcessByStdio, type SpawnOptions, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

/**
 * Runs a program of the `children` directory with the same node, and gives what it printed, which is JSON.
 *
 * @param env variables on top of this process's own
 * @param before a shell command that comes first
 */
export async function runChild<T>(
  program: string,
  args: readonly (string | number)[] = [],
  env: NodeJS.ProcessEnv = {},
  before = 'true',
): Promise<T> {
  const path = fileURLToPath(new URL(`children/${program}`, import.meta.url))
  const node = [process.execPath, '--import=tsx', '--expose-gc', path, ...args.map(String)]
  const { PAGEOUT_SCRATCH_DIR: _, ...inherited } = process.env
  const printed = await output('sh', ['-c', `${before} && exec "$@"`, 'sh', ...node], { env: { ...inherited, ...env } })
  return JSON.parse(printed) as T
}

/** What a command prints. */
export async function output(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<string> {
  const { end, printed, complaints } = await endOf(command, args, options)
  if (end !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${end}:\n${printed}${complaints}`)
  return printed
}

/** How a command ended: its code, or the signal that ended it, and what it wrote to stdout and stderr. */
export interface End {
  readonly end: number | NodeJS.Signals | null
  readonly printed: string
  readonly complaints: string
}

/** Runs a command, however it ends. */
export async function endOf(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<End> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] }) as ChildProcessByStdio<
    null,
    Readable,
    Readable
  >
  const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(signal ?? code))
  })
  const [printed, complaints, end] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { end, printed, complaints }
}
