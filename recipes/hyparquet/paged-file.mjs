import { readAt } from 'pageout/promises'

/**
 * A file that is paged out, as hyparquet reads files: `byteLength`, and `slice` as that of an ArrayBuffer, which reads off the
 * JavaScript thread.
 *
 * @param {import('pageout').Handle<Uint8Array>} handle of the bytes of the file; it stays the caller's
 * @param {{ signal?: AbortSignal }} [options] `signal` ends reads that are pending
 * @returns {import('hyparquet').AsyncBuffer}
 */
export function pagedFile(handle, { signal } = {}) {
  const { byteLength } = handle
  const position = index => Math.min(Math.max(index < 0 ? byteLength + index : index, 0), byteLength)
  return {
    byteLength,
    // No method: hyparquet calls it alone.
    slice: async (start, end = byteLength) => {
      const first = position(start)
      const bytes = await readAt(handle, first, Math.max(position(end) - first, 0), { signal })
      return bytes.buffer
    },
  }
}
