// What the device itself gives, for `out-of-core.mjs`: direct transfers, several at a time.
import { spawnSync } from 'node:child_process'
import { constants, mkdtempSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { answer, question } from '../child.mjs'

/** @typedef {{ out: number, back: number }} Answer MB/s */

/** So many transfers are on their way at a time; libuv has four threads. */
const DEPTH = 4
const WASM_PAGE_BYTES = 65_536

const { folder, payloadBytes, payloads } = question()
const path = join(mkdtempSync(join(folder, 'device-')), 'device.bin')
const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_DIRECT)
const { error, status, stderr } = spawnSync('fallocate', ['-l', String(payloads * payloadBytes), path], {
  encoding: 'utf8',
})
if (error || status !== 0) throw error ?? new Error(stderr)
const out = await pass((bytes, offset) => file.write(bytes, 0, payloadBytes, offset).then(done => done.bytesWritten))
const back = await pass((bytes, offset) => file.read(bytes, 0, payloadBytes, offset).then(done => done.bytesRead))
await file.close()
await rm(path)
answer({ out, back })

/**
 * MB/s of transfers of all payloads.
 *
 * @param {(bytes: Uint8Array, offset: number) => Promise<number>} transfer
 */
async function pass(transfer) {
  let next = 0
  const lane = async () => {
    const bytes = aligned()
    while (next < payloads) {
      const moved = await transfer(bytes, next++ * payloadBytes)
      if (moved !== payloadBytes) throw new Error(`only ${moved} bytes were moved`)
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: DEPTH }, lane))
  return (payloads * payloadBytes) / 1e3 / (performance.now() - start)
}

/** Memory that begins at a page, which direct transfers need and buffers of Node do not. */
function aligned() {
  const memory = new WebAssembly.Memory({ initial: payloadBytes / WASM_PAGE_BYTES })
  return new Uint8Array(memory.buffer).fill(1)
}
