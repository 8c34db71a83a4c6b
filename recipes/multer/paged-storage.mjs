import { callbackify } from 'node:util'
import { pageoutFrom } from 'pageout/promises'

/**
 * A storage engine of multer: uploads leave memory while they arrive. A stored file has a `handle`, which reads it back, and its
 * `size`.
 */
export class PagedStorage {
  #store

  /** @param {import('pageout/promises').Pager} [pager] with a directory and a capacity of its own */
  constructor(pager) {
    this.#store = callbackify(async stream => {
      const handle = await (pager ? pager.pageoutFrom(stream) : pageoutFrom(stream))
      return { handle, size: handle.byteLength }
    })
  }

  /** What fails half way has freed itself. */
  _handleFile(_request, file, callback) {
    this.#store(file.stream, callback)
  }

  /** Of a request that is refused, multer calls this for all files that were stored. */
  _removeFile(_request, file, callback) {
    file.handle.release()
    callback(null)
  }
}

/** A route whose uploads are freed when what it returns has settled, but for those that it has taken or moved. */
export function withUploads(route) {
  return async (request, response, next) => {
    const files = request.file ? [request.file] : Object.values(request.files ?? {}).flat()
    try {
      await route(request, response, next)
    } finally {
      for (const { handle } of files) handle.release()
    }
  }
}
