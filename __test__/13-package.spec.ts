import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import test from 'ava'
import * as pageout from 'pageout'
import { output } from './helpers/child.js'
import { ADDON, copyPackage, PLATFORM } from './helpers/installation.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const text = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const node = (...args: string[]) => output(process.execPath, args, { cwd: ROOT })

interface Manifest {
  readonly name: string
  readonly version: string
  readonly bin: Record<string, string>
  readonly exports: Record<string, string | Record<'import' | 'require', { types: string; default: string }>>
}
const manifest = JSON.parse(text('package.json')) as Manifest

const NAMES = [
  'Borrow',
  'Handle',
  'MemoryBudget',
  'PageoutError',
  'Pager',
  'backend',
  'borrow',
  'pageout',
  'pageoutFrom',
  'pageoutWith',
  'prefetch',
  'read',
  'readAt',
  'readAtMany',
  'setBackend',
]
const MORE = [
  'setScratchDir',
  'stats',
  'take',
  'toReadableStream',
  'trim',
  'tryBorrow',
  'tryPageout',
  'tryPageoutFrom',
  'tryPageoutWith',
  'tryRead',
  'tryReadAt',
  'tryReadAtMany',
  'tryTake',
]

test('the package exports its names, and nothing else', t => {
  t.deepEqual(Object.keys(pageout).sort(), [...NAMES, ...MORE].sort())
})

test('a pager has every verb of the module', t => {
  const ofProcess = new Set(['setScratchDir'])
  const verbs = Object.entries(pageout).filter(([name, value]) => /^[a-z]/.test(name) && typeof value === 'function')
  t.deepEqual(
    verbs.map(([name]) => name).filter(name => !(name in pageout.Pager.prototype) && !ofProcess.has(name)),
    [],
  )
})

test('nothing but the entry points can be imported', async t => {
  const { default: itself } = await import('pageout/package.json', { with: { type: 'json' } })
  t.is(itself.name, 'pageout')
  for (const path of [
    'dist/index.js',
    'dist/index.mjs',
    'dist/model/handle.js',
    'dist/addon/load.js',
    'dist/cli.js',
    'dist/doctor/findings.js',
    'dist/pager/core.js',
    'src/index.ts',
  ]) {
    // The loader's errors may be of another realm.
    const code = await import(`pageout/${path}`).then(
      () => 'imported',
      error => error.code,
    )
    t.is(code, 'ERR_PACKAGE_PATH_NOT_EXPORTED', path)
  }
})

