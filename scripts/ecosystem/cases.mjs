// The cases of the ecosystem test. A tool's version is pinned here, and nowhere else.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { VERSIONS } from '../nodes.mjs'
import { npmScript } from '../packages.mjs'
import { platformHere, ROOT } from '../prepare.mjs'

const TOOLS = {
  '@rollup/plugin-commonjs': '29.0.3',
  '@rollup/plugin-node-resolve': '16.0.3',
  '@types/node': '20.19.43',
  '@vercel/nft': '1.11.5',
  '@yarnpkg/cli-dist': '4.18.1',
  bun: '1.4.5',
  esbuild: '0.28.2',
  'happy-dom': '21.0.4',
  'import-in-the-middle': '3.6.0',
  jest: '30.5.2',
  'jest-environment-jsdom': '30.5.2',
  jsdom: '31.0.1',
  next: '16.4.6',
  pnpm: '12.21.0',
  react: '19.2.0',
  'react-dom': '19.2.0',
  'require-in-the-middle': '8.0.1',
  rollup: '4.68.8',
  vitest: '5.1.2',
  webpack: '5.113.0',
  'webpack-cli': '7.3.1',
}
const of = (...names) => names.map(name => `${name}@${TOOLS[name]}`)

/** Vitest 5 and jsdom 31 need a Node that is newer than the oldest that pageout needs. */
const NEWER_NODE = '24'

/** A bundle runs where it was made, and where nothing is installed it says what to do; then the file beside it is enough. */
async function checkBundle(project, bundle) {
  await project.expectRoundTrip(bundle)
  const away = join(project.aside, 'away', bundle)
  mkdirSync(dirname(away), { recursive: true })
  renameSync(join(project.folder, bundle), away)
  renameSync(join(project.folder, 'node_modules'), join(project.folder, 'moved'))
  await project.expectRefused(['runs from a bundle', 'Mark pageout as external'], away)
  const file = `pageout.${platformHere()}.node`
  const addon = join(project.folder, 'moved/@pageout', platformHere(), file)
  project.env = { PAGEOUT_ADDON: addon }
  await project.expectRoundTrip(away)
  project.env = {}
  cpSync(addon, join(dirname(away), file))
  await project.expectRoundTrip(away)
}

async function node(project) {
  project.copy('app.mjs', 'app.cjs')
  await project.install()
  await project.expectRoundTrip('app.mjs')
  await project.expectRoundTrip('app.cjs')
}

async function jest(project) {
  project.copy('jest')
  await project.install(...of('jest', 'jest-environment-jsdom'))
  await project.tool('jest/bin/jest.js', '--ci', '--maxWorkers=2')
}

const vitest = pool => async project => {
  project.under(NEWER_NODE)
  project.copy('vitest')
  await project.install(...of('vitest', 'jsdom', 'happy-dom'))
  await project.tool('vitest/vitest.mjs', 'run', `--pool=${pool}`, '--maxWorkers=2')
}

const esbuild = (format, bundle) => async project => {
  project.copy('app.mjs')
  await project.install(...of('esbuild'))
  const flags = ['--bundle', '--platform=node', `--format=${format}`, `--outfile=${bundle}`]
  await project.exec(join(project.folder, 'node_modules/.bin/esbuild'), 'app.mjs', ...flags)
  await checkBundle(project, bundle)
}

async function webpack(project) {
  project.copy('app.mjs')
  await project.install(...of('webpack', 'webpack-cli'))
  const flags = ['--mode', 'production', '--target', 'node', '--entry', './app.mjs']
  const said = await project.tool('webpack-cli/bin/cli.js', ...flags)
  project.expect(said, 'compiled successfully')
  await checkBundle(project, 'dist/main.js')
}

