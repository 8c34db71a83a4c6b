import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { Deployment } from 'kubernetes-models/apps/v1'
import { Pager } from 'pageout'
import { parseAllDocuments, parseDocument } from 'yaml'
import { groupMemory, run } from './graphs.mjs'

const text = name => readFileSync(new URL(name, import.meta.url), 'utf8')
const { engines } = createRequire(import.meta.url)('pageout/package.json')
const dockerfile = text('Dockerfile')
const [scratchDir] = /(?<=^ENV PAGEOUT_SCRATCH_DIR=)\S+$/m.exec(dockerfile)

function parsed(document) {
  assert.deepEqual([...document.errors, ...document.warnings], [])
  return document.toJS()
}

const deployment = parsed(parseAllDocuments(text('deployment.yaml')).at(0))
const { server } = parsed(parseDocument(text('compose.yaml'))).services
const pod = deployment.spec.template.spec
const [container] = pod.containers

/** Bytes of a quantity of Kubernetes. */
function bytes(quantity) {
  const [, number, unit] = /^(\d+)(Mi|Gi)?$/.exec(quantity)
  return Number(number) * { Mi: 2 ** 20, Gi: 2 ** 30 }[unit ?? 'none'] || Number(number)
}

test('the manifest is what the schema of Kubernetes says', () => {
  new Deployment(deployment).validate()
  const wrong = structuredClone(deployment)
  wrong.spec.template.spec.volumes[0].emptyDir.sizeLimit = ['5Gi']
  assert.throws(() => new Deployment(wrong).validate(), 'the schema was looked at')
})

test('the scratch directory is a volume on a disk, at one path everywhere', () => {
  const mount = container.volumeMounts.find(({ mountPath }) => mountPath === scratchDir)
  const volume = pod.volumes.find(({ name }) => name === mount.name)
  assert.ok(volume.emptyDir.sizeLimit && volume.emptyDir.medium === undefined)
  const { env } = container
  assert.equal(env.find(({ name }) => name === 'PAGEOUT_SCRATCH_DIR').value, scratchDir)
  assert.equal(server.environment.PAGEOUT_SCRATCH_DIR, scratchDir)
  assert.deepEqual(server.volumes, [`scratch:${scratchDir}`])
  assert.ok(!server.tmpfs)
  assert.match(dockerfile, new RegExp(`mkdir --mode=0700 ${scratchDir} && chown node:node ${scratchDir}$`, 'm'))
})

test('the capacity of pageout is the first limit that is reached', () => {
  const { requests, limits } = container.resources
  const capacity = Number(container.env.find(({ name }) => name === 'PAGEOUT_CAPACITY_BYTES').value)
  const { sizeLimit } = pod.volumes[0].emptyDir
  assert.ok(capacity < bytes(requests['ephemeral-storage']) && capacity < bytes(sizeLimit))
  assert.ok(bytes(requests['ephemeral-storage']) <= bytes(limits['ephemeral-storage']))
  assert.equal(requests.memory, limits.memory)
  assert.equal(Number(server.environment.PAGEOUT_CAPACITY_BYTES), capacity)
  assert.ok(server.mem_limit && server.mem_limit === server.memswap_limit)
})

test('nothing runs as root, and nothing but the scratch directory can be written', () => {
  assert.ok(pod.securityContext.runAsNonRoot && container.securityContext.readOnlyRootFilesystem)
  assert.equal(container.securityContext.allowPrivilegeEscalation, false)
  assert.deepEqual([container.securityContext.capabilities.drop, server.cap_drop], [['ALL'], ['ALL']])
  assert.ok(server.read_only && server.user === 'node')
  assert.match(dockerfile, /^USER node$/m)
})

test('the image has a Node that the package supports', () => {
  const majors = Array.from(dockerfile.matchAll(/^FROM node:(\d+)-slim/gm), ([, major]) => Number(major))
  assert.equal(majors.length, 2)
  const ranges = Array.from(engines.node.matchAll(/(\^|>=)(\d+)/g), ([, sign, major]) => [sign, Number(major)])
  const isSupported = major => ranges.some(([sign, from]) => (sign === '^' ? major === from : major >= from))
  assert.ok(majors.every(isSupported), `${majors} in ${engines.node}`)
  assert.ok(text('.dockerignore').split('\n').includes('node_modules'), 'modules of another platform stay out')
})

test('a directory with the owner and the mode of an emptyDir serves a user who is not root', t => {
  if (process.getuid() !== 0) return t.skip('only root can be another user')
  const directory = mkdtempSync('/var/tmp/emptydir-')
  chownSync(directory, 0, 1000) // by fsGroup
  chmodSync(directory, 0o2777)
  process.setegid(1000)
  process.seteuid(1000)
  try {
    const pager = new Pager({ scratchDir: directory })
    const handle = pager.pageout(Float64Array.of(1, 2, 3))
    assert.deepEqual(pager.take(handle), Float64Array.of(1, 2, 3))
    assert.deepEqual(readdirSync(directory), [], 'its files have no names')
    pager.close()
  } finally {
    process.seteuid(0)
    process.setegid(0)
    rmSync(directory, { recursive: true })
  }
})

test('what is paged out leaves the process, and every number comes back', t => {
  const rss = new Map()
  const { isWhole, scratchBytes } = run(64, step => rss.set(step, process.memoryUsage.rss()))
  assert.ok(isWhole && scratchBytes >= 64 * 2 ** 20)
  const [, full, out] = rss.values()
  assert.ok(full - out > 48 * 2 ** 20, `${full - out} bytes less`)
  try {
    const { usage, cache, workingSet } = groupMemory()
    assert.ok(usage >= workingSet && usage >= cache && workingSet > 0)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    t.diagnostic(`no memory group is to be seen here: ${error.message}`)
  }
})
