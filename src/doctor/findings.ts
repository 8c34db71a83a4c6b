/** What the facts mean, and what to do: pure. */

import { installationFindings } from './installation.js'
import { memoryFindings } from './memory.js'
import { processFindings } from './process.js'
import { scratchFindings } from './scratch.js'
import { speedFindings } from './speed.js'
import type { Diagnosis, Facts, Finding, Reason } from './types.js'

/** The diagnosis that some facts come to. */
export function diagnosisOf(facts: Facts): Diagnosis {
  const findings = findingsOf(facts)
  return { format: 1, canServe: findings.every(({ level }) => level !== 'problem'), findings, ...facts }
}

function findingsOf({ installation, scratch, memory, process, speed, speedError, error }: Facts): Finding[] {
  return [
    ...installationFindings(installation),
    ...(error ? [defect(error)] : []),
    ...(scratch ? scratchFindings(scratch) : []),
    ...(memory ? memoryFindings(memory) : []),
    ...(process ? processFindings(process) : []),
    ...speedFindings(speed, speedError),
  ]
}

function defect({ message }: Reason): Finding {
  const advice = 'Please report it, with this text.'
  return { section: 'installation', code: 'internal', level: 'problem', message, advice }
}
