/** The examples of the documents run as they stand, docs/api.md names all that there is, and versions are those of the manifests. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import * as pageout from 'pageout'
import * as doctor from 'pageout/doctor'
import * as map from 'pageout/map'
import * as mapPromises from 'pageout/map/promises'
import * as promises from 'pageout/promises'

const ROOT = fileURLToPath(new URL('../', import.meta.url))

const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Folders whose documents people read. */
const FOLDERS = ['', 'docs', 'docs/performance', 'crates/pageout', 'examples/flights', 'recipes', ...recipes()]

function recipes(): string[] {
  const entries = readdirSync(join(ROOT, 'recipes'), { withFileTypes: true })
  const folders = entries.filter(entry => entry.isDirectory() && entry.name !== 'node_modules')
  return folders.map(({ name }) => join('recipes', name))
}

const DOCUMENTS = FOLDERS.filter(folder => existsSync(join(ROOT, folder))).flatMap(folder =>
  readdirSync(join(ROOT, folder))
    .filter(name => name.endsWith('.md'))
    .map(name => join(folder, name)),
)

interface Example {
  readonly language: string
  readonly code: string
  /** What the comment in front of it says: why it does not run here. */
  readonly marker: string | undefined
}

/** The blocks of code of a document in these languages. */
function examples(document: string, languages: string): Example[] {
  const fence = new RegExp(`(?:^<!-- ([^\n]*) -->\n)?^\`\`\`(${languages})\n(.*?)^\`\`\`$`, 'gms')
  return [...text(document).matchAll(fence)].map(([, marker, language = '', code = '']) => ({ marker, language, code }))
}

function isRunHere({ marker, language }: Example, document: string): boolean {
  return marker === undefined && /^[jt]s$/.test(language) && !document.startsWith('recipes/')
}

