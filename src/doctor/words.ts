/** Numbers as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** A number of bytes with three digits or so: `17.9 GiB`. */
export function bytes(count: number): string {
  let [value, unit] = [count, 0]
  // What would be rounded to 1024 is one of the next unit.
  while (Number(value.toFixed(digitsOf(value))) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 ? 0 : digitsOf(value)
  return `${Number(value.toFixed(digits))} ${UNITS[unit]}`
}

function digitsOf(value: number): number {
  if (value >= 100) return 0
  return value >= 10 ? 1 : 2
}

/** Bytes for each second, in units of a million: `1930 MB/s`. */
export function speed(bytesPerSecond: number): string {
  const megabytes = bytesPerSecond / 1e6
  return `${Number(megabytes.toFixed(megabytes >= 10 ? 0 : 1))} MB/s`
}

/** Milliseconds: `3.2 ms`. */
export function milliseconds(count: number): string {
  return `${Number(count.toFixed(digitsOf(count)))} ms`
}

/** A number of things: `1 note`, `2 notes`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`
}