const rollup = (format, bundle) => async project => {
  project.copy('app.mjs')
  await project.install(...of('rollup', '@rollup/plugin-node-resolve', '@rollup/plugin-commonjs'))
  const plugins = ['--plugin', 'node-resolve', '--plugin', 'commonjs']
  await project.tool('rollup/dist/bin/rollup', 'app.mjs', '--format', format, '--file', bundle, ...plugins)
  await checkBundle(project, bundle)
}

async function bun(project) {
  project.copy('app.mjs', 'app.cjs')
  await project.install(...of('bun'))
  const program = join(project.folder, 'node_modules/bun/bin/bun.exe')
  if (!isScripted(program)) await project.tool('bun/install.js')
  project.node = program
  await project.expectRoundTrip('app.mjs')
  await project.expectRoundTrip('app.cjs')
  await project.run('build', '--compile', 'app.mjs', '--outfile', 'out/app')
  project.node = join(project.folder, 'out/app')
  await project.expectRefused(['runs from a bundle'])
  const file = `pageout.${platformHere()}.node`
  cpSync(join(project.folder, 'node_modules/@pageout', platformHere(), file), join(project.folder, 'out', file))
  await project.expectRoundTrip()
}

/** Bun's package holds a placeholder until its script has run, which npm may not let it. */
function isScripted(program) {
  return existsSync(program) && readFileSync(program).length > 1e6
}

async function nft(project) {
  project.copy('app.mjs', 'app.cjs')
  await project.install(...of('@vercel/nft'))
  project.write(
    'trace.cjs',
    `const { cpSync } = require('node:fs')
     require('@vercel/nft').nodeFileTrace(['app.mjs', 'app.cjs']).then(({ fileList }) => {
       for (const file of fileList) cpSync(file, '../aside/traced/' + file)
     })`,
  )
  await project.run('trace.cjs')
  renameSync(join(project.folder, 'node_modules'), join(project.folder, 'moved'))
  await project.expectRoundTrip('../aside/traced/app.mjs')
  await project.expectRoundTrip('../aside/traced/app.cjs')
}

const next = isExternal => async project => {
  project.copy('next')
  const external = isExternal ? `serverExternalPackages: ['pageout'], ` : ''
  project.write('next.config.mjs', `export default { ${external}output: 'standalone' }\n`)
  project.write('server.mjs', SERVER)
  project.env = { NEXT_TELEMETRY_DISABLED: '1' }
  await project.install(...of('next', 'react', 'react-dom'))
  await project.tool('next/dist/bin/next', 'build')
  // Where nothing is installed but what was traced.
  renameSync(join(project.folder, 'node_modules'), join(project.folder, 'moved'))
  cpSync(join(project.folder, '.next/standalone'), join(project.aside, 'standalone'), { recursive: true })
  project.expect(await project.run('server.mjs'), '[2.5,1.5,2.5,3.5]')
}

/** Starts the server that Next.js made, asks it once, and stops it. */
const SERVER = `
import { spawn } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
const env = { ...process.env, PORT: '34567', HOSTNAME: '127.0.0.1' }
const server = spawn(process.execPath, ['../aside/standalone/server.js'], { stdio: 'inherit', env })
for (let tries = 0; tries < 100; tries++) {
  await setTimeout(100)
  const response = await fetch('http://127.0.0.1:34567/api').catch(() => undefined)
  if (!response) continue
  console.log(await response.text())
  break
}
server.kill()
`

async function pnpm(project) {
  project.copy('app.mjs', 'app.cjs')
  project.write('pnpm-workspace.yaml', 'minimumReleaseAge: 0\nallowBuilds:\n  esbuild: true\n')
  const pnpm = await toolOutside(project, 'pnpm')
  await project.run(join(pnpm, 'bin/pnpm.mjs'), 'add', `--registry=${project.registry}`, 'pageout', ...of('esbuild'))
  await project.expectRoundTrip('app.mjs')
  await project.expectRoundTrip('app.cjs')
  // A bundle does not see the package of the platform, but pageout, which does.
  if (existsSync(join(project.folder, 'node_modules/@pageout'))) throw new Error('node_modules is not isolated')
  const flags = ['--bundle', '--platform=node', '--outfile=out.cjs']
  await project.exec(join(project.folder, 'node_modules/.bin/esbuild'), 'app.mjs', ...flags)
  await project.expectRoundTrip('out.cjs')
}