test('every entry point has a face for import and a module for require, each with its types beside it', t => {
  for (const [entry, name] of [
    ['.', 'index'],
    ['./promises', 'promises'],
    ['./doctor', 'doctor'],
    ['./map', 'map'],
    ['./map/promises', 'map-promises'],
  ] as const) {
    t.deepEqual(manifest.exports[entry], {
      import: { types: `./dist/${name}.d.mts`, default: `./dist/${name}.mjs` },
      require: { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` },
    })
  }
})

for (const name of ['index', 'promises', 'map', 'map-promises', 'doctor']) {
  test(`the face of ${name} exports what the module exports, values and types`, t => {
    const [face, types] = [`dist/${name}.mjs`, `dist/${name}.d.mts`].map(text)
    const required = createRequire(import.meta.url)(join(ROOT, 'dist', `${name}.js`)) as object
    const values = namesIn(face, /^export \{(.*?)\}/gms)
    t.deepEqual(values, Object.keys(required).sort())
    t.deepEqual(namesIn(types, /^export \{(.*?)\}/gms), values)
    const ofModule = namesIn(text(`dist/${name}.d.ts`), /^export (?:type )?\{(.*?)\}/gms)
    const declared = ofModule.filter(name => !values.includes(name))
    t.deepEqual(namesIn(types, /^export type \{(.*?)\}/gms), declared)
  })
}

/** The names in the lists of exports of a module. */
function namesIn(code = '', lists: RegExp): string[] {
  return [...code.matchAll(lists)]
    .flatMap(([, list = '']) => list.split(','))
    .map(name => name.replace(/^\s*(type )?/, '').trim())
    .filter(name => name !== '')
    .sort()
}

test('the command is a program that Node runs', async t => {
  t.deepEqual(manifest.bin, { pageout: './dist/cli.js' })
  t.true(text('dist/cli.js').startsWith('#!/usr/bin/env node\n'))
})

test('require gives the same package as import', async t => {
  const script = `
    const required = require('pageout')
    import('pageout').then(imported => {
      const { pageout, take, Handle, PageoutError } = required
      const handle = pageout(Uint8Array.of(1, 2))
      const isOne = imported.Handle === Handle && imported.PageoutError === PageoutError && handle instanceof imported.Handle
      console.log(JSON.stringify({ isOne, names: Object.keys(required).length, bytes: [...imported.take(handle)] }))
    })`
  const printed = await node('--input-type=commonjs', '--eval', script)
  t.deepEqual(JSON.parse(printed), { isOne: true, names: NAMES.length + MORE.length, bytes: [1, 2] })
})

test('both entry points, imported and required, are one copy of the code', async t => {
  const script = `
    import { createRequire } from 'node:module'
    import * as sync from 'pageout'
    import * as async from 'pageout/promises'
    const require = createRequire(process.cwd() + '/')
    const all = [sync, async, require('pageout'), require('pageout/promises')]
    const isOne = name => all.every(entry => entry[name] === sync[name])
    const handles = all.map(({ pageout }) => pageout(Uint8Array.of(7)))
    const bytes = await Promise.all((await Promise.all(handles)).map(handle => async.take(handle)))
    console.log(JSON.stringify({ one: ['Handle', 'PageoutError', 'stats'].filter(isOne), bytes: bytes.map(([byte]) => byte) }))`
  const printed = await node('--input-type=module', '--eval', script)
  t.deepEqual(JSON.parse(printed), { one: ['Handle', 'PageoutError', 'stats'], bytes: [7, 7, 7, 7] })
})

test('maps of both forms, imported and required, are one copy of the code', async t => {
  const script = `
    import { createRequire } from 'node:module'
    import { PageoutError } from 'pageout'
    import * as map from 'pageout/map'
    import * as promises from 'pageout/map/promises'
    const require = createRequire(process.cwd() + '/')
    const required = [require('pageout/map'), require('pageout/map/promises')]
    const isOne = required[0].PagedMap === map.PagedMap && required[1].PagedMap === promises.PagedMap
    const columns = new map.PagedMap({ residentBytes: 2 ** 20 })
    columns.set('key', Uint8Array.of(7))
    columns.close()
    let isOurs = false
    try { columns.read('key') } catch (error) { isOurs = error instanceof PageoutError }
    const names = [map, promises].map(entry => Object.keys(entry).join())
    console.log(JSON.stringify({ isOne, isOurs, names }))`
  const printed = await node('--input-type=module', '--eval', script)
  t.deepEqual(JSON.parse(printed), { isOne: true, isOurs: true, names: ['PagedMap', 'PagedMap'] })
})

test('the package prints nothing and keeps no process alive', async t => {
  const script = `
    import { pageout, Pager } from 'pageout'
    globalThis.held = [pageout(new Uint8Array(9)), new Pager().pageout(new Uint8Array(9)), pageout(new Uint8Array(9), { backend: 'swap' })]`
  t.is(await node('--input-type=module', '--eval', script), '')
})

test('the package adds no listeners to the process', async t => {
  const script = `
    const count = () => process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
    const before = count()
    const { pageout, take } = await import('pageout')
    take(pageout(new Uint8Array(9)))
    console.log(count() - before)`
  t.is((await node('--input-type=module', '--eval', script)).trim(), '0')
})

test('two copies of the package in one process work beside each other', async t => {
  const copy = mkdtempSync(join(tmpdir(), 'pageout-copy-'))
  t.teardown(() => rmSync(copy, { recursive: true, force: true }))
  copyPackage(copy, { [PLATFORM]: ADDON })
  const script = `
    import { pageout, stats, take } from 'pageout'
    const other = await import(${JSON.stringify(pathToFileURL(join(copy, 'dist', 'index.js')).href)})
    const [mine, others] = [pageout(Uint8Array.of(7)), other.pageout(Uint8Array.of(8))]
    let refused
    try { other.take(mine) } catch (error) { refused = error.code }
    const handles = [stats().handles, other.stats().handles]
    console.log(JSON.stringify({ refused, handles, bytes: [...take(mine), ...other.take(others)] }))`
  const seen = JSON.parse(await node('--input-type=module', '--eval', script))
  t.deepEqual(seen, { refused: 'ERR_INVALID_ARG_TYPE', handles: [1, 1], bytes: [7, 8] })
})

test('index.d.ts declares every export of the addon, and no other', async t => {
  const { native } = (await import(`${'../dist/addon/load.js'}`)) as { native: object }
  const declared = [...text('index.d.ts').matchAll(/^export declare (?:function|class|const) (\w+)/gm)].map(
    ([, name]) => name,
  )
  t.deepEqual(Object.keys(native).sort(), [...new Set(declared)].sort() as string[])
})

test('every export of the addon is guarded against panics', t => {
  const directory = join('crates', 'pageout-node', 'src')
  const attributes = readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.rs'))
    .flatMap(name =>
      [...text(join(directory, name)).matchAll(/#\[napi\b[^\]]*\]/g)].map(([attribute]) => `${name}: ${attribute}`),
    )
  t.true(attributes.length > 20, 'the search finds them')
  // Plain objects run no code, so there is nothing to guard.
  t.deepEqual(
    attributes.filter(attribute => !/\bcatch_unwind\b|\bobject\b|\bstring_enum\b/.test(attribute)),
    [],
  )
})

test('the crate and the package have one version', t => {
  const versions = ['Cargo.toml', 'crates/pageout/Cargo.toml', 'crates/pageout-node/Cargo.toml'].flatMap(path =>
    [...text(path).matchAll(/^version = "([^"]+)"/gm)].map(([, version]) => version),
  )
  t.true(versions.length > 0)
  t.deepEqual([...new Set(versions)], [manifest.version])
  for (const platform of readdirSync(join(ROOT, 'npm'))) {
    const binding = JSON.parse(text(join('npm', platform, 'package.json'))) as Manifest
    t.is(binding.version, manifest.version, platform)
    t.is(binding.name, `@pageout/${platform}`)
  }
})
