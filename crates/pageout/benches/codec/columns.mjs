// Writes data for the benchmark of the codec into a folder, one file a column, named NAME.BYTES-AN-ELEMENT: the flights of the
// example, and as text the documents and sources of this repository.
//
//   npm ci --prefix examples/flights
//   node crates/pageout/benches/codec/columns.mjs target/columns
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readFlights } from '../../../../examples/flights/data.mjs'
import { FLIGHTS, MAX_ROWS } from '../../../../examples/flights/schema.mjs'

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: columns.mjs FOLDER')
mkdirSync(folder, { recursive: true })

class Column {
  /** @type {import('../../../../examples/flights/schema.mjs').Values[]} */
  pieces = []

  constructor(Type) {
    this.Type = Type
  }

  allocate(length) {
    return new this.Type(length)
  }

  append(array) {
    this.pieces.push(array)
  }
}

const columns = Object.fromEntries(Object.entries(FLIGHTS).map(([name, Type]) => [name, new Column(Type)]))
await readFlights(columns, MAX_ROWS, () => {})
for (const [name, { Type, pieces }] of Object.entries(columns)) {
  const bytes = pieces.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength))
  writeFileSync(`${folder}/flights-${name}.${Type.BYTES_PER_ELEMENT}`, Buffer.concat(bytes))
}
const root = new URL('../../../../', import.meta.url)
const files = execFileSync('git', ['ls-files', '*.md', '*.rs', '*.ts'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n')
writeFileSync(`${folder}/text.1`, Buffer.concat(files.map(file => readFileSync(new URL(file, root)))))
