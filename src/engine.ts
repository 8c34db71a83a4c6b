/**
 * One pager as this thread sees it: what it owns, and the steps that the verbs share, whether they are synchronous
 * (sync.ts) or not (async.ts).
 */

import { randomUUID } from 'node:crypto'
import type { PagerRef } from '../index.d.ts'
import { native } from './addon.js'
import {
  backendName,
  directoryPath,
  isTrue,
  manyRanges,
  oneOf,
  optionsBag,
  type Request,
  singleRange,
  wholeNumber,
} from './arguments.js'
import { type Kind, kindNamed } from './chunk.js'
import { closed, guarded, invalidArgType, invalidArgValue, outOfMemory, released, unknownToken } from './errors.js'
import { type Handle, handleOf, lengthOf, markReleased, type Payload, payloadOf } from './handle.js'
import { type Landing, landingIn } from './landing.js'
import { defaultSpareBytes, fresh, Spares } from './memory.js'
import {
  inspectChunks,
  type Made,
  type Outgoing,
  privateCopies,
  refuseChanged,
  refuseNotDetachable,
} from './outgoing.js'
import { SmallJobs } from './small-jobs.js'
import type { Backend, Chunk, CollectOptions, PageoutOptions, PagerOptions, PagerStats, Range } from './types.js'

const NUMBERS = [
  ['handles', 'payloadBytes', 'usedBytes', 'capacityBytes', 'scratchBytes'],
  ['dirtyBytes', 'dirtyBudgetBytes', 'pushedBytes', 'writeBackFailures', 'atRiskBytes'],
  ['pageouts', 'pageoutBytes', 'reads', 'readBytes', 'takes', 'takeBytes', 'swapBytes', 'swapFreeBytes'],
].flat() as (keyof PagerStats)[]

/** What a token looks like. */
const TOKEN = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/

/** Checked ranges of a payload that may be used. */
export interface Requested {
  readonly payload: Payload
  readonly request: Request
}

export class Engine {
  /** The pager in the addon, and the payloads of this thread. */
  readonly ref: PagerRef
  /** Memory for results. */
  readonly spares: Spares
  /** Calls that ride together. */
  readonly smallReads: ReturnType<typeof SmallJobs.reads>
  readonly smallPageouts: ReturnType<typeof SmallJobs.pageouts>
  readonly #registry: FinalizationRegistry<number>
  /** Whether the memory of payloads of the swap backend is kept out of core dumps. */
  readonly #excludes: boolean
  /** The memory of payloads of the swap backend, which nobody else knows. It goes with its payload, or when we close. */
  #kept = new WeakMap<Payload, readonly ArrayBuffer[]>()
  #isClosed = false
  #isFreed = false
  #pending = 0
  /** Whoever waits until nothing is pending. */
  #waiting: (() => void)[] = []

  private constructor(ref: PagerRef, spareBytes: number, excludes: boolean) {
    this.ref = ref
    this.#excludes = excludes
    this.spares = new Spares(spareBytes)
    this.smallReads = SmallJobs.reads(ref)
    this.smallPageouts = SmallJobs.pageouts(ref)
    // No unregister token: a ticket says by its generation that it was freed before, and tokens make the collector slow.
    this.#registry = new FinalizationRegistry(ticket => native.free(ref, ticket))
  }

  /** The process-wide pager. */
  static shared(): Engine {
    return new Engine(native.openDefault(), defaultSpareBytes(), false)
  }

