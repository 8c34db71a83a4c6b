/** Maps of both forms within one budget, used by several callers at once, beside a plain Map that has to say the same. */

import { setImmediate, setTimeout } from 'node:timers/promises'
import { MemoryBudget } from 'pageout'
import { PagedMap } from 'pageout/map'
import { PagedMap as PromisePagedMap } from 'pageout/map/promises'
import { BORROWED } from './borrows.mjs'
import { insist } from './calls.mjs'
import { same } from './pieces.mjs'
import { Random } from './random.mjs'
import { someSealing } from './worlds.mjs'

const KIB = 2 ** 10
const LENGTHS = [0, 1, 100, 1024, 5000, 4 * KIB, 20 * KIB]
const MAX_BYTES = 24 * KIB
const STEPS = 24
const NO_ROOM = 'ERR_PAGEOUT_BUDGET'
const WORK_FAILED = 'WORK_FAILED'
/** More rounds than the collector and writes that are pending ever needed. */
const ROUNDS_MAX = 1000

/** The bytes of a value, which its first one tells. */
const bytesOf = ({ seed, length }) => Uint8Array.from({ length }, (_, at) => seed + at * 7)
const isWhole = bytes => same(bytes, bytesOf({ seed: bytes[0], length: bytes.length }))

/** A map, what has to be in it, and who uses it. */
class Setting {
  twin = new Map()
  isClosed = false
  /** Whether the collector has to find borrows. */
  isForgetful = false

  constructor(random, Class, residentBytes) {
    this.isAsync = Class === PromisePagedMap
    this.isCache = random.oneIn(3)
    const detach = random.pick(['auto', 'auto', 'never'])
    const onEvict = (_, take) => (random.oneIn(2) ? undefined : this.#check(take()))
    const cache = this.isCache ? { maxBytes: MAX_BYTES, onEvict } : {}
    const integrity = random.pick(['checksum', 'none'])
    this.map = new Class({ residentBytes, detach, integrity, ...someSealing(random), ...cache })
  }

  /** In the synchronous form a promise would be refused. */
  #check(taken) {
    const check = bytes => insist(this.isClosed || isWhole(bytes), 'what was evicted has other bytes')
    return this.isAsync ? taken.then(check, error => insist(this.isClosed, `an evicted value: ${error}`)) : check(taken)
  }

  async close() {
    this.isClosed = true
    await this.map.close()
    insist(this.map.size === 0 && this.map.byteLength === 0, 'there are values in a map that was closed')
  }

  /** Nobody uses the map any more, and there is nothing in it but its values; then nothing at all. */
  async end() {
    if (this.isClosed) return await this.close()
    const { map, twin, isCache } = this
    const lengths = [...map.keys()].map(key => twin.get(key)?.length)
    insist(isCache || map.size === twin.size, `a map of ${map.size} keys has to have ${twin.size}`)
    insist(map.byteLength === lengths.reduce((sum, length) => sum + length, 0), 'a map has another byteLength')
    await map.clear()
    const isLeft = () => map.stats().handles > 0 || map.stats().usedBytes > 0
    for (let round = 0; round < ROUNDS_MAX && isLeft(); round += 1) {
      if (this.isForgetful) globalThis.gc()
      await setTimeout(1)
    }
    insist(!isLeft() && map.size === 0, `a map that was cleared has ${JSON.stringify(map.stats())}`)
    insist(map.stats().changedBorrows === 0, 'borrowed values were changed')
    await this.close()
  }
}

/** Calls of keys that nobody else uses, one after the other. */
class Caller {
  #setting
  #random
  #tally
  #keys = [Symbol('key'), {}, () => {}]
  /** Borrows that are held, of values that may be in the map no more. */
  #held = []
  /** Values of borrows that the collector may not have found yet. */
  #forgotten = new Set()

  constructor(setting, random, tally) {
    this.#setting = setting
    this.#random = random
    this.#tally = tally
  }

