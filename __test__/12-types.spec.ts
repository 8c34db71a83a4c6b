import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { output } from './helpers/child.js'

const require = createRequire(import.meta.url)
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CONSUMER = join(ROOT, '__test__', 'consumer')

/** Names under which the compilers are installed, and what each says of itself. */
const COMPILERS = [
  ['typescript-5.9', 'Version 5.9.'],
  ['typescript-6', 'Version 6.'],
  ['typescript', 'Version 7.'],
] as const

/** What a project may choose; everything else is as in the consumer's tsconfig.json. */
const PROJECTS = {
  es2022: { compilerOptions: { lib: ['es2022'] } },
  es2023: { compilerOptions: { lib: ['es2023'] } },
  es2024: { compilerOptions: { lib: ['es2024'] } },
  esnext: { compilerOptions: { lib: ['esnext'] }, exclude: [] },
  dom: { compilerOptions: { lib: ['es2022', 'dom'], types: [] }, include: ['without-node.ts'] },
}

function compiler(name: string): string {
  return join(dirname(require.resolve(`${name}/package.json`)), 'bin', 'tsc')
}

for (const [name, version] of COMPILERS) {
  test(`a project that has the package installed compiles, and wrong calls in it do not (${name})`, async t => {
    const project = mkdtempSync(join(tmpdir(), 'pageout-consumer-'))
    t.teardown(() => rmSync(project, { recursive: true, force: true }))
    cpSync(CONSUMER, project, { recursive: true })
    install(join(project, 'node_modules'))
    for (const [lib, config] of Object.entries(PROJECTS)) {
      writeFileSync(join(project, `${lib}.json`), JSON.stringify({ extends: './tsconfig.json', ...config }))
    }
    const configs = Object.keys(PROJECTS).map(lib => `${lib}.json`)
    const build = [compiler(name), '--build', '--verbose', ...configs]
    // A complaint of the compiler is what this throws.
    const said = await output(process.execPath, build, { cwd: project })
    for (const config of configs) t.regex(said, new RegExp(`Building project '.*${config}'`))
  })

  test(`${name} is the compiler it is taken for`, async t => {
    const said = await output(process.execPath, [compiler(name), '--version'])
    t.true(said.startsWith(version), said)
  })
}

test('the compiler sees all of the consumer project', async t => {
  const listing = [compiler('typescript'), '--listFilesOnly', '--project', CONSUMER]
  const files = await output(process.execPath, listing)
  for (const file of ['doctor.ts', 'main.ts', 'promises.ts', 'map.ts', 'without-node.ts'])
    t.true(files.includes(join('consumer', file)), file)
})

test('the public types never say any', t => {
  const dist = readdirSync(join(ROOT, 'dist'), { recursive: true, encoding: 'utf8' })
  const declarations = dist.filter(name => name.endsWith('.d.ts')).map(name => join('dist', name))
  t.true(['promises', 'doctor'].every(entry => declarations.includes(join('dist', `${entry}.d.ts`))))
  for (const path of ['index.d.ts', ...declarations]) {
    const code = readFileSync(join(ROOT, path), 'utf8').replace(/\/\*.*?\*\/|\/\/[^\n]*/gs, '')
    t.regex(code, /\bexport\b/, path)
    t.notRegex(code, /\bany\b/, path)
  }
})

/** Puts into `modules` what an installation of the package and of the types of Node would. */
function install(modules: string): void {
  const installed = join(modules, 'pageout')
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] }
  mkdirSync(installed, { recursive: true })
  for (const name of ['package.json', ...files.filter(name => name === 'dist' || name.startsWith('index.'))]) {
    cpSync(join(ROOT, name), join(installed, name), { recursive: true })
  }
  mkdirSync(join(modules, '@types'))
  symlinkSync(dirname(require.resolve('@types/node/package.json')), join(modules, '@types', 'node'))
}