async function yarn(project) {
  project.copy('app.mjs', 'app.cjs')
  const yarn = await toolOutside(project, '@yarnpkg/cli-dist')
  project.write('yarn.lock', '')
  // What Yarn remembers of all projects would have the package of this version as it was packed before.
  project.write(
    '.yarnrc.yml',
    `nodeLinker: pnp\nnpmRegistryServer: ${project.registry}\nunsafeHttpWhitelist: [127.0.0.1]\nenableGlobalCache: false\nglobalFolder: ./.yarn/global\nenableTelemetry: false\nnpmMinimalAgeGate: 0\n`,
  )
  const script = join(yarn, 'bin/yarn.js')
  project.env = { YARN_ENABLE_IMMUTABLE_INSTALLS: '0' }
  await project.run(script, 'add', 'pageout')
  if (existsSync(join(project.folder, 'node_modules'))) throw new Error('there is a node_modules, so this is no PnP')
  await project.expectRoundTrip(script, 'node', 'app.mjs')
  await project.expectRoundTrip(script, 'node', 'app.cjs')
}

/** Installs a tool in a folder of its own, as one that is installed for the whole machine. */
async function toolOutside(project, name) {
  const folder = project.aside
  const quietly = ['--no-audit', '--no-fund', '--no-update-notifier', '--prefix', folder]
  await project.run(npmScript(), 'install', ...quietly, `--registry=${project.registry}`, ...of(name))
  return join(folder, 'node_modules', name)
}

async function hooks(project) {
  project.copy('hooks', 'app.mjs', 'app.cjs')
  await project.install(...of('import-in-the-middle', 'require-in-the-middle'))
  for (const program of ['app.mjs', 'app.cjs']) {
    const printed = await project.run('--no-warnings', '--import=./import.mjs', program)
    project.expect(printed, 'left 0, read 99997,99998, took 100000', 'one copy: true', 'hooks saw pageout')
  }
}

/** The ways in which projects tell the compiler what Node does. */
const PROJECTS = {
  'node16-cjs': { file: 'use.cts', options: { module: 'node16' } },
  'node16-esm': { file: 'use.mts', options: { module: 'node16' } },
  'nodenext-cjs': { file: 'use.cts', options: { module: 'nodenext' } },
  'nodenext-esm': { file: 'use.mts', options: { module: 'nodenext' } },
  bundler: { file: 'use.ts', options: { module: 'esnext', moduleResolution: 'bundler' } },
}

const typescript = version => async project => {
  project.copy('app.mjs', 'typescript')
  await project.install(`typescript@${version}`, ...of('@types/node'))
  const source = readFileSync(join(project.folder, 'use.txt'), 'utf8')
  for (const [name, { file, options }] of Object.entries(PROJECTS)) {
    const compilerOptions = { strict: true, target: 'es2022', types: ['node'], outDir: name, rootDir: '.', ...options }
    project.write(file, source)
    project.write(`${name}.json`, JSON.stringify({ compilerOptions, files: [file] }))
    await project.tool('typescript/bin/tsc', '-p', `${name}.json`)
    if (name !== 'bundler') await project.expectRoundTrip(join(name, file.replace(/ts$/, 'js')))
  }
}

/** The title and the commands of each block of docs/guide.md that says that it is run here. */
const GUIDE = [
  ...readFileSync(`${ROOT}docs/guide.md`, 'utf8').matchAll(
    /^### ([^\n]*)\n(?:(?!^#).)*?^<!-- run by scripts\/ecosystem\/cases\.mjs -->\n```sh\n(.*?)^```$/gms,
  ),
]

