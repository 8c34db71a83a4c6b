/** What a user of `pageout/doctor` writes, right and wrong. The compiler runs it; nobody else does. */

import { type DiagnoseOptions, type Diagnosis, diagnose, type Finding, type Level } from 'pageout/doctor'

function pass(given: { scratchDir?: string }): DiagnoseOptions {
  return { scratchDir: given.scratchDir, allowRamBacked: undefined, speed: false }
}

const diagnosis: Diagnosis = await diagnose(pass({}))
const problems: Finding[] = diagnosis.findings.filter(({ level }) => level === 'problem')
const advice: string | undefined = problems[0]?.advice
const capacityBytes: number | undefined = diagnosis.scratch?.chosen?.capacityBytes
const descriptors: number | undefined = diagnosis.process?.descriptors.soft
const locked: number | undefined = diagnosis.process?.lockedBytes.soft
const isSwapped: boolean | undefined = diagnosis.encryption?.isOutOfSwap
const outcome: 'loaded' | 'missing' | 'refused' | undefined = diagnosis.installation.looks[0]?.outcome
// What `--json` prints.
const parsed = JSON.parse('{}') as Diagnosis
if (parsed.format === 1) console.log(parsed.canServe)

// @ts-expect-error no such level
const level: Level = 'error'
// @ts-expect-error unknown option
await diagnose({ dir: '/' })
// @ts-expect-error no boolean
await diagnose({ speed: 1 })
// @ts-expect-error a diagnosis is read only
diagnosis.canServe = true
// @ts-expect-error where the addon is missing nothing is known of the memory
diagnosis.memory.autoBytes

export { advice, capacityBytes, descriptors, isSwapped, level, locked, outcome }
