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
    if (!diagnosis.canServe) process.exitCode = 1
    const text = command.isJson ? `${JSON.stringify(diagnosis, undefined, 2)}\n` : textOf(diagnosis)
    // What hangs would keep the process.
    print(text, diagnosis.error && (() => process.exit()))
  }
}

/** Whoever reads may stop to, as `head` does. Where the text cannot be written otherwise, that is told. */
function print(text: string, done?: () => void): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return
    process.stderr.write(`pageout: ${error.message}\n`)
    process.exitCode = 1
  })
  process.stdout.write(text, done)
}

main()
