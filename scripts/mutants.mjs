// Compares what `scripts/mutants` found with the list of the mutants that may survive.
import { readFileSync } from 'node:fs'

/**
 * @typedef {{ name: string, span: { start: { line: number, column: number } } }} Mutant as cargo-mutants writes it
 * @typedef {{ scenario: 'Baseline' | { Mutant: Mutant }, summary: string }} Outcome
 */

const LIST = 'scripts/mutants-accepted.txt'
const [output] = process.argv.slice(2)

/**
 * The name without line and column, which other changes move.
 *
 * @param {Mutant} mutant
 */
const nameOf = ({ name }) => name.replace(/:\d+:\d+:/, ':')

/** @param {string} path */
const json = path => JSON.parse(readFileSync(`${output}/${path}`, 'utf8'))

/**
 * How often each name stands in a list: one function may have the same mutant at two places.
 *
 * @param {Mutant[]} mutants
 */
function count(mutants) {
  /** @type {Map<string, number>} */
  const counts = new Map()
  for (const name of mutants.map(nameOf)) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

/** Names in the list of accepted survivors, each followed by indented lines with the reason. */
function readAccepted() {
  /** @type {Map<string, number>} */
  const accepted = new Map()
  for (const [, name = '', reason = ''] of readFileSync(LIST, 'utf8').matchAll(
    /^(?![#\n])(\S.*)\n((?:[ \t]+\S.*\n)*)/gm,
  )) {
    if (reason === '') throw new Error(`${LIST}: no reason for "${name}"`)
    accepted.set(name, (accepted.get(name) ?? 0) + 1)
  }
  return accepted
}

const /** @type {Outcome[]} */ outcomes = json('mutants.out/outcomes.json').outcomes
/** @param {string[]} summaries */
const mutantsThat = (...summaries) =>
  outcomes.flatMap(({ scenario, summary }) =>
    scenario !== 'Baseline' && summaries.includes(summary) ? [scenario.Mutant] : [],
  )
const survivors = mutantsThat('MissedMutant')
const noticed = mutantsThat('CaughtMutant', 'Timeout')
const unviable = mutantsThat('Unviable')
const tried = survivors.length + noticed.length + unviable.length
const chosen = json('chosen.json').length

const accepted = readAccepted()
const [all, survived, ended] = [count(json('all.json')), count(survivors), count([...noticed, ...unviable])]
const problems = []
for (const [name, times] of survived) {
  if (times > (accepted.get(name) ?? 0)) problems.push(`survives and is not in ${LIST}: ${name}`)
}
for (const [name, times] of accepted) {
  // Those of this name that were not tried may still survive.
  if (times > (all.get(name) ?? 0)) problems.push(`is in ${LIST} and not in the sources: ${name}`)
  else if (times > (all.get(name) ?? 0) - (ended.get(name) ?? 0))
    problems.push(`is in ${LIST} and does not survive: ${name}`)
}
if (tried < chosen) problems.push(`the time was up: ${chosen - tried} of ${chosen} were not tried`)

for (const problem of problems) console.error(problem)
console.log(
  `${tried} mutants: ${noticed.length} noticed, ${unviable.length} do not compile, ${survivors.length} accepted or new survivors, ${problems.length} problems`,
)
process.exitCode = problems.length === 0 ? 0 : 1
