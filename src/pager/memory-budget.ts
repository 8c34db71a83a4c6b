/** A memory budget that several pagers share, in any threads. */

import type { BudgetRef } from '../../index.d.ts'
import { native } from '../addon/load.js'
import { wholeNumber } from '../chunks/arguments.js'
import { guarded, invalidArgType, invalidArgValue } from '../model/errors.js'
import type { SharedBudget } from '../model/types.js'
import { crypto, markAsUncloneable, util } from '../runtime/node.js'
import { TOKEN } from './transit.js'

/** Passed to the constructor by {@link MemoryBudget.join}, which nobody else can do. */
const JOINED = Symbol('joined')

/**
 * An upper limit on the bytes of payloads that stay in memory while they are out, for all pagers together that are given it as
 * `residentBytes`, in this thread and in those that join it.
 *
 * @example
 * const budget = new MemoryBudget(256 * 2 ** 20)
 * const pager = new Pager({ residentBytes: budget })
 * const worker = new Worker(file, { workerData: budget.token }) // there: MemoryBudget.join(workerData)
 */
export class MemoryBudget implements SharedBudget {
  readonly #ref: BudgetRef
  #token: string | undefined

  /**
   * @param limit bytes, or `'auto'`: a share of what the memory group and the machine leave free, followed as it changes
   * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE
   */
  constructor(limit: number | 'auto')
  constructor(limit: unknown, joined?: unknown) {
    markAsUncloneable(this)
    if (isJoined(joined)) {
      this.#ref = joined[JOINED]
      this.#token = limit as string
    } else {
      this.#ref = budgetOf(limit, 'limit')
    }
  }

  /**
   * The budget of a token, of whatever thread of this process, as long as that thread or a pager has it.
   *
   * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE
   * @example
   * const pager = new Pager({ residentBytes: MemoryBudget.join(workerData) })
   */
  static join(token: string): MemoryBudget {
    if (typeof token !== 'string') throw invalidArgType('token', 'the token of a MemoryBudget', token)
    const ref = TOKEN.test(token) ? native.joinBudget(token) : null
    if (!ref) throw invalidArgValue('token', 'must be the token of a MemoryBudget that still exists', token)
    return new (MemoryBudget as new (token: string, joined: object) => MemoryBudget)(token, { [JOINED]: ref })
  }

  /** @internal What the addon knows it by. */
  static refOf(budget: MemoryBudget): BudgetRef {
    return budget.#ref
  }

  /** @internal Whether a value is one. */
  static is(value: unknown): value is MemoryBudget {
    return typeof value === 'object' && value !== null && #ref in value
  }

  /** A string for {@link MemoryBudget.join} in another thread. */
  get token(): string {
    if (this.#token === undefined) {
      this.#token = crypto.randomUUID()
      native.publishBudget(this.#ref, this.#token)
    }
    return this.#token
  }

  /** Upper limit, in bytes. A smaller number is reached as writes and borrows allow; until then nothing comes into memory. */
  get limitBytes(): number {
    return native.budgetBytes(this.#ref)[0]
  }

  set limitBytes(bytes: number) {
    native.setBudgetLimit(this.#ref, wholeNumber(bytes, 'limitBytes', 0, Number.MAX_SAFE_INTEGER))
  }

  /** Bytes in memory now, borrowed ones included. */
  get residentBytes(): number {
    return native.budgetBytes(this.#ref)[1]
  }

  /** @internal What `console.log` shows. */
  [util.inspect.custom](): string {
    const { limitBytes, residentBytes } = this
    return `MemoryBudget ${util.inspect({ limitBytes, residentBytes })}`
  }
}

function isJoined(value: unknown): value is { [JOINED]: BudgetRef } {
  return typeof value === 'object' && value !== null && JOINED in value
}

function budgetOf(limit: unknown, name: string): BudgetRef {
  if (limit === 'auto') return guarded(() => native.makeBudget(undefined))
  if (typeof limit === 'string') throw invalidArgValue(name, "must be a number of bytes or 'auto'", limit)
  const bytes = wholeNumber(limit, name, 0, Number.MAX_SAFE_INTEGER)
  return guarded(() => native.makeBudget(bytes))
}

/** @internal The budget of the option `residentBytes`; nothing for 0, the default. */
export function residentBudget(option: unknown): BudgetRef | undefined {
  if (option === undefined || option === 0) return undefined
  return MemoryBudget.is(option) ? MemoryBudget.refOf(option) : budgetOf(option, 'options.residentBytes')
}
