/** One pager as a thread sees it: its options, its payloads, how it opens and closes. The verbs (verbs/) work on it. */

import type { PagerRef } from '../../index.d.ts'
import { native } from '../addon/load.js'
import { backendOf } from '../backends/choose.js'
import { freeMemory } from '../backends/swap.js'
import { backendName, detachName, directoryPath, isTrue, oneOf, optionsBag, wholeNumber } from '../chunks/arguments.js'
import { drainIfDue, useResidents } from '../memory/residents.js'
import { clearSpares, defaultSpareBytes, spareStats } from '../memory/results.js'
import { borrowed, closed, guarded, invalidArgValue, released } from '../model/errors.js'
import { adoptBy, type Handle, handleOf, payloadOf } from '../model/handle.js'
import {
  type Lending,
  markReleased,
  type Owner,
  type Payload,
  type PayloadShape,
  type SwapMemory,
} from '../model/payload.js'
import type { Backend, Chunk, Detach, PagerOptions, PagerStats } from '../model/types.js'
import { os, workers } from '../runtime/node.js'
import { residentBudget } from './memory-budget.js'
import { receive, send } from './transit.js'

const NUMBERS = [
  ['handles', 'payloadBytes', 'usedBytes', 'storedBytes', 'capacityBytes', 'scratchBytes'],
  ['dirtyBytes', 'dirtyBudgetBytes', 'pushedBytes', 'writeBackFailures', 'atRiskBytes'],
  ['pageouts', 'pageoutBytes', 'reads', 'readBytes', 'takes', 'takeBytes', 'swapBytes', 'swapFreeBytes'],
  ['residentBytes', 'borrowedBytes', 'residentLimitBytes', 'residentHits', 'residentMisses', 'evictions'],
  ['evictionsWithoutWrite', 'writesElided', 'backgroundWriteFailures', 'changedBorrows'],
].flat() as (keyof PagerStats)[]

/** Stands for the options of the process-wide pager. */
export const PROCESS_WIDE: PagerOptions = Object.freeze({})

/** The options of a pager that concern this thread. */
interface Settings {
  readonly detach: Detach
  readonly excludes: boolean
  readonly encrypts: boolean
  readonly hasBudget: boolean
  readonly spareBytes: number
}

export class PagerCore implements Owner {
  readonly ref: PagerRef
  readonly detach: Detach
  readonly excludes: boolean
  readonly hasBudget: boolean
  readonly spareBytes: number
  readonly swapped = new Map<number, SwapMemory>()
  readonly lendings = new Set<Lending>()
  notesBorrowers = false
  onLoanEnd: ((payload: Payload) => void) | undefined
  /** Whether it serves handles of all pagers. */
  readonly #isProcessWide: boolean
  /** Whether it encrypts what lies on the disk. */
  readonly #encrypts: boolean
  readonly #registry: FinalizationRegistry<number>
  /** The backend of pageouts that name none. That of the process-wide pager may be set by any thread, so the addon is asked. */
  #backend: Backend | undefined
  #isPrepared = false
  #isClosed = false
  #isFreed = false
  #pending = 0
  /** Called when nothing is pending. */
  #waiting: (() => void)[] = []

  private constructor(ref: PagerRef, settings: Settings, isProcessWide: boolean) {
    this.ref = ref
    this.detach = settings.detach
    this.excludes = settings.excludes
    this.hasBudget = settings.hasBudget
    this.spareBytes = settings.spareBytes
    this.#backend = isProcessWide ? undefined : usedBackend(ref)
    this.#isProcessWide = isProcessWide
    this.#encrypts = settings.encrypts
    // No unregister token: the generation in a ticket shows that it was freed before, and tokens make the collector slow.
    this.#registry = new FinalizationRegistry(ticket => this.#forget(ticket))
  }

  /** The process-wide pager for {@link PROCESS_WIDE}, else a new one. */
  static of(options: PagerOptions | undefined): PagerCore {
    return options === PROCESS_WIDE ? processWide : PagerCore.open(options)
  }

  static openProcessWide(): PagerCore {
    const none = { excludes: false, encrypts: false, hasBudget: false }
    return new PagerCore(native.openDefault(), { ...none, detach: 'auto', spareBytes: defaultSpareBytes() }, true)
  }

