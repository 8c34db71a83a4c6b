/** What the machine does for payloads that are encrypted or compressed: pure. */

import type { EncryptionFacts, Facts, Finding } from './types.js'
import { bytes } from './words.js'

const section = 'sealing'

export function sealingFindings({ encryption, compression = [], memory, process }: Facts): Finding[] {
  return [
    ...(encryption ? [cipher(encryption), keys(encryption, memory?.swapBytes ?? 0, process?.lockedBytes?.soft)] : []),
    ...compression.map(codec),
  ]
}

function cipher({ cipher, aesInstructions }: EncryptionFacts): Finding {
  const ok = { section, code: 'cipher', level: 'ok' } as const
  if (aesInstructions !== undefined) {
    return {
      ...ok,
      message: `encryption: true seals with ${cipher}, by instructions of the processor (${aesInstructions})`,
    }
  }
  const message = `encryption: true seals with ${cipher}, and this processor has no instructions for AES`
  const advice =
    'The cipher is computed without them, and takes much longer. It matters only to pagers with that option: measure before you set it.'
  return { ...ok, level: 'note', message, advice }
}

function keys({ isOutOfCoreDumps, isOutOfSwap }: EncryptionFacts, swapBytes: number, lockedBytes?: number): Finding {
  const ok = { section, code: 'keys', level: 'ok' } as const
  const dumps = isOutOfCoreDumps
    ? 'are left out of core dumps'
    : 'are in core dumps, from which this system leaves out nothing'
  if (isOutOfSwap) return { ...ok, message: `Keys ${dumps}, and are locked in memory` }
  if (swapBytes === 0) return { ...ok, message: `Keys ${dumps}; there is no swap space that they could come to` }
  const limit = lockedBytes === undefined ? '' : `, of which the process may have ${bytes(lockedBytes)}`
  const message = `Keys ${dumps}, and may be swapped out: they cannot be locked in memory${limit}`
  const advice =
    'Raise the limit: ulimit -l, LimitMEMLOCK= of systemd, --ulimit memlock= of Docker; or encrypt the swap space. It matters only to pagers with encryption: true.'
  return { ...ok, level: 'note', message, advice }
}

function codec(name: string): Finding {
  return { section, code: 'codec', level: 'ok', message: `compression: '${name}' needs nothing of the machine` }
}