/** JavaScript runs as it stands, TypeScript by tsx. A failed `console.assert` only prints, so what is printed counts too. */
function run({ language, code }: Example): { status: number | null; stderr: string } {
  // Inside the repository, so that the package is found by its own name.
  const folder = mkdtempSync(join(ROOT, '__test__', 'example-'))
  try {
    const script = join(folder, language === 'js' ? 'example.mjs' : 'example.mts')
    writeFileSync(script, code)
    const options = language === 'js' ? [] : ['--import=tsx']
    const { status, stderr } = spawnSync(process.execPath, [...options, script], { cwd: ROOT, encoding: 'utf8' })
    return { status, stderr }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

for (const document of DOCUMENTS) {
  const scripts = examples(document, 'js|ts').filter(example => isRunHere(example, document))
  for (const [index, example] of scripts.entries()) {
    test(`${document}, example ${index + 1}`, t => {
      const { status, stderr } = run(example)
      t.deepEqual([status, stderr], [0, ''])
    })
  }
}

/** A command of this repository: that what it names exists is checked below. */
const OF_REPOSITORY = /^(npm (ci|test|run [\w:-]+)|\.ci\/run|scripts\/|cargo |node [\w./-]+\.mjs|npx ava )/

/** Whether a block need not run here: another test that reads the document runs it, or the document says why nobody does. */
function isExcused({ marker, language, code }: Example, document: string): boolean {
  const [, tester] = /^run by ([\w./-]+)$/.exec(marker ?? '') ?? []
  if (tester) return existsSync(join(ROOT, tester)) && text(tester).includes(document)
  if (marker !== undefined) return /^not run: \w+ \w+/.test(marker)
  const [, recipe] = /^recipes\/(.*)\//.exec(document) ?? []
  if (recipe) return text('recipes/examples.test.mjs').includes(recipe)
  return language === 'sh' && code.split('\n').every(line => line === '' || OF_REPOSITORY.test(line))
}

test('what the documents show is run, or they say who runs it or why nobody does', t => {
  const shown = DOCUMENTS.flatMap(document => {
    // The examples of the crate's README are doctests.
    const languages = document.startsWith('crates/') ? 'js|ts|sh|bash' : 'js|ts|sh|bash|rust'
    return examples(document, languages).map(example => ({ document, example }))
  })
  t.true(shown.length > 40)
  t.deepEqual(
    shown.filter(({ document, example }) => !isRunHere(example, document) && !isExcused(example, document)),
    [],
  )
})

/** The anchors of a document's headings, as code hosts make them. */
function anchors(document: string): Set<string> {
  const headings = [...text(document).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading)
  return new Set(
    headings.map(heading =>
      heading
        .toLowerCase()
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
        .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

for (const document of DOCUMENTS) {
  test(`${document}: what it links to and the commands and files that it names exist`, t => {
    const all = text(document)
    const links = [...all.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, path = '']) => join(document, '..', path))
    const files = [...all.matchAll(/(?<![\w./])(?:scripts|crates|src|\.github|\.ci)\/[\w./-]*\w/g)].map(
      ([path]) => path,
    )
    const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> }
    const commands = [...all.matchAll(/npm run ([\w:-]+)/g)].map(([, name = '']) => name)
    t.deepEqual(
      [...links, ...files].filter(path => !existsSync(join(ROOT, path))),
      [],
    )
    t.deepEqual(
      commands.filter(name => !(name in scripts)),
      [],
    )
    const headings = [...all.matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)].filter(([, path = '', anchor = '']) => {
      const target = path === '' ? document : join(document, '..', path)
      return existsSync(join(ROOT, target)) && !anchors(target).has(anchor)
    })
    t.deepEqual(
      headings.map(([link]) => link),
      [],
    )
  })
}

for (const scheme of ['light', 'dark']) {
  test(`README.md says what its ${scheme} picture says`, t => {
    const path = `docs/pictures/one-dies-one-lives-${scheme}.svg`
    const [, title = ''] = /<title>([^<]+)</.exec(text(path)) ?? []
    t.true(text('README.md').includes(`"${path}"`))
    t.true(text('README.md').includes(`alt="${title}"`), title)
  })
}

test('folders of src/ import only folders of lower layers, as docs/ARCHITECTURE.md has them', t => {
  const rows = [...text('docs/ARCHITECTURE.md').matchAll(/^\| (\d+) \| `(\w+)\/` \|/gm)]
  const layers = new Map(rows.map(([, layer, folder = '']) => [folder, Number(layer)]))
  const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter(entry => entry.isDirectory())
  for (const { name: folder } of folders) {
    const imported = [...sources(`src/${folder}`).values()].flatMap(source =>
      [...source.matchAll(/\bfrom '\.\.\/(\w+)\//g)].map(([, other = '']) => other),
    )
    const layer = layers.get(folder) ?? Number.NaN
    const wrong = imported.filter(other => !((layers.get(other) ?? Number.NaN) < layer))
    t.deepEqual([...new Set(wrong)], [], `src/${folder} of layer ${layer}`)
  }
})

/** The text of each file below directories, by its name without the directories: of several with one name, their texts together. */
function sources(...directories: string[]): Map<string, string> {
  const texts = new Map<string, string>()
  for (const directory of directories) {
    for (const entry of readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const own = readFileSync(join(entry.parentPath, entry.name), 'utf8')
      texts.set(entry.name, (texts.get(entry.name) ?? '') + own)
    }
  }
  return texts
}

for (const document of ['SECURITY.md']) {
  test(`the tests that ${document} names exist`, t => {
    const rust = sources('crates/pageout/tests', 'crates/pageout/src')
    const names = [...text(document).matchAll(/`(\w+\.rs): (\w+)`/g)]
    t.true(names.length > 0)
    for (const [, file = '', name = ''] of names) t.true(rust.get(file)?.includes(`fn ${name}(`), `${file}: ${name}`)
    const specs = readdirSync(join(ROOT, '__test__'))
    for (const [spec] of text(document).matchAll(/\d\d-[\w-]+\.spec\.ts/g)) t.true(specs.includes(spec), spec)
  })
}

/** What docs/api.md names: words in headings, examples and inline code, so that no word of a sentence counts. */
const named = new Set(
  [...text('docs/api.md').matchAll(/^## [^\n]*$|^```(?:js|ts)\n.*?^```$|`[^`\n]+`/gms)].flatMap(([code]) =>
    code.match(/\w+/g),
  ),
)

/** Names that docs/api.md lacks. There are some to look for, or the search for them is wrong. */
function missing(names: readonly string[]): string[] {
  if (names.length === 0) throw new Error('nothing was looked for')
  return names.filter(name => !named.has(name))
}

test('docs/api.md names every export', t => {
  const entries = [pageout, promises, map, mapPromises, doctor]
  t.deepEqual(missing(entries.flatMap(entry => Object.keys(entry))), [])
})

/** Names of what a class and its instances can do. */
function membersOf(Class: { readonly prototype: object }): string[] {
  const ofItself = Object.getOwnPropertyNames(Class).filter(name => !['length', 'name', 'prototype'].includes(name))
  const names: string[] = []
  for (let at: object | null = Class.prototype; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    // The last word: what a symbol is called in front of it is the runtime's affair.
    names.push(...Reflect.ownKeys(at).map(key => String(key).match(/\w+/g)?.at(-1) ?? ''))
  }
  return [...ofItself, ...names.filter(name => name !== 'constructor')]
}

const CLASSES = {
  Pager: pageout.Pager,
  'Pager of promises': promises.Pager,
  PagedMap: map.PagedMap,
  'PagedMap of promises': mapPromises.PagedMap,
}
for (const [name, Class] of Object.entries(CLASSES)) {
  test(`docs/api.md names every member of ${name}`, t => {
    t.deepEqual(missing(membersOf(Class)), [])
  })
}

test('docs/api.md names every member of Handle', t => {
  t.deepEqual(missing(membersOf(pageout.Handle)), [])
})

test('docs/api.md names every member of Borrow', t => {
  t.deepEqual(missing(membersOf(pageout.Borrow)), [])
})

test('docs/api.md names every type', t => {
  const names = ['index', 'promises', 'map', 'map-promises', 'doctor']
  for (const entry of names.map(name => `dist/${name}.d.ts`)) {
    const lists = [...text(entry).matchAll(/^export (?:type )?\{(.*?)\}/gms)].map(([, list = '']) => list)
    t.deepEqual(missing(lists.flatMap(list => list.replaceAll('type ', '').match(/\w+/g) ?? [])), [], entry)
  }
})

const FIELDS = [
  ['PagerOptions', 'model/types'],
  ['PageoutOptions', 'model/types'],
  ['TargetOptions', 'model/types'],
  ['StreamOptions', 'model/types'],
  ['PagerStats', 'model/types'],
  ['SignalOptions', 'model/types'],
  ['BorrowOptions', 'model/types'],
  ['TraceContext', 'model/types'],
  ['PageoutError', 'model/errors'],
  ['RefusedDir', 'model/errors'],
  ['DiagnoseOptions', 'doctor/types'],
  ['Diagnosis', 'doctor/types'],
  ['Facts', 'doctor/types'],
  ['Finding', 'doctor/types'],
  ['Reason', 'doctor/types'],
  ['InstallationFacts', 'doctor/types'],
  ['AddonLook', 'doctor/types'],
  ['ScratchFacts', 'doctor/types'],
  ['RefusedFacts', 'doctor/types'],
  ['ScratchDirFacts', 'doctor/types'],
  ['MemoryFacts', 'doctor/types'],
  ['MemoryGroupFacts', 'doctor/types'],
  ['ProcessFacts', 'doctor/types'],
  ['LimitFacts', 'doctor/types'],
  ['SpeedFacts', 'doctor/types'],
  ['TransferFacts', 'doctor/types'],
  ['MapOptions', 'map/verbs'],
  ['PagedMapOptions', 'map/verbs'],
] as const

for (const [type, file] of FIELDS) {
  test(`docs/api.md names every field of ${type}`, t => {
    const [, body = ''] =
      new RegExp(`^export [^\n]*\\b${type}\\b[^\n]*\\{(.*?)^\\}`, 'ms').exec(text(`dist/${file}.d.ts`)) ?? []
    const fields = [...body.matchAll(/^ +(?:readonly )?(\w+)\??:/gm)].map(([, field = '']) => field)
    t.deepEqual(missing(fields), [])
  })
}

test('docs/api.md names every code that the sources name', t => {
  const names = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter(name =>
    /\.m?ts$/.test(name),
  )
  const sources = names.map(name => text(join('src', name)))
  const codes = sources.flatMap(
    source => source.match(/\bERR_[A-Z_]*[A-Z]\b|\bABORT_ERR\b|(?<=')E[A-Z]{3,}(?=')/g) ?? [],
  )
  t.deepEqual(missing([...new Set(codes)]), [])
})

test('the documents name the oldest Rust and Node of the manifests', t => {
  const [, rust] = /^rust-version = "(.*)"$/m.exec(text('Cargo.toml')) ?? []
  const { engines } = JSON.parse(text('package.json')) as { engines: { node: string } }
  for (const document of ['crates/pageout/README.md', 'crates/pageout/src/lib.rs']) {
    t.true(text(document).includes(`Rust ${rust} or later.`), document)
  }
  for (const wanted of [`Rust >= ${rust}`, `Node ${engines.node}`]) t.true(text('README.md').includes(wanted), wanted)
})
