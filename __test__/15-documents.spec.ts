/** The examples of the documents run as they stand. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const ROOT = fileURLToPath(new URL('../', import.meta.url))

function examples(document: string): string[] {
  const text = readFileSync(join(ROOT, document), 'utf8')
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(match => match[1] ?? '')
}

/** A failed `console.assert` only prints, so what is printed counts too. */
function run(example: string): { status: number | null; stderr: string } {
  // Inside the repository, so that the package is found by its own name.
  const folder = mkdtempSync(join(ROOT, '__test__', 'example-'))
  try {
    const script = join(folder, 'example.mts')
    writeFileSync(script, example)
    const { status, stderr } = spawnSync(process.execPath, ['--import=tsx', script], { cwd: ROOT, encoding: 'utf8' })
    return { status, stderr }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

for (const document of ['README.md', 'docs/api.md']) {
  for (const [index, example] of examples(document).entries()) {
    test(`${document}, example ${index + 1}`, t => {
      const { status, stderr } = run(example)
      t.deepEqual([status, stderr], [0, ''])
    })
  }
}

test('every link to a file leads somewhere', t => {
  for (const document of ['README.md', 'docs/api.md', 'docs/ARCHITECTURE.md', 'docs/performance.md']) {
    const links = [...readFileSync(join(ROOT, document), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)/g)]
    for (const [, path = ''] of links) t.notThrows(() => readFileSync(join(ROOT, document, '..', path)))
  }
  t.pass()
})
