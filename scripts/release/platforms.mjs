// Publishes the packages of the platforms, and makes the root package ask for them. What is out already is left alone.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { TARGETS } from '../cross/targets.mjs'
import { optionalDependencies, packageOf } from '../packages.mjs'
import { npmCommand, ROOT } from '../prepare.mjs'

const platforms = TARGETS.map(({ suffix }) => suffix)
const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
const [command, ...prefix] = npmCommand()
const npm = (args, options) => spawnSync(command, [...prefix, ...args], { encoding: 'utf8', ...options })

for (const platform of platforms) {
  const what = `${packageOf(platform)}@${manifest.version}`
  if (npm(['view', what, 'version'], { cwd: ROOT }).stdout.trim() === manifest.version) {
    console.log(`${what} is on npm already`)
    continue
  }
  const { status } = npm(['publish'], { cwd: `${ROOT}npm/${platform}`, stdio: 'inherit' })
  if (status !== 0) throw new Error(`${what} could not be published`)
}
manifest.optionalDependencies = optionalDependencies(platforms, manifest.version)
writeFileSync(`${ROOT}package.json`, `${JSON.stringify(manifest, null, 2)}\n`)
