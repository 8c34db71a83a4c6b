// Measures both servers under the same load, each in a memory group of its own, in turns:
//   node recipes/fastify/load.mjs [rounds]
// A memory group needs root on a Linux with control groups. Without one the limit does not hold, and the output says so.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { availableParallelism, cpus, release } from 'node:os'
import { text } from 'node:stream/consumers'
import { MemoryGroup } from '../../bench/memory-group.mjs'

const MIB = 2 ** 20
const LIMIT_BYTES = 512 * MIB
const SERVERS = ['server.mjs', 'lru-server.mjs']
const DATASETS = 200
const LENGTH = MIB
const RANGE_LENGTH = 64 * 1024
const CLIENTS = 16
const [WARM_UP, REQUESTS] = [1000, 2500]

/** Numbers from 0 to 1, the same for a seed (mulberry32). */
function random(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Requests by Zipf's law: the dataset of rank r is asked for in proportion to 1 / r. Which dataset has which rank is drawn. */
function makeRequests(count, seed) {
  const draw = random(seed)
  const ranked = Array.from({ length: DATASETS }, (_, id) => id).sort(() => draw() - 0.5)
  const sums = []
  for (let rank = 1; rank <= DATASETS; rank++) sums.push((sums.at(-1) ?? 0) + 1 / rank)
  return Array.from({ length: count }, () => {
    const point = draw() * sums.at(-1)
    const from = Math.floor(draw() * (LENGTH - RANGE_LENGTH))
    return `/datasets/${ranked[sums.findIndex(sum => sum > point)]}/summary?from=${from}&to=${from + RANGE_LENGTH}`
  })
}

async function ask(url, agent) {
  const [response] = await once(get(url, { agent }), 'response')
  const body = await text(response)
  if (response.statusCode !== 200) throw new Error(`${url}: ${response.statusCode} ${body}`)
  return JSON.parse(body)
}

/** Milliseconds of each request: every client asks for the next one when it has its answer. */
async function load(base, paths, agent) {
  const waiting = paths.values()
  const milliseconds = []
  const client = async () => {
    for (const path of waiting) {
      const start = performance.now()
      await ask(base + path, agent)
      milliseconds.push(performance.now() - start)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return milliseconds.sort((a, b) => a - b)
}

async function measure(file, group) {
  const [command, ...args] = [...(group?.prefix ?? []), process.execPath, new URL(file, import.meta.url).pathname]
  const server = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(server, 'exit')
  const agent = new Agent({ keepAlive: true })
  try {
    const [line] = await Promise.race([once(server.stdout.setEncoding('utf8'), 'data'), ended.then(refuseEnd)])
    const base = line.trim()
    await load(base, makeRequests(WARM_UP, 1), agent)
    const { reads: before } = await ask(`${base}/reads`, agent)
    const start = performance.now()
    const milliseconds = await load(base, makeRequests(REQUESTS, 2), agent)
    const seconds = (performance.now() - start) / 1000
    const { reads } = await ask(`${base}/reads`, agent)
    const [, peakKib] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))
    return {
      'p50 ms': milliseconds[Math.floor(REQUESTS * 0.5)],
      'p99 ms': milliseconds[Math.floor(REQUESTS * 0.99)],
      'requests/s': REQUESTS / seconds,
      'peak RSS MiB': peakKib / 1024,
      'without a read %': 100 * (1 - (reads - before) / REQUESTS),
    }
  } finally {
    agent.destroy()
    server.kill('SIGTERM')
    await ended
  }
}

function refuseEnd([code, signal]) {
  throw new Error(`the server ended with ${signal ?? code}`)
}

function openGroup() {
  try {
    return new MemoryGroup(LIMIT_BYTES)
  } catch (error) {
    console.log(`without a memory group: ${error.message}`)
  }
}

const version = path => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version

function describe(rounds) {
  const packages = ['fastify', 'lru-cache'].map(name => `${name} ${version(`../node_modules/${name}/package.json`)}`)
  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model}, ${availableParallelism()} cores, Linux ${release()},`,
  )
  console.log(`Node ${process.versions.node}, pageout ${version('../../package.json')}, ${packages.join(', ')}`)
  console.log(`${CLIENTS} clients, ${REQUESTS} requests, ${rounds} rounds: minimum / median`)
}

const rounds = Number(process.argv[2] ?? 3)
const results = new Map(SERVERS.map(file => [file, []]))
for (let round = 0; round < rounds; round++) {
  for (const file of SERVERS) {
    const group = openGroup()
    try {
      results.get(file).push(await measure(file, group))
    } finally {
      group?.remove()
    }
  }
}
describe(rounds)
const columns = Object.keys(results.get(SERVERS[0])[0])
console.log(`| | ${columns.join(' | ')} |`)
console.log(`| --- |${' --: |'.repeat(columns.length)}`)
for (const [file, all] of results) {
  const cells = columns.map(column => {
    const sorted = all.map(result => result[column]).sort((a, b) => a - b)
    return `${Math.round(sorted[0])} / ${Math.round(sorted[sorted.length >> 1])}`
  })
  console.log(`| ${file} | ${cells.join(' | ')} |`)
}
