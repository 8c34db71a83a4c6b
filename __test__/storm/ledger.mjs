/** The payloads of a pager that are out, as the storm knows them, to be compared with what the pager says. */

/** A handle that is out. */
class Line {
  #lines

  constructor(lines, handle) {
    this.#lines = lines
    this.handle = new WeakRef(handle)
    lines.add(this)
  }

  /** The payload's place is free. */
  strike() {
    this.#lines.delete(this)
  }
}

export class Ledger {
  #lines = new Set()

  enter(handle) {
    return new Line(this.#lines, handle)
  }

  /** How many handles are out and were not collected. */
  count() {
    for (const line of this.#lines) if (line.handle.deref() === undefined) line.strike()
    return this.#lines.size
  }
}
