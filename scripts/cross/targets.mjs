// The six targets, as package.json names them for napi, and what their binaries may ask of a system.
import { readFileSync } from 'node:fs'
import { ROOT } from '../prepare.mjs'

/** Where the binaries of scripts/cross/build are. */
export const ARTIFACTS = `${ROOT}target/cross/artifacts`

/** The oldest systems that our binaries run on. Node itself asks for glibc 2.28 and macOS 11 at least. */
export const FLOOR = { glibc: '2.17', macos: '11.0' }

const CPUS = { x86_64: 'x64', aarch64: 'arm64' }
const TRIPLES = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')).napi.targets

/**
 * @typedef {object} Target
 * @property {string} triple what Rust calls it
 * @property {string} os as in process.platform
 * @property {string} cpu as in process.arch
 * @property {string | undefined} libc gnu or musl, on Linux
 * @property {string} suffix what npm's packages call it
 * @property {string} file the name of its binary
 */

/** @type {Target[]} */
export const TARGETS = TRIPLES.map(triple => {
  const [, rustCpu, libc] = /^(x86_64|aarch64)-(?:unknown-linux-(gnu|musl)|apple-darwin)$/.exec(triple)
  const [os, cpu] = [libc ? 'linux' : 'darwin', CPUS[rustCpu]]
  const suffix = [os, cpu, libc].filter(Boolean).join('-')
  return { triple, os, cpu, libc, suffix, file: `pageout.${suffix}.node` }
})

/**
 * Those that are named, or all.
 *
 * @param {string[]} triples
 */
export function targetsNamed(triples) {
  const unknown = triples.find(triple => !TRIPLES.includes(triple))
  if (unknown) throw new Error(`there is no target ${unknown}; there are:\n${TRIPLES.join('\n')}`)
  return TARGETS.filter(({ triple }) => triples.length === 0 || triples.includes(triple))
}