  static open(given: PagerOptions | undefined): PagerCore {
    const options = optionsBag(given)
    const { scratchDir, backend, capacityBytes, allowRamBacked, integrity, encryption, compression } = options
    const { excludeFromCoreDumps, spareBytes, detach, residentBytes } = options
    const excludes = excludeFromCoreDumps !== undefined && isTrue(excludeFromCoreDumps, 'options.excludeFromCoreDumps')
    const encrypts = encryption !== undefined && isTrue(encryption, 'options.encryption')
    const pager = [
      scratchDir === undefined ? undefined : directoryPath(scratchDir, 'options.scratchDir'),
      capacityBytes === undefined
        ? undefined
        : wholeNumber(capacityBytes, 'options.capacityBytes', 1, Number.MAX_SAFE_INTEGER),
      backend !== undefined && backendName(backend, 'options.backend') === 'swap',
      allowRamBacked !== undefined && isTrue(allowRamBacked, 'options.allowRamBacked'),
      integrity === undefined || oneOf(integrity, 'options.integrity', ['checksum', 'none']) === 'checksum',
      encrypts,
      compression !== undefined && oneOf(compression, 'options.compression', ['none', 'lz4']) === 'lz4',
      excludes,
    ] as const
    const budget = residentBudget(residentBytes)
    const settings: Settings = {
      hasBudget: budget !== undefined,
      detach: detach === undefined ? 'auto' : detachName(detach, 'options.detach'),
      excludes,
      encrypts,
      // No memory of an excluded payload is kept.
      spareBytes:
        spareBytes === undefined
          ? Number(!excludes) * defaultSpareBytes()
          : wholeNumber(spareBytes, 'options.spareBytes', 0, Number.MAX_SAFE_INTEGER),
    }
    const ref = guarded(() => native.open(...pager, workerEnvironment(), budget))
    if (budget) useResidents(ref)
    return new PagerCore(ref, settings, false)
  }

  /** The backend of pageouts that name none. */
  get backend(): Backend {
    this.refuseClosed()
    return this.#backend ?? usedBackend(this.ref)
  }

  set backend(backend: Backend) {
    this.refuseClosed()
    native.useSwap(this.ref, backendName(backend, 'backend') === 'swap')
    if (this.#backend) this.#backend = usedBackend(this.ref)
  }

  stats(): PagerStats {
    this.refuseClosed()
    drainIfDue()
    const numbers = new Float64Array(NUMBERS.length)
    native.stats(this.ref, numbers)
    const [scratchDir, fileSystem] = native.scratchPlace(this.ref) ?? [null, null]
    const counts = Object.fromEntries(NUMBERS.map((name, position) => [name, numbers[position] ?? 0]))
    return { ...counts, movingHandles: native.inTransit(), ...spareStats(), scratchDir, fileSystem } as PagerStats
  }

  trim(): void {
    this.refuseClosed()
    clearSpares()
    guarded(() => native.trim(this.ref))
  }

  /** To be called before a pageout: the process-wide pager searches its scratch directory where its first user does. */
  prepare(): void {
    const environment = this.#isProcessWide && !this.#isPrepared ? workerEnvironment() : undefined
    this.#isPrepared = true
    if (environment) native.useEnvironment(this.ref, environment)
  }

  /** The handle of a payload that is out. */
  handle<C extends Chunk>(
    { chunkClass, byteLength }: PayloadShape,
    backend: Backend,
    ticket: number,
    isEncrypted = this.#encrypts && backend === 'file',
  ): Handle<C> {
    const payload: Payload = {
      owner: this,
      chunkClass,
      byteLength,
      backend,
      isEncrypted,
      ticket,
      isBeingTaken: false,
      isReleaseDue: false,
      lending: undefined,
      lentKey: undefined,
    }
    const handle = handleOf<C>(payload)
    this.#registry.register(handle, ticket)
    return handle
  }

  /** The payload of a handle that may be used with this pager now. */
  payload(handle: unknown): Payload {
    this.refuseClosed()
    drainIfDue()
    const payload = payloadOf(handle)
    if (payload.owner !== this && !this.#isProcessWide) {
      throw invalidArgValue('handle', 'must belong to this pager', handle)
    }
    payload.owner.refuseUnusable(payload)
    return payload
  }

  release(payload: Payload): void {
    refuseBorrowed(payload)
    // A take that is pending frees it in any case.
    if (payload.isBeingTaken) payload.isReleaseDue = true
    else {
      backendOf(payload).release(this, payload.ticket)
      markReleased(payload)
    }
  }

  /** Frees the payload of a handle that was collected. */
  #forget(ticket: number): void {
    backendOf({ backend: this.swapped.has(ticket) ? 'swap' : 'file' }).release(this, ticket)
  }

