// The examples of the recipes' pages run as they stand, behind what they leave to the reader.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const PARQUET = fileURLToPath(new URL('node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url))

/** What stands before the example of each recipe. WebTorrent is not installed, so that of its store is not here. */
const GIVEN = {
  'apache-arrow': '',
  hyparquet: `
    import { openAsBlob } from 'node:fs'
    const url = ${JSON.stringify(PARQUET)}
    const fetch = async path => new Response(await openAsBlob(path))`,
  keyv: '',
  'lru-cache': '',
  multer: '',
  piscina: '',
}

for (const [name, given] of Object.entries(GIVEN)) {
  test(`the example of ${name}`, async () => {
    const [, example] = /^```js\n(.*?)^```$/ms.exec(readFileSync(new URL(`${name}/README.md`, import.meta.url), 'utf8'))
    // Beside the recipe, which it imports.
    const script = fileURLToPath(new URL(`${name}/example-${process.pid}.tmp.mjs`, import.meta.url))
    writeFileSync(script, `${given}\n${example}`)
    try {
      const { stderr, stdout } = await promisify(execFile)(process.execPath, [
        '--disable-warning=ExperimentalWarning',
        script,
      ])
      assert.deepEqual([stderr, stdout], ['', ''])
    } finally {
      rmSync(script)
    }
  })
}
