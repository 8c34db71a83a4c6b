import { formatMib, formatSeconds, nowMs } from './units.mjs'

const BAR_CELLS = 24
const TITLE_CELLS = 14
const PHASE_CELLS = 10
const ERASE_LINE = '\r\x1b[2K'

/** Shows one job: a bar that is redrawn where there is a terminal, and a line for each phase that ended. */
export class ProgressLines {
  #title
  #output
  #startMs = 0
  #isBarShown = false

  /**
   * @param {string} title
   * @param {import('node:tty').WriteStream | NodeJS.WriteStream} output
   */
  constructor(title, output) {
    this.#title = title.padEnd(TITLE_CELLS)
    this.#output = output
  }

  /**
   * @param {import('./phases.mjs').Message} message
   * @param {number} rssBytes
   */
  show(message, rssBytes) {
    if (message.type === 'start') this.#startMs = nowMs()
    if (message.type === 'progress' && this.#output.isTTY) this.#draw(message, rssBytes)
    if (message.type === 'end') this.line(message.phase, rssBytes)
  }

  /**
   * A line that stays, in place of the bar.
   * @param {string} phase
   * @param {number} rssBytes
   * @param {string} note
   */
  line(phase, rssBytes, note = '') {
    const erase = this.#isBarShown ? ERASE_LINE : ''
    this.#isBarShown = false
    const time = formatSeconds(nowMs() - this.#startMs).padStart(8)
    const memory = `RSS ${formatMib(rssBytes).padStart(9)}`
    this.#output.write(`${erase}${this.#title}  ${phase.padEnd(PHASE_CELLS)}  ${time}   ${memory}${note}\n`)
  }

  /**
   * @param {{ phase: string, fraction: number }} progress
   * @param {number} rssBytes
   */
  #draw({ phase, fraction }, rssBytes) {
    const full = Math.round(fraction * BAR_CELLS)
    const bar = '█'.repeat(full) + '░'.repeat(BAR_CELLS - full)
    const percent = String(Math.floor(fraction * 100)).padStart(3)
    const line = `${this.#title}  ${phase.padEnd(PHASE_CELLS)}  ${bar} ${percent} %   RSS ${formatMib(rssBytes)}`
    this.#output.write(`${ERASE_LINE}${line}`)
    this.#isBarShown = true
  }
}
