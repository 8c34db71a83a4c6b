/** The command line, understood without any I/O: pure. */

import type { DiagnoseOptions } from './types.js'

/** What a command line asks for. */
export type Command =
  | { readonly kind: 'doctor'; readonly isJson: boolean; readonly options: DiagnoseOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'misuse'; readonly problem: string }

export const USAGE = `Usage: pageout doctor [options]

Finds out whether pageout can serve here, and what to do where it cannot:
what is installed, scratch directories, memory, limits, speed.

Options:
  --scratch-dir DIR    look at this directory, as a pager with scratchDir does
  --allow-ram-backed   let a directory in memory serve, as allowRamBacked does
  --no-speed           do not measure the speed, which takes about a second
  --json               print a Diagnosis as JSON, for programs
  -h, --help           print this
  -v, --version        print the version

Exit code: 0 where pageout can serve, 1 where it cannot, 2 for a wrong command.
`

/** Understands the arguments behind the program's name. */
export function commandOf(args: readonly string[]): Command {
  if (args.some(arg => arg === '--help' || arg === '-h')) return { kind: 'help' }
  if (args.some(arg => arg === '--version' || arg === '-v')) return { kind: 'version' }
  const [name, ...rest] = args
  if (name === undefined) return misuse('a command is missing')
  return name === 'doctor' ? doctor(rest) : misuse(`there is no command or option '${name}' here`)
}

function doctor(args: readonly string[]): Command {
  const options: DiagnoseOptions = {}
  let isJson = false
  for (let position = 0; position < args.length; position++) {
    const [, name = '', value] = /^(--[^=]*|.*)(?:=(.*))?$/s.exec(args[position] ?? '') ?? []
    if (name === '--scratch-dir') {
      const directory = value ?? args[++position]
      // One whose name begins so is given behind `=`.
      if (!directory || (value === undefined && directory.startsWith('--')))
        return misuse("the option '--scratch-dir' needs a directory")
      options.scratchDir = directory
    } else if (value !== undefined) return misuse(`the option '${name}' takes no value, or there is none`)
    else if (name === '--json') isJson = true
    else if (name === '--no-speed') options.speed = false
    else if (name === '--allow-ram-backed') options.allowRamBacked = true
    else return misuse(`there is no option '${name}'`)
  }
  return { kind: 'doctor', isJson, options }
}

function misuse(problem: string): Command {
  return { kind: 'misuse', problem }
}
