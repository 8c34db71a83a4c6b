// Loads another addon instead of the one that was built: for `node --require`, with its path in PAGEOUT_ADDON.
'use strict'

const { PAGEOUT_ADDON } = process.env
if (!PAGEOUT_ADDON) throw new Error('PAGEOUT_ADDON does not name an addon')

const { dlopen } = process
process.dlopen = (module, path, ...flags) => {
  const isOurs = /[\\/]pageout\.[\w-]+\.node$/.test(path)
  return dlopen.call(process, module, isOurs ? PAGEOUT_ADDON : path, ...flags)
}
