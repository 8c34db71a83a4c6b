/** Giving memory back that nobody needs any more. */

import { native } from '../addon/load.js'
import { isOurs, keep, takeSpares } from './results.js'

/** Shorter buffers hold no page of their own, so keeping them would keep more than is counted. */
const SPARES_FROM_BYTES = 4096

/**
 * Takes over a private buffer whose content nobody needs: keeps it for results if it was allocated by this package and fits
 * within `spareBytes`, else releases it now.
 */
export function giveBack(buffer: ArrayBuffer, spareBytes: number): void {
  const { byteLength } = buffer
  const isKept = isOurs(buffer) && byteLength >= SPARES_FROM_BYTES && byteLength <= spareBytes
  if (isKept) keep(buffer, spareBytes).forEach(release)
  else release(buffer)
}

/** Releases a private buffer now. */
export function release(buffer: ArrayBuffer): void {
  native.release(new Uint8Array(buffer))
}

/** Releases all spare buffers. */
export function clearSpares(): void {
  takeSpares().forEach(release)
}
