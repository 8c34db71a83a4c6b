// The consumer's view: packs the package and its platforms' packages, lets publint and attw look at what would be published,
// serves all on loopback, installs from there in an empty folder, and uses it by import and by require, as README.md does, and
// with the smoke checks.
//   npm run test:consumer [-- --artifacts FOLDER]
// takes this machine's own build, or the binaries of a folder.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { consume, consumeOtherwise, here } from './consume.mjs'
import { serve } from './cross/registry.mjs'
import { packAll, run } from './packages.mjs'
import { buildIfMissing, compileIfMissing, ROOT } from './prepare.mjs'

/** Fails when publint or attw finds something to say about a packed package. */
async function lint(tarball) {
  const said = await run([process.execPath, 'node_modules/.bin/publint', 'run', tarball, '--strict'], { cwd: ROOT })
  // Suggestions do not change the exit code.
  if (!said.includes('All good!')) throw new Error(said)
  await run([process.execPath, 'node_modules/.bin/attw', tarball], { cwd: ROOT })
  console.log('publint, attw: clean')
}

const { artifacts } = parseArgs({ options: { artifacts: { type: 'string' } } }).values
if (artifacts) compileIfMissing()
else buildIfMissing()
const work = mkdtempSync(join(tmpdir(), 'pageout-consumer-'))
let registry
try {
  const { folder, packed, platforms } = await packAll(artifacts ?? ROOT, work)
  for (const { filename, size, unpackedSize, files } of packed) {
    console.log(`${filename}: ${files.length} files, ${size} bytes packed, ${unpackedSize} unpacked`)
  }
  await lint(join(folder, packed[0].filename))
  const place = here(work)
  if (!platforms.includes(place.suffix)) {
    throw new Error(`there is no binary for ${place.suffix}, but for ${platforms}`)
  }
  registry = await serve(folder)
  const { packages, files, bytes, smoke } = await consume(place, registry.origin)
  console.log(`${place.name}, npm install pageout: ${packages} packages, ${files} files, ${bytes} bytes, no scripts`)
  console.log(`import, require, promises, doctor, quick start: work; smoke checks: ${smoke}`)
  await consumeOtherwise(place, registry.origin)
  console.log('--omit=optional: refused by name; --ignore-scripts: works')
} finally {
  registry?.close()
  rmSync(work, { recursive: true, force: true })
}
