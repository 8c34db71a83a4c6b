/** What the facts mean, and what to do: pure. */

import { installationFindings } from './installation.js'
import { memoryFindings } from './memory.js'
import { processFindings } from './process.js'
import { scratchFindings } from './scratch.js'
import { sealingFindings } from './sealing.js'
import { speedFindings } from './speed.js'
import { type Diagnosis, type Facts, type Finding, NO_ANSWER, type Reason } from './types.js'

/** The diagnosis that some facts come to. */
export function diagnosisOf(facts: Facts): Diagnosis {
  const findings = findingsOf(facts)
  return { format: 1, canServe: findings.every(({ level }) => level !== 'problem'), findings, ...facts }
}

function findingsOf(facts: Facts): Finding[] {
  const { installation, scratch, memory, process, speed, speedError, error } = facts
  return [
    ...installationFindings(installation),
    ...(error ? [failed(error)] : []),
    ...(scratch ? scratchFindings(scratch) : []),
    ...(memory ? memoryFindings(memory) : []),
    ...(process ? processFindings(process) : []),
    ...sealingFindings(facts),
    ...speedFindings(speed, speedError),
  ]
}

/** Nothing could be found out. */
function failed({ code, message }: Reason): Finding {
  const problem = { level: 'problem', message } as const
  if (code !== NO_ANSWER) {
    return { ...problem, section: 'installation', code: 'internal', advice: 'Please report it, with this text.' }
  }
  const advice =
    'A file system hangs, as one of a network may: look at what is mounted there, and name a directory of another one in PAGEOUT_SCRATCH_DIR.'
  return { ...problem, section: 'scratch', code: 'no-answer', advice }
}
