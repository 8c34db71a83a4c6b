/** An addon that lends its memory to JavaScript, compiled here where there are a C compiler and the headers of Node. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Lender {
  /** An ArrayBuffer over so many pages of the addon, full of sevens. The n-th call makes loan n, from 0 on; at most 64. */
  lend(pages: number): ArrayBuffer
  /** How many bytes of a loan are no sevens any more. */
  changed(loan: number): number
  /** How often a loan was given back to the addon. */
  returns(loan: number): number
}

/** The addon, or why there is none. */
export function openLender(): Lender | string {
  const headers = join(dirname(dirname(process.execPath)), 'include', 'node')
  if (!existsSync(join(headers, 'node_api.h'))) return `no headers of Node in ${headers}`
  const folder = mkdtempSync(join(tmpdir(), 'pageout-lender-'))
  try {
    const addon = join(folder, 'lender.node')
    const source = fileURLToPath(new URL('lender.c', import.meta.url))
    const linking = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []
    const args = ['-shared', '-fPIC', '-O1', `-I${headers}`, ...linking, '-o', addon, source]
    const { error, status, stderr } = spawnSync('cc', args, { encoding: 'utf8' })
    if (error) return `no C compiler: ${error.message}`
    if (status !== 0) throw new Error(stderr)
    return createRequire(import.meta.url)(addon) as Lender
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
