// What we depend on and what those who install us get: lock files that are whole, known sources, licences that we may use,
// nothing that runs at installation. The checks need no network but for the crates themselves; `cargo deny` and `npm audit`
// look up known holes on top of that, where they can. `--all` makes it an error where they cannot.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { packageOf } from './packages.mjs'
import { npmCommand, ROOT } from './prepare.mjs'

const CRATES_IO = 'registry+https://github.com/rust-lang/crates.io-index'
/** Folders with a package.json and a lock file of their own. */
const LOCKED = ['', 'bench/', 'examples/flights/', 'recipes/']
/** Scripts that npm runs when a package is installed. */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare', 'prepublish']
const DEPENDENCIES = ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies']

const problems = []
const skipped = []

function check(isRight, problem) {
  if (!isRight) problems.push(problem)
}

const text = path => readFileSync(`${ROOT}${path}`, 'utf8')
const json = path => JSON.parse(text(path))

/** The output of a command, and whether it succeeded. */
function run(command, ...args) {
  const { error, status, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  })
  return { isFound: error === undefined, isGood: status === 0, stdout: stdout ?? '', said: `${stdout}${stderr}`.trim() }
}

/** What a dependency may be asked for by: a version of the registry, or a folder of this repository. */
function checkSpecifications(manifestPath) {
  const manifest = json(manifestPath)
  for (const list of DEPENDENCIES) {
    for (const [name, specification] of Object.entries(manifest[list] ?? {})) {
      const isVersion = /^(npm:@?[\w./-]+@)?[\^~>=<\d][\w.\-^~>=< |*]*$/.test(specification)
      const isOwn = name === 'pageout' && /^file:(\.\.\/?)+$/.test(specification)
      check(isVersion || isOwn, `${manifestPath}: ${name} comes from ${specification}`)
    }
  }
}

/** A lock file names all that is asked for, with a digest each, and no host: whoever installs chooses the registry. */
function checkNpmLock(folder) {
  const path = `${folder}package-lock.json`
  if (!existsSync(`${ROOT}${path}`)) return check(false, `${path} is missing`)
  const { lockfileVersion, packages } = json(path)
  const manifest = json(`${folder}package.json`)
  check(lockfileVersion === 3, `${path}: version ${lockfileVersion}`)
  for (const list of DEPENDENCIES) {
    const [asked, locked] = [manifest[list], packages[''][list]].map(names => JSON.stringify(names ?? {}))
    check(asked === locked, `${path}: its ${list} are not those of package.json`)
    for (const name of Object.keys(manifest[list] ?? {})) {
      check(packages[`node_modules/${name}`] !== undefined, `${path}: ${name} is missing`)
    }
  }
  let [count, versionOnly] = [0, 0]
  for (const [place, { integrity, resolved, link, inBundle, ...facts }] of Object.entries(packages)) {
    const isOwn = place === '' || !place.includes('node_modules/')
    if (isOwn) continue
    if (link) {
      check(/^(\.\.\/?)+$/.test(resolved), `${path}: ${place} is a link to ${resolved}`)
      continue
    }
    count++
    check(resolved === undefined, `${path}: ${place} names the host ${resolved}`)
    // A lock file that was made where a tool of another platform could not be had knows only its version.
    const isElsewhere = facts.dev && facts.optional && (facts.os ?? facts.cpu) !== undefined
    if (integrity === undefined && isElsewhere) versionOnly++
    else check(inBundle || /^sha512-/.test(integrity ?? ''), `${path}: ${place} has no digest`)
  }
  const but = versionOnly > 0 ? ` but ${versionOnly} optional tools of other platforms` : ''
  console.log(`${path}: ${count} packages, all with a digest${but}, none with a host`)
}

/** What we publish asks for nothing of others and runs nothing when it is installed. */
function checkPublished() {
  const { version } = json('package.json')
  const platforms = readdirSync(`${ROOT}npm`)
  for (const path of ['package.json', ...platforms.map(platform => `npm/${platform}/package.json`)]) {
    const manifest = json(path)
    const hooks = INSTALL_SCRIPTS.filter(name => manifest.scripts?.[name] !== undefined)
    check(hooks.length === 0, `${path}: runs ${hooks} at installation`)
    check(manifest.gypfile !== true, `${path}: asks for node-gyp`)
    for (const list of ['dependencies', 'peerDependencies', 'bundleDependencies', 'bundledDependencies']) {
      check(Object.keys(manifest[list] ?? {}).length === 0, `${path}: has ${list}`)
    }
    for (const [name, wanted] of Object.entries(manifest.optionalDependencies ?? {})) {
      const isOwn = platforms.some(platform => name === packageOf(platform)) && wanted === version
      check(isOwn, `${path}: ${name} ${wanted} is none of our platforms at our version`)
    }
    check(manifest.license === 'Apache-2.0 OR MIT', `${path}: licence ${manifest.license}`)
  }
  // npm builds what has such a file, with or without a script.
  check(!existsSync(`${ROOT}binding.gyp`), 'binding.gyp makes npm run node-gyp at installation')
  console.log(`${platforms.length + 1} packages to publish: no dependency of others, nothing runs at installation`)
}

