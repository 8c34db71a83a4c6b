/** Putting pieces out, and what becomes of them. */

import { Call, insist } from './calls.mjs'
import { Entry } from './payloads.mjs'
import { bytesOf, classOf, EMPTY_KIND, isSameFamily, same } from './pieces.mjs'

/** What a piece is right before it goes out. */
function pictureOf(piece) {
  const { version, isSpoiled, content } = piece
  return { piece, version, isSpoiled, bytes: content ?? (piece.bytes && Uint8Array.from(piece.bytes)) }
}

/** The class that comes back: that of the first chunk. */
function kindOf(pictures) {
  return pictures.length > 0 ? pictures[0].piece.kind : EMPTY_KIND
}

/** What the pieces make of a call. */
function judgePieces(call, pictures, detach) {
  const kind = kindOf(pictures)
  const isLost = pictures.some(({ bytes }) => bytes === undefined)
  if (isLost) call.faults.add('ERR_INVALID_ARG_VALUE')
  else if (pictures.some(({ isSpoiled }) => isSpoiled)) call.risk(() => ['ERR_INVALID_ARG_VALUE'])
  if (pictures.some(({ piece }) => !isSameFamily(piece.kind, kind))) call.faults.add('ERR_INVALID_ARG_TYPE')
  if (detach !== 'required') return
  const notMovable = pictures.filter(({ piece, bytes }) => !piece.isMovable && bytes?.length > 0)
  if (notMovable.length > 0) call.faults.add('ERR_PAGEOUT_NOT_DETACHABLE')
  else if (pictures.some(({ isSpoiled }) => isSpoiled)) call.risk(() => ['ERR_PAGEOUT_NOT_DETACHABLE'])
}

/**
 * Puts pieces out.
 *
 * @param {{ verb: 'pageout' | 'pageoutWith', backend?: string, detach?: string }} request
 * @param {(entry: Entry | undefined) => void} arrive gets the payload, or nothing if it did not go out
 */
export function putOut(random, world, pieces, { verb, backend, detach: chosen }, arrive) {
  const detach = chosen ?? world.detach
  const call = new Call(random, world)
  const pictures = pieces.map(pictureOf)
  judgePieces(call, pictures, detach)
  if (world.capacityBytes !== undefined) call.risk(() => ['ERR_PAGEOUT_CAPACITY'])
  const chunks = pieces.length === 1 && random.oneIn(2) ? pieces[0].chunk : pieces.map(({ chunk }) => chunk)
  const options = { detach: chosen, ...(verb === 'pageout' ? { backend } : {}), ...call.signalOptions }
  const settled = ({ error, value }) => {
    if (error) checkFailure(error, call, pictures)
    else checkHandle(value, { world, kind: kindOf(pictures), pictures, backend })
    if (!error && !call.isAsync) leave(pictures, detach)
    arrive(error ? undefined : new Entry(world, value, kindOf(pictures), contentOf(pictures)))
  }
  const done = call.start(verb, verb === 'pageout' ? [chunks, options] : [backend, chunks, options], settled)
  if (call.isAsync && call.faults.size === 0)
    leave(
      pictures,
      detach,
      pictures.some(({ isSpoiled }) => isSpoiled),
    )
  return { call, done }
}

/**
 * The pieces are out, or are going out: those that can be moved are gone, the others are as they were.
 *
 * @param {boolean} isUnsure whether the call may have been refused, for one of them
 */
function leave(pictures, detach, isUnsure = false) {
  for (const picture of pictures) {
    const { piece, bytes, isSpoiled } = picture
    const isGone = piece.isMovable && detach !== 'never' && bytes?.length > 0
    if (!isGone) {
      insist(isSpoiled || piece.isIntact(), `a ${piece.memory.name} chunk that stays was changed by a pageout`)
      continue
    }
    insist(isUnsure || isSpoiled || !bytesOf(piece.chunk)?.length, `a ${piece.memory.name} chunk is still there`)
    picture.isGone = !isSpoiled
    piece.touch()
    piece.isSpoiled = true
  }
}

export function checkHandle(handle, { world, kind, pictures, backend }) {
  const byteLength = pictures.reduce((sum, { bytes }) => sum + bytes.length, 0)
  insist(handle.byteLength === byteLength, `a handle has ${handle.byteLength} bytes, not ${byteLength}`)
  insist(handle.type === kind.name, `a handle of ${kind.name} says that it is of ${handle.type}`)
  insist(handle.length === byteLength / kind.elementBytes, `a handle has ${handle.length} elements`)
  // What was pending when its pager was closed comes to an end, and to a handle of a closed pager.
  insist(handle.released === world.isClosed, `released of a new handle is ${handle.released}`)
  insist(backend === undefined || handle.backend === backend, `a payload is in ${handle.backend}, not in ${backend}`)
}

/** A failure that comes before any memory is taken. */
const REFUSAL = /^ERR_(INVALID_ARG_|PAGEOUT_(CLOSED|NOT_DETACHABLE))/

/** After a failure the error carries all chunks. */
function checkFailure(error, call, pictures) {
  if (error.code === 'ERR_PAGEOUT_CAPACITY') checkCapacity(error, call)
  insist(Array.isArray(error.chunks), `a pageout failed with ${error.code} and without its chunks`)
  insist(!Object.keys(error).includes('chunks'), 'the chunks of an error are enumerable')
  insist(error.chunks.length === pictures.length, 'other chunks were handed back')
  const isUntaken = !call.isAsync || call.faults.has(error.code) || REFUSAL.test(error.code)
  for (const [position, picture] of pictures.entries()) checkHandedBack(error.chunks[position], picture, isUntaken)
}

function checkHandedBack(chunk, { piece, version, bytes, isGone, isSpoiled }, isUntaken) {
  insist(classOf(chunk) === piece.kind.name, `a ${piece.kind.name} was handed back as ${classOf(chunk)}`)
  if (isUntaken) insist(chunk === piece.chunk, 'a pageout that took nothing handed back something else')
  // What stayed may have gone since; an array that was borrowed is empty a moment before the storm hears that its borrow is over.
  const isOver = piece.isBorrowed && !piece.bytes?.length
  const stayed = !isGone && !isSpoiled && !isOver && piece.version === version
  if (stayed) insist(chunk === piece.chunk, 'a chunk that stayed was not handed back itself')
  if (piece.isRacing) return
  // A chunk that stayed may have been written to or taken away since; what is new memory is what went in.
  if (chunk !== piece.chunk || isGone)
    insist(same(bytesOf(chunk) ?? [], bytes), 'a chunk was handed back with other bytes')
  else insist(piece.version !== version || piece.isIntact(), 'a chunk was changed by a pageout that failed')
}

export function checkCapacity({ requestedBytes, usedBytes, capacityBytes }, { world }) {
  insist(capacityBytes === world.capacityBytes, `the capacity is said to be ${capacityBytes}`)
  insist(requestedBytes + usedBytes > capacityBytes, `${requestedBytes} bytes beside ${usedBytes} are too many`)
}

/** What the payload has to contain; nobody knows when another thread wrote to it while it was read. */
function contentOf(pictures) {
  if (pictures.some(({ piece }) => piece.isRacing)) return undefined
  return Buffer.concat(pictures.map(({ bytes }) => bytes))
}
