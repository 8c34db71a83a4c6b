/** A class that makes nothing. */

/** Returns the object that it is given, so that a class that extends it adds its private fields to that object. */
export const Identity = class {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: that is what it is for
    return object
  }
} as new (
  object: object,
) => object
