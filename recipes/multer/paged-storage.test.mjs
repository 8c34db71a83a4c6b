import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import express from 'express'
import multer from 'multer'
import { Pager, take, toReadableStream } from 'pageout/promises'
import { PagedStorage, withUploads } from './paged-storage.mjs'

const MIB = 2 ** 20
const digestOf = bytes => createHash('sha256').update(bytes).digest('hex')
const bytesOf = (seed, length) => Buffer.alloc(length, digestOf(`${seed}`))

/**
 * A server on loopback, with the routes of an app that takes uploads.
 *
 * @param {import('node:test').TestContext} t
 * @param {object} [options] of multer
 * @param {object} [pagerOptions]
 */
async function serve(t, options = {}, pagerOptions = {}) {
  const pager = new Pager(pagerOptions)
  const storage = new PagedStorage(pager)
  let [started, settled] = [0, 0]
  const counted = {
    _handleFile(request, file, callback) {
      started++
      storage._handleFile(request, file, (...result) => {
        settled++
        callback(...result)
      })
    },
    _removeFile: (...args) => storage._removeFile(...args),
  }
  const upload = multer({ storage: counted, ...options })
  const kept = []
  const refused = []
  const app = express()
  app.post(
    '/digests',
    upload.any(),
    withUploads(async ({ files }, response) => {
      const digests = []
      for (const { handle, originalname, size } of files) {
        const hash = createHash('sha256')
        for await (const bytes of toReadableStream(handle)) hash.update(bytes)
        digests.push([originalname, size, hash.digest('hex')])
      }
      response.json(digests)
    }),
  )
  app.post(
    '/echo',
    upload.single('file'),
    withUploads(({ file }, response) => pipeline(Readable.fromWeb(toReadableStream(file.handle)), response)),
  )
  app.post(
    '/keep',
    upload.fields([{ name: 'a' }, { name: 'b' }]),
    withUploads(async ({ files }, response) => {
      kept.push(await take(files.a[0].handle))
      response.end()
    }),
  )
  app.post(
    '/fails',
    upload.array('file'),
    withUploads(() => Promise.reject(new Error('from the route'))),
  )
  app.use((error, _request, response, _next) => {
    refused.push(error)
    response.status(422).end(error.code ?? error.message)
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    server.closeAllConnections()
    server.close()
    await pager.close()
  })
  const { port } = server.address()
  /** Until something is so, or the time of the test is over. */
  const until = async condition => {
    while (!condition()) await turn(undefined, { signal: t.signal })
  }
  return {
    ...{ kept, pager, port, refused, until },
    started: () => started,
    post: (path, body) => fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body }),
    /** Waits until nothing is being stored, and says what is held. */
    async held() {
      await until(() => settled === started && pager.stats().usedBytes === 0)
      return pager.stats().handles
    },
  }
}

/** A form with a file for each of `[field, name, bytes]`. */
function formOf(...files) {
  const form = new FormData()
  form.append('title', 'a field that is no file')
  for (const [field, name, bytes] of files) form.append(field, new Blob([bytes]), name)
  return form
}

const limit = { timeout: 20_000 }

test('several files of a request, and several requests at a time', limit, async t => {
  const { held, pager, post } = await serve(t)
  const sizes = [0, 1, 5000, 9 * MIB + 1]
  const responses = await Promise.all(
    [1, 2, 3].map(request =>
      post('/digests', formOf(...sizes.map(size => ['any', `${size}`, bytesOf(request, size)]))),
    ),
  )
  for (const [index, response] of responses.entries()) {
    const expected = sizes.map(size => [`${size}`, size, digestOf(bytesOf(index + 1, size))])
    assert.deepEqual(await response.json(), expected)
  }
  assert.equal(pager.stats().pageouts, 12)
  assert.equal(await held(), 0)
})

test('a file is sent back', limit, async t => {
  const { held, post } = await serve(t)
  const bytes = bytesOf(1, 3 * MIB)
  const response = await post('/echo', formOf(['file', 'name', bytes]))
  assert.equal(digestOf(Buffer.from(await response.arrayBuffer())), digestOf(bytes))
  assert.equal(await held(), 0)
})

test('a route takes one file and leaves the other, and one fails', limit, async t => {
  const { held, kept, post } = await serve(t)
  await post('/keep', formOf(['a', '1', bytesOf(1, MIB)], ['b', '2', bytesOf(2, MIB)]))
  assert.deepEqual(kept, [bytesOf(1, MIB)])
  assert.equal(await (await post('/fails', formOf(['file', '1', 'x'], ['file', '2', 'y']))).text(), 'from the route')
  assert.equal(await held(), 0)
})

test('a file that is too long, or one too many: those before it are freed', limit, async t => {
  const { held, post, started } = await serve(t, { limits: { fileSize: MIB, files: 2 } })
  const first = ['any', 'first', bytesOf(1, MIB)]
  const long = await post('/digests', formOf(first, ['any', 'long', bytesOf(2, 3 * MIB)]))
  assert.deepEqual([long.status, await long.text()], [422, 'LIMIT_FILE_SIZE'])
  const many = await post('/digests', formOf(first, first, first))
  assert.deepEqual([many.status, await many.text()], [422, 'LIMIT_FILE_COUNT'])
  const unexpected = await post('/keep', formOf(['a', 'first', 'x'], ['c', 'second', 'y']))
  assert.deepEqual([unexpected.status, await unexpected.text()], [422, 'LIMIT_UNEXPECTED_FILE'])
  assert.ok(started() >= 5)
  assert.equal(await held(), 0)
})

test('a full disk refuses the request, and the next one that is shorter succeeds', limit, async t => {
  const { held, post } = await serve(t, {}, { capacityBytes: 6 * MIB })
  const long = await post('/digests', formOf(['any', '1', bytesOf(1, MIB)], ['any', '2', bytesOf(2, 20 * MIB)]))
  assert.deepEqual([long.status, await long.text()], [422, 'ERR_PAGEOUT_CAPACITY'])
  assert.equal(await held(), 0)
  assert.equal((await post('/digests', formOf(['any', '1', bytesOf(1, MIB)]))).status, 200)
})

for (const [where, sentBytes, files] of [
  ['between two files', 0, 1],
  ['in the first bytes of a file', 100, 2],
  ['after pieces that are on the disk', 11 * MIB, 2],
]) {
  test(`an upload that breaks off ${where}`, limit, async t => {
    const { held, pager, port, refused, started, until } = await serve(t)
    const socket = connect(port, '127.0.0.1')
    const part = name => `--x\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n\r\n`
    socket.write('POST /digests HTTP/1.1\r\nHost: here\r\nContent-Type: multipart/form-data; boundary=x\r\n')
    socket.write(`Content-Length: ${64 * MIB}\r\n\r\n${part('whole')}some bytes\r\n${part('half')}`)
    socket.write(bytesOf(1, sentBytes))
    await until(() => started() === files && pager.stats().handles === 1)
    await until(() => pager.stats().usedBytes >= Math.min(sentBytes, 4 * MIB))
    socket.destroy()
    await until(() => refused.length === 1)
    assert.equal(await held(), 0)
    assert.equal(pager.stats().pageouts, 1)
  })
}
