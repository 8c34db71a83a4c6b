// The consumer's view: packs the package and this machine's platform package, lets publint and attw look at what would be
// published, installs both in an empty folder, and uses them there by import and by require.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { buildIfMissing, npmCommand, ROOT } from './prepare.mjs'

const USE = `
  const handle = pageout(Float64Array.of(1, 2, 3))
  if (take(handle).join() !== '1,2,3') throw new Error('the bytes did not come back')
  console.log(how + ': works')
`

/**
 * @param {string} cwd
 * @param {string} command
 * @param {string[]} args
 */
function run(cwd, command, ...args) {
  const { error, status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`)
  return stdout
}

/**
 * @param {string} cwd
 * @param {string[]} args
 */
function npm(cwd, ...args) {
  const [command, ...prefix] = npmCommand()
  return run(cwd, command, ...prefix, ...args)
}

/**
 * Packs a folder as npm would publish it.
 *
 * @param {string} folder
 * @param {string} into
 */
function pack(folder, into) {
  const [packed] = JSON.parse(npm(folder, 'pack', '--json', '--ignore-scripts', '--pack-destination', into))
  console.log(
    `${packed.filename}: ${packed.files.length} files, ${packed.size} bytes packed, ${packed.unpackedSize} unpacked`,
  )
  return join(into, packed.filename)
}

/**
 * Fails when publint or attw finds something to say about a packed package.
 *
 * @param {string} tarball
 */
function lint(tarball) {
  const said = run(ROOT, process.execPath, 'node_modules/.bin/publint', 'run', tarball, '--strict')
  // Suggestions do not change the exit code.
  if (!said.includes('All good!')) throw new Error(said)
  // A CommonJS program requires the ES modules as they are, which only the esm-only profile does not count as wrong.
  run(ROOT, process.execPath, 'node_modules/.bin/attw', tarball, '--profile', 'esm-only')
  console.log('publint, attw: clean')
}

buildIfMissing()
const addon = readdirSync(ROOT).find(name => name.endsWith('.node'))
if (!addon) throw new Error('there is no built addon')
const work = mkdtempSync(join(tmpdir(), 'pageout-consumer-'))
try {
  const platform = basename(addon, '.node').replace('pageout.', '')
  cpSync(`${ROOT}npm/${platform}`, join(work, platform), { recursive: true })
  cpSync(`${ROOT}${addon}`, join(work, platform, addon))
  const tarball = pack(ROOT, work)
  lint(tarball)
  const tarballs = [tarball, pack(join(work, platform), work)]
  const consumer = mkdtempSync(join(work, 'consumer-'))
  writeFileSync(join(consumer, 'package.json'), '{ "private": true }\n')
  npm(consumer, 'install', '--offline', '--no-audit', '--no-fund', ...tarballs)
  writeFileSync(join(consumer, 'use.mjs'), `import { pageout, take } from 'pageout'\nconst how = 'import'\n${USE}`)
  writeFileSync(
    join(consumer, 'use.cjs'),
    `const { pageout, take } = require('pageout')\nconst how = 'require'\n${USE}`,
  )
  writeFileSync(
    join(consumer, 'promises.mjs'),
    `import { pageout, take } from 'pageout/promises'\nconst bytes = await take(await pageout(Uint8Array.of(7)))\nif (bytes[0] !== 7) throw new Error('the byte did not come back')\nconsole.log('promises: works')\n`,
  )
  for (const script of ['use.mjs', 'use.cjs', 'promises.mjs'])
    process.stdout.write(run(consumer, process.execPath, script))
} finally {
  rmSync(work, { recursive: true, force: true })
}
