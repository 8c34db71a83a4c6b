/** What the measured speed means: pure. */

import { adviceAbout } from './scratch.js'
import type { Finding, Reason, SpeedFacts, TransferFacts } from './types.js'
import { bytes, milliseconds, speed } from './words.js'

const section = 'speed'

/** A device that writes fewer bytes in a second is slow, and so is one that takes longer for a call, in milliseconds. */
const [SLOW_BYTES_PER_SECOND, LONG_MS] = [50e6, 1000]

export function speedFindings(facts: SpeedFacts | undefined, error: Reason | undefined): Finding[] {
  if (error) return [failed(error)]
  return facts ? [cached(facts), ...device(facts)] : []
}

/** The directory was good when it was looked at. */
function failed(error: Reason): Finding {
  const message = `Paging out for a trial failed: ${error.message}`
  return { section, code: 'speed-failed', level: 'problem', message, advice: adviceAbout(error) }
}

function cached({ payloadBytes, out, back, copy }: SpeedFacts): Finding {
  const row = (name: string, transfer: TransferFacts) => {
    const ratio = Number((copy.bytesPerSecond / transfer.bytesPerSecond).toFixed(1))
    return `${name} ${speed(transfer.bytesPerSecond)} (${ratio} x the time of a copy), longest call ${milliseconds(transfer.longestMs)}`
  }
  return {
    section,
    code: 'speed',
    level: 'ok',
    message: `${out.calls} payloads of ${bytes(payloadBytes)} through the page cache:`,
    details: [row('out', out), row('back', back), `copy in memory ${speed(copy.bytesPerSecond)}`],
  }
}

function device({ deviceWrite, deviceRead }: SpeedFacts): Finding[] {
  if (deviceWrite === undefined || deviceWrite.calls === 0) return []
  const row = (name: string, { bytesPerSecond, longestMs }: TransferFacts) =>
    `${name} ${speed(bytesPerSecond)}, longest call ${milliseconds(longestMs)}`
  const details = [row('writes', deviceWrite), ...(deviceRead ? [row('reads', deviceRead)] : [])]
  const ok = {
    section,
    code: 'device-speed',
    level: 'ok',
    message: 'The device, past the page cache:',
    details,
  } as const
  const isSlow = deviceWrite.bytesPerSecond < SLOW_BYTES_PER_SECOND
  const isLong = Math.max(deviceWrite.longestMs, deviceRead?.longestMs ?? 0) > LONG_MS
  if (!isSlow && !isLong) return [ok]
  const advice =
    'Where payloads are more than the memory, calls wait for this device: name a directory on a faster one in PAGEOUT_SCRATCH_DIR, or run again when it is less busy.'
  return [{ ...ok, level: 'note', advice }]
}