  /** A pager of its own. */
  static open(given: PagerOptions | undefined): Engine {
    const options = optionsBag(given)
    const { scratchDir, backend, capacityBytes, allowRamBacked, integrity, excludeFromCoreDumps, spareBytes } = options
    const excludes = excludeFromCoreDumps !== undefined && isTrue(excludeFromCoreDumps, 'options.excludeFromCoreDumps')
    const pager = [
      scratchDir === undefined ? undefined : directoryPath(scratchDir, 'options.scratchDir'),
      capacityBytes === undefined
        ? undefined
        : wholeNumber(capacityBytes, 'options.capacityBytes', 1, Number.MAX_SAFE_INTEGER),
      backend !== undefined && backendName(backend, 'options.backend') === 'swap',
      allowRamBacked !== undefined && isTrue(allowRamBacked, 'options.allowRamBacked'),
      integrity === undefined || oneOf(integrity, 'options.integrity', ['checksum', 'none']) === 'checksum',
      excludes,
    ] as const
    // None of what an excluded payload had is kept.
    const defaultBytes = excludes ? 0 : defaultSpareBytes()
    const spares =
      spareBytes === undefined
        ? defaultBytes
        : wholeNumber(spareBytes, 'options.spareBytes', 0, Number.MAX_SAFE_INTEGER)
    return new Engine(
      guarded(() => native.open(...pager)),
      spares,
      excludes,
    )
  }

  /** The backend of pageouts that name none. */
  get backend(): Backend {
    this.refuseClosed()
    return native.usesSwap(this.ref) ? 'swap' : 'file'
  }

  set backend(backend: Backend) {
    this.refuseClosed()
    native.useSwap(this.ref, backendName(backend, 'backend') === 'swap')
  }

  prefetch(handle: Handle<Chunk>, ranges: readonly Range[] | undefined): void {
    const whole = this.payload(handle)
    const { payload, request } =
      ranges === undefined ? this.range(handle, 0, lengthOf(whole)) : this.ranges(handle, ranges)
    const kept = this.keptOf(payload)
    for (const buffer of kept ?? []) native.hintSoon(new Uint8Array(buffer))
    if (!kept) guarded(() => native.prefetch(this.ref, payload.ticket, request.bytes))
  }

  stats(): PagerStats {
    this.refuseClosed()
    const numbers = new Float64Array(NUMBERS.length)
    native.stats(this.ref, numbers)
    const [scratchDir, fileSystem] = native.scratchPlace(this.ref) ?? [null, null]
    const counts = Object.fromEntries(NUMBERS.map((name, position) => [name, numbers[position] ?? 0]))
    return {
      ...counts,
      movingHandles: native.inTransit(),
      spareBytes: this.spares.bytes,
      spareHits: this.spares.hits,
      scratchDir,
      fileSystem,
    } as PagerStats
  }

  trim(): void {
    this.refuseClosed()
    this.spares.clear()
    guarded(() => native.trim(this.ref))
  }

  /** Later verbs are refused; what is pending goes on. */
  beginClose(): void {
    this.#isClosed = true
  }