const guide = commands => async project => {
  rmSync(join(project.folder, 'package.json'))
  project.env = { npm_config_registry: project.registry, npm_config_update_notifier: 'false' }
  const path = `${dirname(process.execPath)}:${process.env.PATH}`
  project.node = 'env'
  const printed = await project.run(`PATH=${path}`, 'bash', '-euc', `exec 2>&1\n${commands}`)
  project.expect(`${printed}\n`, '2,3\n')
}

/**
 * @typedef {object} Case
 * @property {string} group what selects it
 * @property {string} name
 * @property {string} versions
 * @property {string} how
 * @property {boolean} [isSlow]
 * @property {(project: import('./project.mjs').Project) => Promise<void>} check
 */

/** @type {Case[]} */
export const CASES = [
  { group: 'node', name: 'Node', versions: process.versions.node, how: 'import, require', check: node },
  ...VERSIONS.map(version => ({
    group: 'node',
    name: 'Node',
    versions: version,
    how: 'import, require',
    isSlow: true,
    check: project => {
      project.under(version)
      return node(project)
    },
  })),
  { group: 'jest', name: 'Jest', versions: TOOLS.jest, how: 'defaults; node and jsdom, two workers', check: jest },
  ...['threads', 'forks', 'vmThreads'].map(pool => ({
    group: 'vitest',
    name: 'Vitest',
    versions: `${TOOLS.vitest}, Node ${NEWER_NODE}`,
    how: `${pool}; node, jsdom, happy-dom`,
    isSlow: pool !== 'threads',
    check: vitest(pool),
  })),
  { group: 'esbuild', name: 'esbuild', versions: TOOLS.esbuild, how: 'CommonJS', check: esbuild('cjs', 'out.cjs') },
  { group: 'esbuild', name: 'esbuild', versions: TOOLS.esbuild, how: 'ES module', check: esbuild('esm', 'out.mjs') },
  { group: 'webpack', name: 'webpack', versions: TOOLS.webpack, how: 'production, target node', check: webpack },
  { group: 'rollup', name: 'rollup', versions: TOOLS.rollup, how: 'ES module', check: rollup('es', 'out.mjs') },
  { group: 'rollup', name: 'rollup', versions: TOOLS.rollup, how: 'CommonJS', check: rollup('cjs', 'out.cjs') },
  { group: 'bun', name: 'Bun', versions: TOOLS.bun, how: 'run; build --compile, addon beside it', check: bun },
  { group: 'nft', name: '@vercel/nft', versions: TOOLS['@vercel/nft'], how: 'traced, copied, run', check: nft },
  ...[false, true].map(isExternal => ({
    group: 'next',
    name: 'Next.js',
    versions: TOOLS.next,
    how: `standalone${isExternal ? ', serverExternalPackages' : ''}`,
    isSlow: true,
    check: next(isExternal),
  })),
  { group: 'pnpm', name: 'pnpm', versions: TOOLS.pnpm, how: 'isolated; bundled by esbuild', isSlow: true, check: pnpm },
  { group: 'yarn', name: 'Yarn', versions: TOOLS['@yarnpkg/cli-dist'], how: "Plug'n'Play", isSlow: true, check: yarn },
  {
    group: 'hooks',
    name: 'import-in-the-middle, require-in-the-middle',
    versions: `${TOOLS['import-in-the-middle']}, ${TOOLS['require-in-the-middle']}`,
    how: 'hooks on import and require',
    check: hooks,
  },
  ...['5.9.3', '6.0.3', '7.0.2'].map(version => ({
    group: 'typescript',
    name: 'TypeScript',
    versions: version,
    how: 'node16 and nodenext as CommonJS and ES module, bundler',
    isSlow: true,
    check: typescript(version),
  })),
  ...GUIDE.map(([, title, commands]) => ({
    group: 'guide',
    name: 'docs/guide.md',
    versions: 'latest',
    how: title,
    isSlow: !title.includes('CommonJS') && !title.includes('ES mod'),
    check: guide(commands),
  })),
]
