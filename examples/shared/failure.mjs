const SCRATCH_CODES = ['ERR_PAGEOUT_SCRATCH_DIR', 'ERR_PAGEOUT_RAM_BACKED']

/**
 * Says why a demo failed, and how to call it where that was the reason.
 * @param {NodeJS.ErrnoException} error
 * @param {string} usage
 */
export function failWith(error, usage) {
  const { code = '' } = error
  if (error instanceof RangeError || code.startsWith('ERR_PARSE_ARGS')) {
    console.error(`${error.message}\n\n${usage}`)
    process.exitCode = 2
    return
  }
  console.error(`\nThe demo failed: ${error.message}`)
  if (SCRATCH_CODES.includes(code)) console.error('Choose another directory with --scratch DIR.')
  process.exitCode = 1
}
