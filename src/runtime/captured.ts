/** What the runtime's own classes know of an object, read with their own getters and methods: properties of the object are ignored. */

import { util } from './node.js'

/** The getter of a built-in prototype, as a function. */
export function property<T>(prototype: object, key: PropertyKey): (target: object) => T {
  const get = Object.getOwnPropertyDescriptor(prototype, key)?.get
  if (!get) throw new TypeError(`the runtime lacks ${String(key)}`)
  return Function.prototype.call.bind(get) as (target: object) => T
}

/** A method of a built-in prototype, as a function. */
export function method<F>(prototype: object, key: PropertyKey): F {
  return Function.prototype.call.bind(Reflect.get(prototype, key)) as F
}

/** Whether `prototype` is among the prototypes of a value. A proxy among them is not asked: it has none. */
export function inherits(value: unknown, prototype: object): value is object {
  if (typeof value !== 'object' || value === null) return false
  for (let at: unknown = value; at !== null; at = Object.getPrototypeOf(at)) {
    if (util.types.isProxy(at)) return false
    if (at === prototype) return true
  }
  return false
}

/** The result of a step, or undefined where it throws. */
export function orUndefined<T>(step: () => T): T | undefined {
  try {
    return step()
  } catch {
    return undefined
  }
}
