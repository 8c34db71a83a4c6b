// Ways of giving the memory of chunks back and of getting memory for results, each in processes of its own, in turns.
//
// node bench/memory.mjs [--rounds=5] [--node=20,24] [--sizes=4096,65536] [--work=hot,fresh,never] [--ways=0.1,freed8,ours]
import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { nodeOf } from '../scripts/nodes.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    node: { type: 'string', default: '20,24' },
    sizes: { type: 'string', default: '4096,65536,2097152,16777216' },
    work: { type: 'string', default: 'hot,fresh,never' },
    ways: {
      type: 'string',
      default: '0.1,0.1 without spares,freed1,freed4,freed8,freed32,ours,ours without spares,never',
    },
  },
})
const CHILD = fileURLToPath(new URL('sections/memory-child.mjs', import.meta.url))
const list = (/** @type {string} */ text) => text.split(',')

console.log(`${cpus()[0]?.model}, ${cpus().length} cores; microseconds a payload and MiB resident: least / median`)
for (const version of list(values.node)) {
  const { node } = nodeOf(version)
  for (const work of list(values.work)) {
    for (const size of list(values.sizes)) {
      /** @type {Map<string, Record<string, number>[]>} */
      const results = new Map(list(values.ways).map(way => [way, []]))
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const [way, answers] of results) {
          const { status, stdout, stderr } = spawnSync(node, ['--expose-gc', CHILD, way, work, size], {
            encoding: 'utf8',
          })
          if (status !== 0) throw new Error(stderr)
          answers.push(JSON.parse(stdout))
        }
      }
      console.log(`\nNode ${version}, ${work}, ${size} bytes`)
      for (const [way, answers] of results) console.log(`  ${way.padEnd(20)} ${summary(answers)}`)
    }
  }
}

/** @param {Record<string, number>[]} answers */
function summary(answers) {
  return Object.keys(answers[0] ?? {})
    .map(name => {
      const numbers = answers.map(answer => answer[name] ?? Number.NaN).sort((a, b) => a - b)
      return `${name} ${numbers[0]?.toFixed(1)} / ${numbers[numbers.length >> 1]?.toFixed(1)}`
    })
    .join('   ')
}
