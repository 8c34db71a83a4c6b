// A registry of npm packages on loopback, over a folder of tarballs: enough for `npm install` and `npm publish`. As a program it
// serves the packages with the binaries in target/cross/artifacts until it is stopped.
//   scripts/cross/registry
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { packAll } from '../packages.mjs'
import { compileIfMissing } from '../prepare.mjs'
import { ARTIFACTS } from './targets.mjs'

/** What a tarball says of itself. */
function manifestOf(tarball) {
  const { status, stdout, stderr } = spawnSync('tar', ['-xzOf', tarball, 'package/package.json'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${tarball} is no package: ${stderr}`)
  return JSON.parse(stdout)
}

/** What npm asks for before it installs: the versions of one package. */
function packument(folder, name, origin) {
  const versions = {}
  for (const file of readdirSync(folder).filter(file => file.endsWith('.tgz'))) {
    const manifest = manifestOf(join(folder, file))
    if (manifest.name !== name) continue
    const integrity = `sha512-${createHash('sha512')
      .update(readFileSync(join(folder, file)))
      .digest('base64')}`
    versions[manifest.version] = { ...manifest, dist: { tarball: `${origin}/-/${file}`, integrity } }
  }
  const latest = Object.keys(versions).at(-1)
  return latest && { name, 'dist-tags': { latest }, versions }
}

/** Keeps what `npm publish` sends. A version that is there stays as it is. */
function keep(folder, { _attachments: attachments }, packagesMax) {
  for (const [file, { data }] of Object.entries(attachments)) {
    const path = join(folder, basename(file))
    if (existsSync(path)) throw new Refused(403, 'You cannot publish over the previously published versions')
    if (readdirSync(folder).length >= packagesMax) throw new Refused(503, 'there is no room')
    writeFileSync(path, Buffer.from(data, 'base64'))
  }
}

class Refused extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

class Elsewhere extends Refused {
  constructor(location) {
    super(302, location)
    this.location = location
  }
}

/** What a registry answers. */
async function answer(request, registry) {
  const path = decodeURIComponent(new URL(request.url, registry.origin).pathname).slice(1)
  if (request.method === 'PUT') {
    keep(registry.folder, await json(request), registry.packagesMax)
    return {}
  }
  if (path.startsWith('-/')) return readFileSync(join(registry.folder, basename(path)))
  const [, name, version] = /^((?:@[^/]+\/)?[^/]+)(?:\/(.+))?$/.exec(path) ?? []
  const all = packument(registry.folder, name, registry.origin)
  const found = version === undefined ? all : all?.versions[all['dist-tags'][version] ?? version]
  if (!all && registry.upstream) throw new Elsewhere(new URL(request.url.slice(1), registry.upstream).href)
  if (!found) throw new Refused(404, 'there is no such package')
  return found
}

/**
 * Serves a folder of tarballs.
 *
 * @param {string} folder
 * @param {string} [upstream] the registry that has all other packages, with a slash at its end
 * @returns the registry: its address, how many packages it takes, and what stops it
 */
export async function serve(folder, upstream) {
  const registry = { folder, upstream, origin: '', packagesMax: Number.POSITIVE_INFINITY, close: () => server.close() }
  const server = createServer((request, response) => {
    const end = (status, body, headers = {}) =>
      response.writeHead(status, headers).end(Buffer.isBuffer(body) ? body : JSON.stringify(body))
    answer(request, registry).then(
      body => end(200, body),
      error => end(error.status ?? 500, { error: error.message }, error.location && { location: error.location }),
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  registry.origin = `http://127.0.0.1:${server.address().port}`
  return registry
}

async function main() {
  compileIfMissing()
  const work = mkdtempSync(join(tmpdir(), 'pageout-registry-'))
  process.once('SIGINT', () => process.exit()).once('exit', () => rmSync(work, { recursive: true }))
  const { folder, platforms } = await packAll(ARTIFACTS, work)
  const { origin } = await serve(folder)
  console.log(`for ${platforms.join(', ')}:\nnpm install --registry=${origin} pageout`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
