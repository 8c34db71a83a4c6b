// What the rest of a process notices of work that is going on.

/**
 * The longest that the event loop did not come round while there was work.
 *
 * @param {() => Promise<void>} work
 */
export async function worstDelayMs(work) {
  let worstMs = 0
  let last = performance.now()
  const look = () => {
    const now = performance.now()
    worstMs = Math.max(worstMs, now - last)
    last = now
    next = setImmediate(look)
  }
  let next = setImmediate(look)
  try {
    await work()
  } finally {
    clearImmediate(next)
  }
  return worstMs
}
