// What every test file of Jest does, whatever its environment.
const { Handle, PageoutError, pageout, readAt, take } = require('pageout')
const promises = require('pageout/promises')

exports.describeRoundTrips = (environment, hasDom) => {
  describe(environment, () => {
    test('is the environment', () => expect(typeof document).toBe(hasDom ? 'object' : 'undefined'))

    test('a chunk is emptied and read back', () => {
      const column = Float64Array.from({ length: 1000 }, (_, index) => index)
      const handle = pageout(column)
      expect(column.length).toBe(0)
      expect([...readAt(handle, 998, 2)]).toEqual([998, 999])
      const whole = take(handle)
      expect(whole).toBeInstanceOf(Float64Array)
      expect(whole.length).toBe(1000)
      expect(handle).toBeInstanceOf(Handle)
      expect(handle.released).toBe(true)
    })

    test('buffers and promises', async () => {
      const handle = await promises.pageout(Buffer.from('cold data'))
      expect((await promises.readAt(handle, 5, 4)).toString()).toBe('data')
      expect((await promises.take(handle)).toString()).toBe('cold data')
    })

    test('an aborted signal is an AbortError', async () => {
      const handle = pageout(Uint8Array.of(1))
      const controller = new AbortController()
      controller.abort()
      const options = [undefined, { signal: controller.signal }]
      await expect(promises.readAt(handle, 0, 1, ...options)).rejects.toMatchObject({ code: 'ABORT_ERR' })
      expect([...take(handle)]).toEqual([1])
    })

    test('errors are of the classes of the package', () => {
      const handle = pageout(Uint8Array.of(1))
      take(handle)
      expect(() => take(handle)).toThrow(PageoutError)
      expect(() => pageout(1)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }))
    })
  })
}
