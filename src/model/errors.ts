/** Where errors are made: the package's own class, and Node's coded TypeError and RangeError for wrong arguments. */

import { util } from '../runtime/node.js'
import { abortReason } from '../runtime/signal.js'
import type { Chunk } from './types.js'

/** How the message of an error ends whose cause lies outside of the program. */
export const DOCTOR = '. To find out more, run `npx pageout doctor`'

/** A directory that could not serve as scratch directory, and why. */
export interface RefusedDir {
  /** The directory. */
  readonly path: string
  /** Why it was refused. */
  readonly error: PageoutError
}

/** How the addon describes a failure: plain fields, see crates/pageout-node/src/error.rs. */
interface NativeFailure {
  code: string
  message: string
  errno?: number
  syscall?: string
  path?: string
  requestedBytes?: number
  usedBytes?: number
  capacityBytes?: number
  borrowedBytes?: number
  residentBytes?: number
  payloads?: number
  byteOffset?: number
  fileSystem?: string
  owner?: number
  mode?: number
  tried?: { path: string; reason: NativeFailure }[]
}

/** Errors that were made here: only to these are fields added. */
const ours = new WeakSet<object>()

/**
 * A failure of the OS or of the scratch space, or a handle or pager that is no longer usable. `code` names it: a code of the
 * operating system such as `ENOSPC`, or one of the `ERR_PAGEOUT_` codes. The other fields are present where they apply.
 */
export class PageoutError extends Error {
  /** The stable code. */
  readonly code: string
  /** The negative error number, as in `fs`. */
  declare readonly errno?: number
  /** The system call that failed. */
  declare readonly syscall?: string
  /** The scratch directory. */
  declare readonly path?: string
  /** Bytes of scratch space, or of the memory budget, that the call needs. */
  declare readonly requestedBytes?: number
  /** Bytes of scratch space in use. */
  declare readonly usedBytes?: number
  /** Most bytes of scratch space that may be in use. */
  declare readonly capacityBytes?: number
  /** Of ERR_PAGEOUT_BUDGET: bytes of the memory budget that are borrowed. */
  declare readonly borrowedBytes?: number
  /** Of ERR_PAGEOUT_BUDGET: bytes of payloads that are in memory. */
  declare readonly residentBytes?: number
  /** Of ERR_PAGEOUT_BUDGET: the limit of the memory budget. */
  declare readonly limitBytes?: number
  /** Of ERR_PAGEOUT_CAPACITY: payloads that are out. */
  declare readonly payloads?: number
  /** Where in the payload the first wrong page begins. */
  declare readonly byteOffset?: number
  /** The file system of a scratch directory that was refused. */
  declare readonly fileSystem?: string
  /** User number of whom a directory belongs to that was refused because of its owner or mode, or what is created in it. */
  declare readonly owner?: number
  /** Permission bits of the same. */
  declare readonly mode?: number
  /** Every directory that was refused, in the order in which they were tried. */
  declare readonly tried?: readonly RefusedDir[]
  /** Of ERR_PAGEOUT_ADDON: what this process runs on, such as `linux-x64-musl`. */
  declare readonly platform?: string
  /** Of ERR_PAGEOUT_ADDON: the package that has the addon for it, if there is one. */
  declare readonly packageName?: string
  /**
   * Of a failed pageout: all its chunks, whole. The caller's own objects where those were not taken, else the same classes with
   * the same content. Not enumerable.
   */
  declare readonly chunks?: readonly Chunk[]

  /** Made by the package; the fields of `details` are taken over. */
  constructor(code: string, message: string, details: object = {}, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    Object.assign(this, details)
    ours.add(this)
  }
}
Object.defineProperty(PageoutError.prototype, 'name', { value: 'PageoutError', configurable: true, writable: true })

/** What a `try` form returns. */
export type Result<V> = { ok: true; value: V } | { ok: false; error: PageoutError }

/** What the addon threw, as the error that the caller sees. What this package has made itself stays as it is. */
export function fromNative(thrown: unknown): unknown {
  return typeof thrown === 'object' && thrown !== null && ours.has(thrown) ? thrown : translated(thrown)
}

function translated(thrown: unknown): PageoutError {
  const failure = thrown as NativeFailure | undefined
  if (thrown instanceof Error || typeof failure?.code !== 'string') {
    return new PageoutError(
      'ERR_PAGEOUT_INTERNAL',
      `Internal error in pageout (please report): ${util.inspect(thrown)}`,
    )
  }
  const { code, message, tried, ...details } = failure
  if (tried === undefined) return new PageoutError(code, message, details)
  const refused = tried.map(({ path, reason }) => ({ path, error: translated(reason) }))
  const [only] = refused.length === 1 ? refused : []
  const { errno, syscall } = only?.error ?? {}
  const place = only && { path: only.path, ...(errno !== undefined && { errno, syscall }) }
  const all = { ...details, ...place, tried: refused }
  return new PageoutError(code, `${message}${DOCTOR}`, all, { cause: refused.at(-1)?.error })
}

/** Calls the addon; what it throws becomes an error of this package. */
export function guarded<T>(call: () => T): T {
  try {
    return call()
  } catch (thrown) {
    throw fromNative(thrown)
  }
}

/** Waits for the addon; what it rejects with becomes an error of this package, with the stack of who waits. */
export async function fromAddon<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (thrown) {
    throw fromNative(thrown)
  }
}

/** Codes of errors that the try forms throw: the caller's own errors, and a defect of this package. */
const THROWN = ['ERR_PAGEOUT_RELEASED', 'ERR_PAGEOUT_BORROWED', 'ERR_PAGEOUT_CLOSED', 'ERR_PAGEOUT_INTERNAL']