  move(payload: Payload): string {
    this.refuseUnusable(payload)
    refuseBorrowed(payload)
    return send(payload)
  }

  isAtRisk(payload: Payload): boolean {
    return native.isAtRisk(this.ref, payload.ticket)
  }

  began(): void {
    this.#pending++
  }

  ended(): void {
    this.#pending--
    if (this.#pending === 0 && this.#waiting.length > 0) for (const tell of this.#waiting.splice(0)) tell()
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Frees all payloads and closes all descriptors. Closing again does nothing. */
  close(): void {
    this.#isClosed = true
    this.#endBorrows()
    this.#isFreed = true
    for (const memory of this.#takeSwapped()) freeMemory(memory, 0)
    native.close(this.ref)
    drainIfDue()
  }

  /**
   * The same, once nothing is pending, with the work off the JavaScript thread. Later verbs are refused, and borrows end, at once.
   */
  async closeLater(): Promise<void> {
    this.#isClosed = true
    this.#endBorrows()
    if (this.#pending > 0) await new Promise<void>(resolve => this.#waiting.push(resolve))
    this.#isFreed = true
    await freeInTurns(this.#takeSwapped())
    await native.closeAsync(this.ref)
    drainIfDue()
  }

  #endBorrows(): void {
    for (const lending of [...this.lendings]) lending.end()
  }

  #takeSwapped(): SwapMemory[] {
    const all = [...this.swapped.values()]
    this.swapped.clear()
    return all
  }

  /** Also checked again where subscribers of a tracing channel ran since, which may have done anything. */
  refuseUnusable(payload: Payload): void {
    this.refuseClosed()
    if (payload.ticket < 0 || payload.isBeingTaken) throw released()
  }

  /** What began before the pager was closed may go on until its payloads are freed. */
  refuseFreed(): void {
    if (this.#isFreed) throw closed()
  }

  refuseClosed(): void {
    if (this.#isClosed) throw closed()
  }
}

function usedBackend(ref: PagerRef): Backend {
  return native.usesSwap(ref) ? 'swap' : 'file'
}

/** Throws where the payload of a handle is borrowed, which is to be taken, released or moved. */
export function refuseBorrowed(payload: Payload): void {
  payload.lending?.retry()
  if (payload.lending) throw borrowed()
}

/** Bytes of memory that is freed in one turn of the event loop; to unmap as much takes about a millisecond. */
const FREED_PER_TURN_BYTES = 4 * 2 ** 20

/** Frees memory, which only its own thread can do, and lets other work run between. */
async function freeInTurns(all: readonly SwapMemory[]): Promise<void> {
  let bytes = 0
  for (const memory of all) {
    bytes += memory.ends.at(-1) ?? 0
    freeMemory(memory, 0)
    if (bytes < FREED_PER_TURN_BYTES) continue
    bytes = 0
    await new Promise<void>(resolve => setImmediate(resolve))
  }
}

/**
 * The values of a worker's own `env`, which the addon cannot see. Nothing on the main thread, where the addon reads the
 * environment itself, when it needs it.
 */
function workerEnvironment(): string[] | undefined {
  if (workers.isMainThread) return undefined
  const { PAGEOUT_SCRATCH_DIR = '', PAGEOUT_CAPACITY_BYTES = '' } = process.env
  return [PAGEOUT_SCRATCH_DIR, os.tmpdir(), PAGEOUT_CAPACITY_BYTES]
}

const processWide = PagerCore.openProcessWide()
adoptBy(token => receive(processWide, token))

/** Makes `directory` the scratch directory of the process-wide pager. */
export function setProcessScratchDir(directory: unknown): void {
  const path = directoryPath(directory, 'dir')
  guarded(() => native.setScratchDir(path))
}
