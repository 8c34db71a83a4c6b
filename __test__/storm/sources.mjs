/** Collecting payloads from sources of every sort, which end well, badly or never. */

import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { setImmediate } from 'node:timers/promises'
import { Call, insist } from './calls.mjs'
import { checkCapacity, checkHandle } from './pageouts.mjs'
import { Entry } from './payloads.mjs'
import { bytesOf, contentOf, EMPTY_KIND, isSameFamily, KINDS, same, someRelative } from './pieces.mjs'

const MIB = 2 ** 20
/** Chunks that a source without an end gives before the call is aborted. */
const ENDLESS_CHUNKS = 12

/**
 * What sources can be, by the form of the call. `isAhead`: it asks for chunks before they are wanted. `isPrompt`: it is told at
 * once that nobody wants more, as `check` sees; what waits for a chunk cannot always tell.
 */
const FORMS = {
  sync: [
    { name: 'array', isList: true, of: source => source.list() },
    { name: 'generator', isPrompt: true, of: source => source.give() },
    { name: 'generator', isPrompt: true, of: source => source.give() },
  ],
  promise: [
    { name: 'array', isList: true, of: source => source.list() },
    { name: 'generator', isPrompt: true, of: source => source.give() },
    { name: 'async generator', of: source => source.giveSlowly() },
    { name: 'async generator', of: source => source.giveSlowly() },
    { name: 'iterator', of: source => source.iterator(), check: checkIterator },
    { name: 'Web stream', isAhead: true, of: source => ReadableStream.from(source.giveSlowly()), check: checkUnlocked },
    { name: 'Web stream', isAhead: true, of: source => source.webStream(), check: checkCancelled },
    { name: 'Node stream', isAhead: true, of: source => Readable.from(source.giveSlowly()), check: checkDestroyed },
  ],
}

function checkUnlocked(stream) {
  insist(!stream.locked, 'a Web stream is still locked')
}

function checkCancelled(stream, source, error) {
  checkUnlocked(stream)
  // One that has failed by itself, or was asked for all it has, cannot be cancelled.
  const isOver = source.isClosed || error === source.problem
  insist(!error || isOver || source.isCancelled, 'a Web stream was not cancelled')
}

function checkDestroyed(stream, _, error) {
  insist(!error || stream.destroyed, 'a Node stream was not destroyed')
}

function checkIterator(_, source, error) {
  const isOver = source.isClosed || error === source.problem
  insist(!error || isOver || source.isCancelled, 'an iterator was not told that nobody wants more')
}

/** A chunk in memory of its own, which stays as it is. */
class OwnChunk {
  constructor(piece) {
    this.piece = piece
    this.bytes = piece.content ?? (piece.bytes && Uint8Array.from(piece.bytes))
  }

  give() {
    return this.piece.chunk
  }

  /** The call has had it. */
  takeBack() {
    insist(this.piece.isIntact(), 'a chunk of a source was written to')
  }
}

/** A chunk in memory that all chunks of the source have. */
class LentChunk {
  constructor(kind, buffer, bytes) {
    this.chunk = kind.over(buffer, 0, bytes.length)
    this.bytes = bytes
  }

  give() {
    bytesOf(this.chunk).set(this.bytes)
    return this.chunk
  }

  takeBack() {
    insist(same(bytesOf(this.chunk), this.bytes), 'a chunk of a source was written to')
    bytesOf(this.chunk).fill(0xdd)
  }
}

/**
 * Chunks, and how they end: `done`, `throws`, `endless`, `stuck` or `aborts`. The call is aborted in the last three, by the source
 * itself where it is not stuck; behind an abort that comes last, the source ends, throws or stalls.
 */
class Source {
  isBegun = false
  isClosed = false
  /** Whether it was told that nobody wants more. */
  isCancelled = false
  problem = Object.assign(new Error('no more'), { code: 'SOURCE_FAILED' })

  constructor(chunks, { end, call, pauses }) {
    this.chunks = chunks
    this.end = end
    this.call = call
    this.pauses = pauses
  }

  list() {
    return this.chunks.map(chunk => chunk.give())
  }

  *give() {
    this.isBegun = true
    try {
      for (const chunk of this.chunks) {
        yield chunk.give()
        chunk.takeBack()
      }
      if (this.end === 'aborts') this.call.abort()
      if (this.end === 'throws' || (this.end === 'aborts' && this.pauses & 1)) throw this.problem
      if (this.end === 'endless') yield* this.#giveForEver()
    } finally {
      this.isClosed = true
    }
  }