  async play() {
    const steps = [
      ...[
        this.#set,
        this.#set,
        this.#rush,
        this.#read,
        this.#look,
        this.#look,
        this.#lookAtAll,
        this.#hold,
        this.#hold,
      ],
      ...[this.#release, this.#release, this.#forget, this.#take, this.#update, this.#update, this.#delete],
      ...[this.#prefetch, this.#closeNow],
    ]
    for (let step = 0; step < STEPS && !this.#setting.isClosed; step += 1) {
      await this.#random.pick(steps).call(this)
      if (this.#random.oneIn(3)) await setImmediate()
    }
    while (this.#held.length > 0) this.#release()
  }

  get #map() {
    return this.#setting.map
  }

  #key() {
    return this.#random.pick(this.#keys)
  }

  #value() {
    return { seed: this.#random.below(256), length: this.#random.pick(LENGTHS) }
  }

  /** What a key has to have. */
  #expected(key) {
    return this.#setting.twin.get(key)
  }

  /** What a call comes to: its result, or an error that is one of those that it may come to. */
  async #call(name, call, { must, may = [] } = {}) {
    const { isAsync } = this.#setting
    const controller = isAsync && this.#random.oneIn(5) ? new AbortController() : undefined
    const when = this.#random.below(3)
    if (when === 0) controller?.abort()
    let outcome
    try {
      const result = call(controller ? { signal: controller.signal } : undefined)
      const settled = Promise.allSettled([result])
      if (when === 1) await setImmediate()
      controller?.abort()
      await settled
      outcome = { result: await result }
    } catch (error) {
      outcome = { error }
    }
    const { error } = outcome
    const codes = [...may, must, controller && 'ABORT_ERR', this.#setting.isClosed && 'ERR_PAGEOUT_CLOSED']
    insist(!error || codes.includes(error.code), `${name} of a map failed with ${error?.code}: ${error?.stack}`)
    insist(error || !must || this.#setting.isClosed, `${name} of a map succeeded in spite of ${must}`)
    this.#tally.count(`map ${name} (${isAsync ? 'promise' : 'sync'})`, error?.code ?? 'ok')
    return outcome
  }

  /** Bytes, or nothing, are what a value has to be. A cache may have lost it. */
  #check(bytes, value, what) {
    const isLost = bytes === undefined && (value === undefined || this.#setting.isCache)
    insist(isLost || (value && bytes && same(bytes, bytesOf(value))), `${what} of a map gave other bytes`)
  }

  /** What the borrows of a key do to a call that takes its value. */
  #refusal(key) {
    const value = this.#expected(key)
    if (value && this.#held.some(held => held.value === value)) return { must: BORROWED }
    return this.#forgotten.has(value) ? { may: [BORROWED] } : {}
  }

  async #set() {
    const [key, value] = [this.#key(), this.#value()]
    if (await this.#isSet(key, value)) this.#setting.twin.set(key, value)
  }

  /** Calls of one key that do not wait for each other. */
  async #rush() {
    const [key, first, second] = [this.#key(), this.#value(), this.#value()]
    const calls = [this.#isSet(key, first), this.#isSet(key, second)]
    const read = this.#call('read', options => this.#map.read(key, undefined, options))
    const [isFirst, isSecond] = await Promise.all(calls)
    const { error, result } = await read
    if (isFirst) this.#setting.twin.set(key, first)
    if (isSecond) this.#setting.twin.set(key, second)
    if (!error) this.#check(result, this.#expected(key), 'a read behind others')
  }

  async #isSet(key, value) {
    const may = this.#setting.isCache ? [NO_ROOM] : []
    const { error } = await this.#call('set', options => this.#map.set(key, bytesOf(value), options), { may })
    if (error) insist(same(error.chunks[0], bytesOf(value)), 'the error of a set has other bytes')
    return !error
  }

  async #read() {
    const key = this.#key()
    const { error, result } = await this.#call('read', options => this.#map.read(key, undefined, options))
    if (!error) this.#check(result, this.#expected(key), 'a read')
  }

  async #look() {
    const key = this.#key()
    const value = this.#expected(key)
    const work = bytes => {
      this.#check(bytes, value, 'a borrow')
      if (!this.#setting.isAsync) return 1
      return setImmediate().then(() => this.#setting.isClosed || this.#check(bytes, value, 'the end of a borrow'))
    }
    await this.#call('borrow', options => this.#map.borrow(key, work, options), { may: [NO_ROOM] })
  }

  async #lookAtAll() {
    const keys = [this.#key(), this.#key(), this.#key()]
    const values = keys.map(key => this.#expected(key))
    const work = (...all) => {
      for (const [at, bytes] of all.entries()) this.#check(bytes, values[at], 'borrowAll')
      return all.length
    }
    const call = options => this.#map.borrowAll(keys, work, options)
    const { error, result } = await this.#call('borrowAll', call, { may: [NO_ROOM] })
    if (error || (result === undefined && this.#setting.isCache)) return
    insist(result === (values.includes(undefined) ? undefined : 3), `borrowAll of a map gave ${result}`)
  }

  async #hold() {
    const key = this.#key()
    const call = options => this.#map.borrow(key, undefined, options)
    const { result: borrow } = await this.#call('hold', call, { may: [NO_ROOM] })
    if (!borrow || borrow.released) return
    this.#held.push({ borrow, value: this.#expected(key) })
    this.#check(borrow.value, this.#expected(key), 'a borrow')
  }

  #release() {
    const [held] = this.#held.splice(this.#random.below(this.#held.length), 1)
    if (!held) return
    const { borrow, value } = held
    insist(borrow.released === this.#setting.isClosed, 'a borrow of a map was released by another')
    if (!borrow.released) this.#check(borrow.value, value, 'what is held')
    borrow.release()
  }

  #forget() {
    const [held] = this.#held.splice(0, this.#random.below(2))
    if (!held) return
    this.#forgotten.add(held.value)
    this.#setting.isForgetful = true
  }

  async #take() {
    const key = this.#key()
    const value = this.#expected(key)
    const call = options => this.#map.take(key, undefined, options)
    const { error, result } = await this.#call('take', call, this.#refusal(key))
    if (error) return
    this.#check(result, value, 'a take')
    this.#setting.twin.delete(key)
  }

  async #update() {
    const [key, next] = [this.#key(), this.#value()]
    const [how, turns] = [this.#random.below(4), this.#random.below(3)]
    const value = this.#expected(key)
    let result = next
    const end = taken => {
      if (how === 0) throw Object.assign(new Error('work failed'), { code: WORK_FAILED })
      if (how === 1) result = undefined
      if (how === 2 && taken) result = value
      return how === 1 ? undefined : how === 2 && taken ? taken : bytesOf(next)
    }
    const work = taken => {
      this.#check(taken, value, 'an update')
      return turns > 0 && this.#setting.isAsync ? setImmediate().then(() => end(taken)) : end(taken)
    }
    const { must, may = [] } = this.#refusal(key)
    const given = { must, may: [...may, WORK_FAILED, ...(this.#setting.isCache ? [NO_ROOM] : [])] }
    const { error } = await this.#call('update', options => this.#map.update(key, work, options), given)
    if (error) return
    if (result) this.#setting.twin.set(key, result)
    else this.#setting.twin.delete(key)
  }

  async #delete() {
    const key = this.#key()
    const value = this.#expected(key)
    const { error, result } = await this.#call('delete', options => this.#map.delete(key, options))
    if (error) return
    insist(result === (value !== undefined) || (this.#setting.isCache && !result), `delete of a map gave ${result}`)
    this.#setting.twin.delete(key)
  }

  #prefetch() {
    this.#map.prefetch(this.#key(), this.#key(), 'no key')
  }

  /** Seldom, and not waited for: what is pending meets it. */
  #closeNow() {
    if (this.#random.oneIn(10)) void this.#setting.close()
  }
}

/**
 * Plays one interleaving of calls of maps.
 *
 * @param {number[]} keys of its choices
 * @param {MemoryBudget} common of all threads
 */
export async function playMaps(keys, common, tally) {
  const random = new Random(...keys, 3)
  const own = new MemoryBudget(random.pick([8, 64]) * KIB)
  const residentBytes = random.oneIn(2) ? common : own
  const settings = [PagedMap, PromisePagedMap, PromisePagedMap].map(Class => new Setting(random, Class, residentBytes))
  const callers = settings.flatMap(setting =>
    Array.from({ length: 1 + random.below(3) }, () => new Caller(setting, new Random(random.below(2 ** 32)), tally)),
  )
  await Promise.all(callers.map(caller => caller.play()))
  for (const setting of settings) await setting.end()
  insist(own.residentBytes === 0, `maps that were closed have ${own.residentBytes} bytes of a budget`)
}