  /** Does what is not done when it returns. */
  async pending<T>(work: () => Promise<T>): Promise<T> {
    this.#pending++
    try {
      return await work()
    } finally {
      this.#pending--
      if (this.#pending === 0) for (const tell of this.#waiting.splice(0)) tell()
    }
  }

  /** Settles when nothing is pending any more. For a pager that is closing, so that nothing begins anew. */
  async idle(): Promise<void> {
    if (this.#pending === 0) return
    await new Promise<void>(resolve => {
      this.#waiting.push(resolve)
    })
  }

  /** Frees all payloads and closes all descriptors. More than once is the same as once. */
  close(): void {
    this.beginClose()
    this.#isFreed = true
    this.spares.clear()
    this.#kept = new WeakMap()
    native.close(this.ref)
  }

  /** Whether the device has lost something of a file that the payload lies in. */
  isAtRisk(payload: Payload): boolean {
    return native.isAtRisk(this.ref, payload.ticket)
  }

  /** Frees a payload's place. */
  free(payload: Payload): void {
    native.free(this.ref, payload.ticket)
    this.#forgetKept(payload)
    markReleased(payload)
  }

  /** Ends a take whose result is there: counts it, and frees the payload's place. `result` is kept memory that becomes it. */
  finishTake(payload: Payload, result?: ArrayBuffer): void {
    native.finishTake(this.ref, payload.ticket)
    if (result && this.#excludes) native.includeInCoreDumps(new Uint8Array(result))
    this.#forgetKept(payload, result)
    markReleased(payload)
  }

  /** Lets the memory of a payload of the swap backend go, but for `result`. */
  #forgetKept(payload: Payload, result?: ArrayBuffer): void {
    const forgotten = this.#excludes ? (this.#kept.get(payload) ?? []).filter(buffer => buffer !== result) : []
    for (const buffer of forgotten) native.discardExcluded(new Uint8Array(buffer))
    this.#kept.delete(payload)
  }

  /** Keeps memory out of core dumps where the options say so. */
  exclude(bytes: Uint8Array): void {
    if (this.#excludes) guarded(() => native.excludeFromCoreDumps(bytes))
  }

  /** Sends a payload away; the token stands for it. */
  send(payload: Payload): string {
    this.refuseUnusable(payload)
    const token = randomUUID()
    const kept = this.#kept.get(payload) ?? []
    const views = kept.map(buffer => new Uint8Array(buffer))
    const isSent = guarded(() => native.send(this.ref, payload.ticket, token, payload.kind.name, views, this.#excludes))
    if (!isSent) throw outOfMemory(payload.byteLength)
    for (const buffer of kept) this.spares.giveBack(buffer)
    this.#kept.delete(payload)
    markReleased(payload)
    return token
  }

  /** Takes in the payload that a token stands for. */
  receive(token: unknown): Handle<Chunk> {
    if (typeof token !== 'string') throw invalidArgType('token', 'a token that move() gave', token)
    if (!TOKEN.test(token)) throw invalidArgValue('token', 'must be a token that move() gave', token)
    const [kindName, byteLength, isKept, isExcluded] = native.lookUp(token) ?? []
    const kind = kindName === undefined ? undefined : kindNamed(kindName)
    if (!kind || byteLength === undefined) throw unknownToken()
    const buffer = fresh(isKept ? byteLength : 0)
    if (isExcluded) guarded(() => native.excludeFromCoreDumps(new Uint8Array(buffer)))
    // Another thread may have been faster.
    const ticket = guarded(() => native.receive(this.ref, token, new Uint8Array(buffer)))
    if (ticket < 0) throw unknownToken()
    if (isKept) native.hintCold(new Uint8Array(buffer))
    return this.handle({ kind, byteLength }, ticket, isKept ? [buffer].filter(isFilled) : undefined)
  }

  /** The checked backend of a payload that is about to be collected. */
  collecting(given: CollectOptions | undefined): Backend {
    this.refuseClosed()
    const backend = this.#backendOf(optionsBag(given).backend)
    // The caller's code, if any ran, is done.
    this.refuseClosed()
    return backend
  }

  /** Checks what is about to go out; `named` holds the backend of verbs that name it themselves. */
  outgoing(chunks: unknown, given: PageoutOptions | undefined, named?: { backend: unknown }): Outgoing {
    this.refuseClosed()
    // Options first and chunks last: reading options may run code of the caller, which may change the chunks.
    const options = optionsBag(given)
    const detachOption = options.detach
    const detach =
      detachOption === undefined ? 'auto' : oneOf(detachOption, 'options.detach', ['auto', 'never', 'required'])
    const backend = named ? backendName(named.backend, 'backend') : this.#backendOf(options.backend)
    const inspected = inspectChunks(chunks)
    // The caller's code, if any ran, is done.
    this.refuseClosed()
    if (detach === 'required') inspected.parts.forEach(refuseNotDetachable)
    return { ...inspected, backend, detach }
  }

  #backendOf(option: Backend | undefined): Backend {
    return option === undefined ? this.backend : backendName(option, 'options.backend')
  }

  /** Moves chunks into a handle of the swap backend; those that cannot be moved are copied. */
  keep<C extends Chunk>(outgoing: Outgoing): Handle<C> {
    return this.keepBuffers(outgoing, () => privateCopies(outgoing, bytes => this.exclude(bytes)))
  }

  /** Makes a handle of the swap backend from memory that nobody else knows, which `takeBuffers` gives. */
  keepBuffers<C extends Chunk>(made: Made, takeBuffers: () => readonly ArrayBuffer[]): Handle<C> {
    // What can fail comes before chunks are moved.
    const ticket = guarded(() => native.keep(this.ref, made.byteLength))
    try {
      const kept = takeBuffers().filter(isFilled)
      for (const buffer of kept) native.hintCold(new Uint8Array(buffer))
      return this.handle(made, ticket, kept)
    } catch (error) {
      native.free(this.ref, ticket)
      throw error
    }
  }

  /** The handle of a payload that is out; `kept` is its memory in the swap backend. */
  handle<C extends Chunk>({ kind, byteLength }: Made, ticket: number, kept?: readonly ArrayBuffer[]): Handle<C> {
    const backend = kept ? 'swap' : 'file'
    const payload: Payload = { owner: this, kind, byteLength, backend, ticket, isBeingTaken: false }
    const handle = handleOf<C>(payload)
    if (kept) this.#kept.set(payload, kept)
    this.#registry.register(handle, ticket)
    return handle
  }

  /** The memory of a payload of the swap backend. */
  keptOf(payload: Payload): readonly ArrayBuffer[] | undefined {
    return this.#kept.get(payload)
  }

  /** A checked range of a handle's payload. */
  range(handle: unknown, offset: unknown, length: unknown): Requested {
    const payload = this.payload(handle)
    return { payload, request: singleRange(offset, length, payload.kind, lengthOf(payload)) }
  }

  /** Checked ranges of a handle's payload. */
  ranges(handle: unknown, ranges: unknown): Requested {
    const { kind, byteLength } = this.payload(handle)
    const request = manyRanges(ranges, kind, byteLength / kind.elementBytes)
    // Reading the ranges may have run code of the caller, which may have done anything with the handle.
    return { payload: this.payload(handle), request }
  }

  /** Where a result of `byteLength` bytes goes: the caller's target, or memory of ours. */
  landing<C extends Chunk>(kind: Kind, byteLength: number, target: C | undefined): Landing<C> {
    if (target !== undefined) return landingIn(kind, byteLength, target)
    const buffer = this.spares.take(byteLength) ?? fresh(byteLength)
    return { bytes: new Uint8Array(buffer), result: () => kind.over(buffer, 0, byteLength) as C }
  }

  /** The inside of a handle that may be used with this pager now. */
  payload(handle: unknown): Payload {
    this.refuseClosed()
    const payload = payloadOf(handle)
    if (payload.owner !== this) throw invalidArgValue('handle', 'must belong to this pager', handle)
    this.refuseUnusable(payload)
    return payload
  }

  /** What was checked is checked once more where subscribers of a tracing channel ran since, and may have done anything. */
  refuseUnusable(payload: Payload): void {
    this.refuseClosed()
    if (payload.ticket < 0 || payload.isBeingTaken) throw released()
  }

  /** As {@link refuseUnusable}, for chunks that are about to go out. */
  refuseChanged(outgoing: Outgoing): void {
    this.refuseClosed()
    refuseChanged(outgoing)
  }

  /** What began before the pager was closed may go on until its payloads are freed. */
  refuseFreed(): void {
    if (this.#isFreed) throw closed()
  }

  /** Every verb of a closed pager throws. */
  refuseClosed(): void {
    if (this.#isClosed) throw closed()
  }
}

/** Makes `directory` the scratch directory of the process-wide pager. */
export function setSharedScratchDir(directory: unknown): void {
  const path = directoryPath(directory, 'dir')
  guarded(() => native.setScratchDir(path))
}

function isFilled(buffer: ArrayBuffer): boolean {
  return buffer.byteLength > 0
}
