// An empty folder in which a case of the ecosystem test installs the package and tools, and runs them.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodeOf } from '../nodes.mjs'
import { npmScript, run } from '../packages.mjs'
import { ROOT } from '../prepare.mjs'

/** What the programs of __test__/ecosystem print where all is well. */
const GOOD = 'left 0, read 99997,99998, took 100000 up to 99999, one copy: true'

export class Project {
  /**
   * @param {string} folder
   * @param {string} registry
   */
  constructor(folder, registry) {
    this.folder = join(folder, 'project')
    /** A folder beside the project's, for what must not see what is installed there. */
    this.aside = join(folder, 'aside')
    this.registry = registry
    this.node = process.execPath
    for (const path of [this.folder, this.aside]) mkdirSync(path, { recursive: true })
    this.write('package.json', '{ "private": true }\n')
  }

  /** Runs what follows under another Node. */
  under(version) {
    this.node = nodeOf(version).node
  }

  write(name, content) {
    writeFileSync(join(this.folder, name), content)
  }

  /** Copies files or folders of __test__/ecosystem; what is in a folder goes into the project. */
  copy(...names) {
    for (const name of names) {
      const target = name.includes('.') ? join(this.folder, name) : this.folder
      cpSync(`${ROOT}__test__/ecosystem/${name}`, target, { recursive: true })
    }
  }

  /** Installs pageout and tools by npm. */
  async install(...tools) {
    const quietly = ['--no-audit', '--no-fund', '--no-update-notifier', '--save-exact', '--foreground-scripts']
    await this.run(npmScript(), 'install', ...quietly, `--registry=${this.registry}`, 'pageout', ...tools)
  }

  /** Runs a script by Node. */
  run(script, ...args) {
    return this.exec(this.node, script, ...args)
  }

  /** Runs a command of an installed tool by Node. */
  tool(name, ...args) {
    return this.run(join('node_modules', name), ...args)
  }

  /** Runs a program. Where it is not said otherwise, tools are not told that a machine watches, and find no addon by name. */
  exec(program, ...args) {
    const { PAGEOUT_ADDON: _, NODE_OPTIONS: __, ...env } = process.env
    return run([program, ...args], { cwd: this.folder, env: { ...env, NO_COLOR: '1', ...this.env } })
  }

  /** Runs a program of __test__/ecosystem, or what was made of it, and looks at what it prints. */
  async expectRoundTrip(...args) {
    this.expect(await this.run(...args), GOOD)
  }

  expect(printed, ...parts) {
    for (const part of parts) {
      if (!printed.includes(part)) throw new Error(`${JSON.stringify(part)} is not in what was printed:\n${printed}`)
    }
  }

  /** Runs something that has to fail with ERR_PAGEOUT_ADDON and to say certain things. */
  async expectRefused(parts, ...args) {
    const said = await this.run(...args).then(
      printed => `it worked: ${printed}`,
      error => error.message,
    )
    this.expect(said, 'ERR_PAGEOUT_ADDON', ...parts)
  }
}