/** Whether one may choose among the licences of an SPDX expression such that all are allowed. */
function isAllowed(expression, allowed) {
  // Old manifests write a slash for OR.
  const tokens = expression.replaceAll('/', ' OR ').match(/[()]|[\w.+-]+/g) ?? []
  const single = () => {
    const token = tokens.shift()
    if (token === '(') {
      const inner = either()
      tokens.shift()
      return inner
    }
    if (tokens[0] !== 'WITH') return allowed.has(token)
    return allowed.has(`${token} ${tokens.splice(0, 2).join(' ')}`)
  }
  const both = () => {
    let isGood = single()
    while (tokens[0] === 'AND') {
      tokens.shift()
      isGood = single() && isGood
    }
    return isGood
  }
  const either = () => {
    let isGood = both()
    while (tokens[0] === 'OR') {
      tokens.shift()
      isGood = both() || isGood
    }
    return isGood
  }
  return either() && tokens.length === 0
}

/** The crates that users get, one from crates.io and one as the addon. The others of the workspace serve tests. */
const SHIPPED_CRATES = ['pageout', 'pageout-node']

/** The packages that ours are built from, and ours: all but what only tests and benchmarks need. */
function production({ resolve, packages, workspace_members: members }) {
  const nodes = new Map(resolve.nodes.map(node => [node.id, node]))
  const ours = packages.filter(({ id, name }) => members.includes(id) && SHIPPED_CRATES.includes(name))
  const reached = new Set(ours.map(({ id }) => id))
  for (const id of reached) {
    for (const { pkg, dep_kinds: kinds } of nodes.get(id).deps) {
      if (kinds.some(({ kind }) => kind !== 'dev')) reached.add(pkg)
    }
  }
  return reached
}

/** Every crate comes from crates.io with a digest, or from this repository; what we ship has licences that we allow. */
function checkCrates() {
  const { isGood, stdout, said } = run('cargo', 'metadata', '--format-version', '1', '--locked')
  if (!isGood) return check(false, `Cargo.lock is missing or not complete:\n${said}`)
  const metadata = JSON.parse(stdout)
  const allowed = new Set(JSON.parse(/^allow = (\[.*\])$/m.exec(text('deny.toml'))[1]))
  const shipped = production(metadata)
  for (const { id, name, version, source, license, manifest_path: path } of metadata.packages) {
    const isOurs = source === null && path.startsWith(ROOT)
    check(isOurs || source === CRATES_IO, `${name} ${version} comes from ${source ?? path}`)
    if (shipped.has(id)) check(isAllowed(license ?? '', allowed), `${name} ${version}: licence ${license}`)
  }
  for (const [, name, rest] of text('Cargo.lock').matchAll(/^\[\[package\]\]\nname = "(.*)"\n((?:.+\n?)*)/gm)) {
    check(!rest.includes('source = ') || /^checksum = "[\da-f]{64}"$/m.test(rest), `Cargo.lock: ${name} has no digest`)
  }
  check(!/^\[(patch|replace)/m.test(text('Cargo.toml')), 'Cargo.toml replaces crates')
  const count = metadata.packages.length - metadata.workspace_members.length
  console.log(
    `Cargo.lock: ${count} crates of crates.io, ${shipped.size - SHIPPED_CRATES.length} of them in what we ship`,
  )
}

/** Looks up known holes, where that can be done. */
function checkAdvisories() {
  if (run('cargo', 'deny', '--version').isGood) {
    const lists = run('cargo', 'deny', '--locked', 'check', 'licenses', 'bans', 'sources')
    check(lists.isGood, lists.said)
    const known = run('cargo', 'deny', '--locked', 'check', 'advisories')
    const isOutOfReach = /failed to (fetch|load) advisory database/.test(known.said)
    if (isOutOfReach) skipped.push('cargo deny check advisories: its database is out of reach')
    else check(known.isGood, known.said)
    console.log(`cargo deny: licenses, bans, sources${isOutOfReach ? '' : ', advisories'}`)
  } else {
    skipped.push('cargo deny: not installed (cargo install cargo-deny --locked)')
  }
  const [command, ...prefix] = npmCommand()
  const audit = run(command, ...prefix, 'audit', '--omit=dev', '--json')
  const vulnerabilities = reported(audit.stdout)
  if (!vulnerabilities) return skipped.push('npm audit: the registry does not answer')
  check(vulnerabilities.total === 0, audit.said)
  console.log(`npm audit --omit=dev: ${vulnerabilities.total} known holes`)
}

/** The counts that npm reports, if it could ask. */
function reported(output) {
  try {
    return JSON.parse(output).metadata?.vulnerabilities
  } catch {
    return undefined
  }
}

for (const folder of LOCKED) {
  checkNpmLock(folder)
  checkSpecifications(`${folder}package.json`)
}
checkPublished()
checkCrates()
checkAdvisories()
for (const reason of skipped) console.log(`skipped: ${reason}`)
for (const problem of problems) console.error(`problem: ${problem}`)
const isComplete = skipped.length === 0 || !process.argv.includes('--all')
process.exitCode = problems.length === 0 && isComplete ? 0 : 1
