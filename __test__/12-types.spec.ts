import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { output } from './helpers/child.js'

const require = createRequire(import.meta.url)
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const COMPILER = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc')

test('a project that has the package installed compiles, and wrong calls in it do not', async t => {
  const project = mkdtempSync(join(tmpdir(), 'pageout-consumer-'))
  t.teardown(() => rmSync(project, { recursive: true, force: true }))
  cpSync(new URL('consumer', import.meta.url), project, { recursive: true })
  install(join(project, 'node_modules'))
  const compiled = output(process.execPath, [COMPILER, '--project', project], { cwd: project })
  const complaints = await compiled.catch(error => (error as Error).message)
  t.is(complaints, '')
})

test('the compiler sees the consumer project at all', async t => {
  const files = await output(process.execPath, [
    COMPILER,
    '--project',
    join(ROOT, '__test__', 'consumer'),
    '--listFilesOnly',
  ])
  t.regex(files, /consumer[/\\]main\.ts/)
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
