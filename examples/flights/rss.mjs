import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const KIB = 2 ** 10

/** The resident memory of another process in bytes, or undefined when it is gone. */
export const readRssBytes = process.platform === 'linux' ? rssFromProc : rssFromPs

/** @param {number} pid */
async function rssFromProc(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '')
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(status)
  return match ? Number(match[1]) * KIB : undefined
}

/** @param {number} pid */
async function rssFromPs(pid) {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]).catch(() => ({ stdout: '' }))
  return Number(stdout) * KIB || undefined
}
