/** A diagnosis as people read it: pure. */

import type { Diagnosis, Finding, Section } from './types.js'
import { counted } from './words.js'

const TITLES: Readonly<Record<Section, string>> = {
  installation: 'Installation',
  scratch: 'Scratch directory',
  memory: 'Memory',
  swap: 'Swap space',
  process: 'Limits of the process',
  sealing: 'Encryption and compression',
  speed: 'Speed',
}

/** Columns of a terminal, and those before the text of a finding. */
const [WIDTH, INDENT] = [80, 11]

/** Some paragraphs of plain text. A word that is too long for a line, such as a path, is not cut. */
export function textOf(diagnosis: Diagnosis): string {
  const sections = Object.keys(TITLES) as Section[]
  const given = new Set<string>()
  const blocks = sections.flatMap(section => {
    const findings = diagnosis.findings.filter(finding => finding.section === section)
    return findings.length === 0
      ? []
      : [[TITLES[section], ...findings.flatMap(each => linesOf(each, given))].join('\n')]
  })
  return `${[...blocks, ending(diagnosis)].join('\n\n')}\n`
}

/** The lines of one finding. Advice that was `given` already is not repeated. */
function linesOf({ level, message, details = [], advice }: Finding, given: Set<string>): string[] {
  const margin = ' '.repeat(INDENT)
  const said = advice !== undefined && given.has(advice) ? 'As above.' : advice
  if (advice !== undefined) given.add(advice)
  return [
    ...wrapped(message, `  ${level}`.padEnd(INDENT), margin),
    ...details.flatMap(detail => wrapped(detail, `${margin}- `, `${margin}  `)),
    ...(said === undefined ? [] : wrapped(said, `${margin}> `, `${margin}  `)),
  ]
}

/** Breaks text between words. */
function wrapped(text: string, first: string, next: string): string[] {
  const lines: string[] = []
  let line = first
  let isEmpty = true
  for (const word of text.split(/\s+/)) {
    if (!isEmpty && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = next
      isEmpty = true
    }
    line += isEmpty ? word : ` ${word}`
    isEmpty = false
  }
  return [...lines, line]
}

function ending({ canServe, findings }: Diagnosis): string {
  const count = (level: Finding['level']) => findings.filter(finding => finding.level === level).length
  const [problems, notes] = [count('problem'), count('note')]
  const counts = [
    ...(problems > 0 ? [counted(problems, 'problem')] : []),
    ...(notes > 0 ? [counted(notes, 'note')] : []),
  ]
  const verdict = canServe ? 'pageout can serve here' : 'pageout cannot serve here'
  return counts.length === 0 ? `${verdict}.` : `${verdict}: ${counts.join(', ')}.`
}
