export const MIB = 2 ** 20
export const GIB = 2 ** 30

/** @param {number} bytes */
export const formatMib = bytes => `${(bytes / MIB).toFixed(1)} MiB`

/** @param {number} bytes */
export const formatGib = bytes => `${(bytes / GIB).toFixed(2)} GiB`

/** @param {number} ms */
export const formatSeconds = ms => `${(ms / 1000).toFixed(2)} s`

/** @param {number} count */
export const formatCount = count => count.toLocaleString('en-US')

/** Milliseconds since the epoch with fractions: the one clock that parent and children share. */
export const nowMs = () => performance.timeOrigin + performance.now()