  *#giveForEver() {
    const [chunk] = this.chunks
    for (let given = 0; ; given += 1) {
      if (given === ENDLESS_CHUNKS) this.call.abort()
      yield chunk.give()
    }
  }

  async *giveSlowly() {
    let pauses = this.pauses
    for (const chunk of this.give()) {
      if (pauses & 1) await setImmediate()
      pauses >>>= 1
      yield chunk
    }
    if (this.end === 'stuck') setImmediate().then(() => this.call.abort())
    if (this.end === 'stuck' || (this.end === 'aborts' && this.pauses & 2)) await new Promise(() => {})
  }

  /** What gives chunks one by one, and knows when it is told to stop, also while it stalls. */
  iterator() {
    const chunks = this.giveSlowly()
    return {
      next: () => chunks.next(),
      return: async () => {
        this.isCancelled = true
        return { done: true }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  webStream() {
    const chunks = this.giveSlowly()
    const pull = async controller => {
      const { done, value } = await chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    }
    const cancel = () => {
      this.isCancelled = true
    }
    return new ReadableStream({ pull, cancel })
  }
}

/** Chunks of one class, as a rule; some that all lie in the same memory, which now and then are long. */
function someChunks(random, scene, { isAhead, isList }) {
  const kind = random.pick(KINDS)
  if (!isAhead && !isList && random.oneIn(3)) return { kind, chunks: lentChunks(random, kind) }
  const pieces = Array.from({ length: random.below(7) }, () => scene.pieces.make(random, someRelative(random, kind)))
  if (pieces.length > 0 && random.oneIn(20)) random.pick(pieces).spoil(random)
  const place = 1 + random.below(6)
  if (random.oneIn(20) && place < pieces.length) pieces[place] = scene.pieces.make(random)
  return { kind: pieces[0]?.kind ?? kind, chunks: pieces.map(piece => new OwnChunk(piece)) }
}

function lentChunks(random, kind) {
  const isLong = random.oneIn(40)
  const elements = Math.floor((isLong ? random.pick([1.5, 3, 4, 5]) * MIB : 5000) / kind.elementBytes)
  const buffer = new ArrayBuffer((elements + random.below(100)) * kind.elementBytes)
  const longest = buffer.byteLength / kind.elementBytes
  return Array.from({ length: 1 + random.below(isLong ? 3 : 6) }, () => {
    // A bare ArrayBuffer is always all of itself.
    const isWhole = kind.name === 'ArrayBuffer' || random.oneIn(2)
    const length = isWhole ? longest : random.below(longest + 1)
    return new LentChunk(kind, buffer, contentOf(random.below(2 ** 32), length * kind.elementBytes))
  })
}

function someEnd(random, call, form, chunks) {
  const isEndless = call.canAbort && !form.isList && random.oneIn(6)
  if (isEndless && !form.isPrompt && random.oneIn(2)) return 'stuck'
  if (isEndless && random.oneIn(2)) return 'aborts'
  if (isEndless && chunks.length > 0) return 'endless'
  return !form.isList && random.oneIn(10) ? 'throws' : 'done'
}

/** What the source makes of a call. */
function judgeSource(call, kind, chunks, end) {
  const pieces = chunks.flatMap(({ piece }) => piece ?? [])
  if (pieces.some(piece => !isSameFamily(piece.kind, kind))) call.faults.add('ERR_INVALID_ARG_TYPE')
  if (chunks.some(({ bytes }) => bytes === undefined)) call.faults.add('ERR_INVALID_ARG_VALUE')
  if (pieces.some(({ isSpoiled }) => isSpoiled)) call.risk(() => ['ERR_INVALID_ARG_VALUE'])
  if (end === 'throws') call.faults.add('SOURCE_FAILED')
  if (end === 'endless' || end === 'stuck' || end === 'aborts') call.faults.add('ABORT_ERR')
  if (call.world.capacityBytes !== undefined) call.risk(() => ['ERR_PAGEOUT_CAPACITY'])
}

/**
 * Collects a payload.
 *
 * @param {(entry: Entry | undefined) => void} arrive gets the payload, or nothing if it did not go out
 */
export function collect(random, world, scene, backend, arrive) {
  const call = new Call(random, world)
  const form = random.pick(FORMS[call.isAsync ? 'promise' : 'sync'])
  const { kind, chunks } = someChunks(random, scene, form)
  const stored = chunks.length > 0 ? kind : EMPTY_KIND
  const end = someEnd(random, call, form, chunks)
  // What is refused at once leaves the source alone.
  const isRefused = call.faults.size > 0
  judgeSource(call, kind, chunks, end)
  const source = new Source(chunks, { end, call, pauses: random.below(2 ** 6) })
  const settled = ({ error, value }) => {
    if (error?.code === 'ERR_PAGEOUT_CAPACITY') checkCapacity(error, call)
    if (error?.code === 'SOURCE_FAILED') insist(error === source.problem, 'the error of a source is another')
    if (form.isPrompt) insist(source.isClosed || !source.isBegun, 'a source was not told that nobody wants more')
    form.check?.(given, source, isRefused ? undefined : error)
    if (!error) checkHandle(value, { world, kind: stored, pictures: chunks, backend })
    for (const { piece } of chunks) insist(!piece || piece.isIntact(), 'a chunk of a source was written to')
    arrive(error ? undefined : new Entry(world, value, stored, contentOfAll(chunks)))
  }
  const given = form.of(source)
  const done = call.start('pageoutFrom', [given, { backend, ...call.signalOptions }], settled)
  return { call, done }
}

function contentOfAll(chunks) {
  if (chunks.some(({ piece }) => piece?.isRacing)) return undefined
  return Buffer.concat(chunks.map(({ bytes }) => bytes))
}
