/** Warnings of the process about borrows that did not end as they should. */

import { lengthOf, type Payload } from '../model/payload.js'

/** Where a borrow was made: an object with a stack. */
export interface Place {
  readonly stack?: string
}

const TYPE = 'PageoutWarning'

/** A caller moved borrowed memory elsewhere. */
export function warnOfTransferred(payload: Payload, isKept: boolean): void {
  const fate = isKept ? 'The payload is as it is stored' : 'The payload is lost, and its handle is released'
  process.emitWarning(`Borrowed memory was transferred away: ${shown(payload)}. ${fate}`, {
    type: TYPE,
    code: 'PAGEOUT_BORROW_TRANSFERRED',
  })
}

/** A borrow was collected, and its array with it, before it was released. Later ones of its pager note where they are made. */
export function warnOfCollected(payload: Payload, place: Place | undefined): void {
  payload.owner.notesBorrowers = true
  const callers = place && callersOf(place)
  const hint = callers === undefined ? '. The pager notes from now on where borrows are made' : ''
  process.emitWarning(`A borrow was collected before it was released: ${shown(payload)}${hint}`, {
    type: TYPE,
    code: 'PAGEOUT_BORROW_COLLECTED',
    ...(callers !== undefined && { detail: `It was made here:\n${callers}` }),
  })
}

function shown(payload: Payload): string {
  return `${payload.chunkClass.name} of length ${lengthOf(payload)}`
}

/** Notes where `above` was called. */
export function placeAbove(above: (...args: never[]) => unknown): Place {
  const place = {}
  Error.captureStackTrace(place, above)
  return place
}

/** The lines of a stack that are not of this package. */
function callersOf({ stack }: Place): string {
  const lines = String(stack).split('\n').slice(1)
  const others = lines.filter(line => OWN_FILES === undefined || !line.includes(OWN_FILES))
  return (others.length > 0 ? others : lines).join('\n')
}

/** What the paths of this package's files begin with; nothing where they are in a bundle. */
const OWN_FILES = /^.*[\\/](?=borrows$)/.exec(typeof __dirname === 'string' ? __dirname : '')?.[0]
