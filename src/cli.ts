#!/usr/bin/env node
/** The command `pageout`: prints what the doctor finds. */

import { search } from './addon/search.js'
import { commandOf, USAGE } from './doctor/command.js'
import { textOf } from './doctor/text.js'
import { diagnose } from './doctor.js'

async function main(): Promise<void> {
  const command = commandOf(process.argv.slice(2))
  if (command.kind === 'misuse') {
    process.stderr.write(`pageout: ${command.problem}\n\n${USAGE}`)
    process.exitCode = 2
  } else if (command.kind === 'help') print(USAGE)
  else if (command.kind === 'version') print(`${search().version}\n`)
  else {
    const diagnosis = await diagnose(command.options)
    print(command.isJson ? `${JSON.stringify(diagnosis, undefined, 2)}\n` : textOf(diagnosis))
    if (!diagnosis.canServe) process.exitCode = 1
  }
}

/** Whoever reads may stop to, as `head` does. */
function print(text: string): void {
  process.stdout.on('error', () => {})
  process.stdout.write(text)
}

main()
