/** What a call came to, as plain fields that travel between processes. */

import { PageoutError } from 'pageout'

export interface Outcome {
  /** The code of what was thrown; undefined when nothing was. */
  readonly code?: string
  readonly isPageoutError?: boolean
  readonly message?: string
  readonly errno?: number
  readonly syscall?: string
  readonly path?: string
  readonly causeCode?: string
  /** Paths of the directories that were tried. */
  readonly tried?: readonly string[]
}

export function outcomeOf(call: () => unknown): Outcome {
  try {
    call()
    return {}
  } catch (thrown) {
    if (!(thrown instanceof PageoutError)) return { message: String(thrown), isPageoutError: false }
    const { code, message, errno, syscall, path, cause, tried } = thrown
    const causeCode = (cause as PageoutError | undefined)?.code
    const fields = { code, message, errno, syscall, path, causeCode, tried: tried?.map(refused => refused.path) }
    const present = Object.entries(fields).filter(([, value]) => value !== undefined)
    return { isPageoutError: true, ...Object.fromEntries(present) }
  }
}
