/** A diagnosis as people read it: pure. */

import type { Diagnosis, Finding, Section } from './types.js'
import { counted } from './words.js'

const TITLES: Readonly<Record<Section, string>> = {
  installation: 'Installation',
  scratch: 'Scratch directory',
  memory: 'Memory',
  swap: 'Swap space',
  process: 'Limits of the process',
  speed: 'Speed',
}

/** Columns of a terminal, and those before the text of a finding. */
const [WIDTH, INDENT] = [80, 11]

/** Some paragraphs of plain text. A word that is too long for a line, such as a path, is not cut. */
export function textOf(diagnosis: Diagnosis): string {
  const sections = Object.keys(TITLES) as Section[]
  const blocks = sections.flatMap(section => {
    const findings = diagnosis.findings.filter(finding => finding.section === section)
    return findings.length === 0 ? [] : [[TITLES[section], ...findings.flatMap(linesOf)].join('\n')]
  })
  return `${[...blocks, ending(diagnosis)].join('\n\n')}\n`
}

function linesOf({ level, message, details = [], advice }: Finding): string[] {
  const label = `  ${level}`.padEnd(INDENT)
  return [
    ...wrapped(message, label, ' '.repeat(INDENT)),
    ...details.flatMap(detail => wrapped(detail, `${' '.repeat(INDENT)}- `, ' '.repeat(INDENT + 2))),
    ...(advice === undefined ? [] : wrapped(advice, `${' '.repeat(INDENT)}> `, `${' '.repeat(INDENT)}  `)),
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