/** Whether the system failed, so that a `try` form returns the error. */
export function isSystemFailure(error: unknown): error is PageoutError {
  return error instanceof PageoutError && !THROWN.includes(error.code)
}

/** Adds to an error of this package the chunks of the pageout that failed; what the caller's own code threw stays as it is. */
export function withChunks(error: unknown, chunks: readonly unknown[]): unknown {
  const isOurs = typeof error === 'object' && error !== null && ours.has(error) && !Object.hasOwn(error, 'chunks')
  if (isOurs) Object.defineProperty(error, 'chunks', { value: chunks, configurable: true, writable: true })
  return error
}

/** The handle was taken or released, or is being taken. */
export function released(): PageoutError {
  return new PageoutError('ERR_PAGEOUT_RELEASED', 'The handle was taken, released or moved, or is being taken')
}

/** The payload of a handle is borrowed. */
export function borrowed(): PageoutError {
  const message = 'The payload is borrowed: release its borrows before it is taken, released or moved'
  return new PageoutError('ERR_PAGEOUT_BORROWED', message)
}

/** A borrow is over. */
export function borrowReleased(): PageoutError {
  return new PageoutError('ERR_PAGEOUT_RELEASED', 'The borrow was released, or its pager closed')
}

/** The token of a handle stands for nothing. */
export function unknownToken(): PageoutError {
  const message = 'The token stands for no payload: it was adopted before, or is of another process'
  return new PageoutError('ERR_PAGEOUT_RELEASED', message)
}

/** The pager is closed. */
export function closed(): PageoutError {
  return new PageoutError('ERR_PAGEOUT_CLOSED', 'The pager is closed')
}

/** What a verb rejects with when its signal is aborted, in the form that Node's own modules use. */
export function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: abortReason(signal) })
  ours.add(error)
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' })
}

/** Memory for a result cannot be allocated. */
export function outOfMemory(byteLength: number, cause?: unknown): PageoutError {
  const options = cause === undefined ? undefined : { cause }
  return new PageoutError('ENOMEM', `ENOMEM: cannot allocate ${byteLength} bytes`, {}, options)
}

/** A result is longer than any array of the runtime. */
export function longerThanArrays(byteLength: number, limitBytes: number): PageoutError {
  const message = `ENOMEM: cannot allocate ${byteLength} bytes: an array has at most ${limitBytes} bytes here. Read ranges, or a stream`
  return new PageoutError('ENOMEM', message)
}

function coded<E extends Error>(error: E, code: string): E {
  ours.add(error)
  return Object.assign(error, { code })
}

/** An argument of the wrong type: `expected` completes "must be". */
export function invalidArgType(name: string, expected: string, received: unknown): TypeError {
  const message = `The ${nameOf(name)} must be ${expected}. Received ${withType(received)}`
  return coded(new TypeError(message), 'ERR_INVALID_ARG_TYPE')
}

/** An argument of the right type with a value it cannot have. */
export function invalidArgValue(name: string, problem: string, received: unknown): TypeError {
  const message = `The ${nameOf(name)} ${problem}. Received ${shown(received)}`
  return coded(new TypeError(message), 'ERR_INVALID_ARG_VALUE')
}

/** What a callback must not return. */
export function invalidReturnValue(callback: string, problem: string, returned: unknown): TypeError {
  const message = `The result of the "${callback}" function ${problem}. Received ${shown(returned)}`
  return coded(new TypeError(message), 'ERR_INVALID_RETURN_VALUE')
}

/** A number outside its range: `expected` completes "It must be". */
export function outOfRange(name: string, expected: string, received: unknown): RangeError {
  const message = `The value of "${name}" is out of range. It must be ${expected}. Received ${shown(received)}`
  return coded(new RangeError(message), 'ERR_OUT_OF_RANGE')
}

/** Two ranges of one call share elements. */
export function overlap(first: readonly number[], second: readonly number[]): RangeError {
  const message = `The ranges [${first.join(', ')}] and [${second.join(', ')}] overlap`
  return coded(new RangeError(message), 'ERR_PAGEOUT_OVERLAP')
}

/** A chunk whose memory has to be given back, and cannot be. */
export function notDetachable(name: string, why: string): TypeError {
  const message = `The ${nameOf(name)} cannot be detached: ${why}`
  return coded(new TypeError(message), 'ERR_PAGEOUT_NOT_DETACHABLE')
}

function nameOf(name: string): string {
  return /[.[]/.test(name) ? `"${name}" value` : `"${name}" argument`
}

/** What was received, with its type. */
function withType(value: unknown): string {
  const isPlain = value === null || value === undefined || typeof value === 'function' || typeof value === 'object'
  return isPlain ? shown(value) : `type ${typeof value} (${shown(value)})`
}

/** A received value in the form of Node's own messages. It runs no code of the value and shows none of its bytes. */
function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return `an instance of ${className(value)}`
  if (typeof value === 'string') return `'${JSON.stringify(value.slice(0, 64)).slice(1, -1)}'`
  if (typeof value === 'bigint') return `${value}n`
  return Object.is(value, -0) ? '-0' : String(value)
}

/** Name of the class of an object. Looks only at plain properties, so that no code of the value runs. */
function className(value: object): string {
  if (util.types.isProxy(value)) return 'Proxy'
  for (let at: object | null = value; at && !util.types.isProxy(at); at = Object.getPrototypeOf(at)) {
    const made: unknown = Object.getOwnPropertyDescriptor(at, 'constructor')?.value
    if (typeof made !== 'function' || util.types.isProxy(made)) continue
    const name: unknown = Object.getOwnPropertyDescriptor(made, 'name')?.value
    if (typeof name === 'string' && name !== '') return name
  }
  return 'Object'
}
