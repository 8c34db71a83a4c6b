/**
 * Calls and what they may come to. A call has faults, which are known before it starts and one of which it must fail with,
 * and risks, which are looked at when it has settled and which it may fail with. Any other failure is a bug.
 */

import { PageoutError } from 'pageout'

/** What a storm ends with when something is not as it has to be. */
export class Broken extends Error {}

export function insist(isSo, what) {
  if (!isSo) throw new Broken(what)
}

/** Codes of what a try form throws: the caller's own errors, and defects. */
const THROWN =
  /^ERR_(INVALID_ARG_|OUT_OF_RANGE|PAGEOUT_(RELEASED|BORROWED|CLOSED|OVERLAP|NOT_DETACHABLE|INTERNAL))|^ABORT_ERR$/

/** What a call came to. */
function outcomeOf(result, isTry) {
  if (!isTry) return { value: result }
  if (result.ok) return { value: result.value }
  insist(result.error instanceof PageoutError, `a try form returned ${result.error}`)
  insist(!THROWN.test(result.error.code), `a try form returned ${result.error.code} and did not throw it`)
  return { error: result.error }
}

/** What a call may come to. */
export class Verdict {
  faults = new Set()
  #risks = []

  /** @param {World} world whose pager is asked */
  constructor(world) {
    this.world = world
    if (world.isClosed) this.faults.add('ERR_PAGEOUT_CLOSED')
  }

  /** @param {() => string[]} codes the codes that the call may fail with, as things are by then */
  risk(codes) {
    this.#risks.push(codes)
  }

  get risks() {
    return this.#risks.flatMap(codes => codes())
  }

  /** Whether the call fails or may fail, as things are. */
  get isDoomed() {
    return this.faults.size > 0 || this.risks.length > 0
  }

  /** @param {Error | undefined} error what the call failed with, if it did */
  judge(error, name) {
    const { faults, risks } = this
    if (!error) return insist(faults.size === 0, `${name} succeeded in spite of ${[...faults]}`)
    if (error instanceof Broken) throw error
    const isLegal = faults.has(error.code) || risks.includes(error.code)
    insist(isLegal, `${name} failed with ${error.code}, not one of [${[...faults, ...risks]}]: ${error.stack}`)
  }
}

/** What may be aborted, and comes to an outcome. */
export class Abortable extends Verdict {
  /** A code, or `ok`, once it has settled. */
  outcome
  /** Whether an abort is told within the turn of the event loop, because there is nothing to give back first. */
  isPrompt = false
  #controller

  constructor(random, world, isAsync) {
    super(world)
    this.isAsync = isAsync
    if (isAsync && random.oneIn(2)) this.#controller = new AbortController()
    if (this.#controller && random.oneIn(6)) this.#controller.abort('too early')
    if (this.isAborted) this.faults.add('ABORT_ERR')
    this.risk(() => (this.isAborted ? ['ABORT_ERR'] : []))
  }

  get canAbort() {
    return this.#controller !== undefined
  }

  get isAborted() {
    return this.#controller?.signal.aborted === true
  }

  get signalOptions() {
    return this.#controller ? { signal: this.#controller.signal } : {}
  }

  abort() {
    this.#controller?.abort('enough')
  }

  insistSettled() {
    insist(this.outcome !== undefined || !this.isPrompt, 'a call that was aborted is still pending')
  }

  /** @param {Error | undefined} error what it failed with, if it did */
  end(error, name) {
    this.judge(error, name)
    if (error?.code === 'ABORT_ERR') {
      insist(error.name === 'AbortError', `an abort is called ${error.name}`)
      insist(error.cause === this.#controller.signal.reason, 'an abort has another cause')
    }
    this.outcome = error?.code ?? 'ok'
  }
}

/** A call of a verb that does I/O, in one of its forms. */
export class Call extends Abortable {
  constructor(random, world) {
    super(random, world, world.promises !== undefined && (world.sync === undefined || random.oneIn(2)))
    this.isTry = random.oneIn(4)
  }

  /**
   * Makes the call, and gives its outcome, once it has been judged, to `settled`.
   *
   * @returns {Promise<void> | undefined} to be waited for
   */
  start(verb, args, settled) {
    const form = this.isTry ? `try${verb[0].toUpperCase()}${verb.slice(1)}` : verb
    const settle = outcome => {
      this.end(outcome.error, `${form} (${this.isAsync ? 'promise' : 'sync'})`)
      settled(outcome)
    }
    if (!this.isAsync) return settle(attempt(() => outcomeOf(this.world.sync[form](...args), this.isTry)))
    const promise = this.world.promises[form](...args)
    const outcome = promise.then(result => outcomeOf(result, this.isTry))
    return outcome.catch(error => ({ error })).then(settle)
  }
}

/** What a step came to, as a value. */
export function attempt(step) {
  try {
    return step()
  } catch (error) {
    return { error }
  }
}
