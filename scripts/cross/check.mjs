// What can be said of a binary without running it: that it is for the system its name says, asks for nothing newer than our
// floor and nothing that a plain system lacks, can be loaded by Node, and tells nothing of the machine that built it.
// Each check is then shown to refuse copies that are spoilt on purpose.
//   scripts/cross/check [TARGET...]
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from './binary.mjs'
import { damagesOf } from './damages.mjs'
import { ARTIFACTS, targetsNamed } from './targets.mjs'

const work = mkdtempSync(join(tmpdir(), 'pageout-check-'))
const problems = []
const rows = []

/** Spoils copies of a binary in every way that fits it. */
function doubt(target, bytes, floor) {
  const copy = join(work, target.file)
  const damages = damagesOf(target)
  for (const [what, spoil, complaint] of damages) {
    writeFileSync(copy, spoil(bytes, floor))
    const said = inspect(copy, target).problems
    if (!said.some(problem => complaint.test(problem))) {
      problems.push(`${target.file}: a copy that ${what} is not refused: ${said.join('; ') || 'nothing is said'}`)
    }
  }
  return damages.length
}

try {
  for (const target of targetsNamed(process.argv.slice(2))) {
    const path = join(ARTIFACTS, target.file)
    if (!existsSync(path)) {
      problems.push(`${target.file}: there is none: scripts/cross/build ${target.triple}`)
      continue
    }
    const { byteLength, floor, needed, problems: found } = inspect(path, target)
    problems.push(...found.map(problem => `${target.file}: ${problem}`))
    const refused = doubt(target, readFileSync(path), floor.split(' ').at(-1))
    rows.push({
      target: target.triple,
      bytes: byteLength,
      floor,
      needs: needed.join(' '),
      'spoilt copies refused': refused,
    })
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
console.table(rows)
for (const problem of problems) console.error(`problem: ${problem}`)
process.exitCode = problems.length === 0 ? 0 : 1
