import { formatMib, formatSeconds, nowMs } from './units.mjs'

const BAR_CELLS = 24
const ERASE_LINE = '\r\x1b[2K'

/** Shows one job on the terminal: a bar that is redrawn where there is a terminal, and a line for each finished phase. */
export class ProgressLines {
  #title
  #output
  #startMs = 0

  /**
   * @param {string} title
   * @param {import('node:tty').WriteStream | NodeJS.WriteStream} output
   */
  constructor(title, output) {
    this.#title = title.padEnd(10)
    this.#output = output
  }

  /**
   * @param {import('./phases.mjs').Message} message
   * @param {number} rssBytes
   */
  show(message, rssBytes) {
    if (message.type === 'start') this.#startMs = nowMs()
    const erase = this.#output.isTTY ? ERASE_LINE : ''
    if (message.type === 'progress' && this.#output.isTTY) this.#output.write(erase + this.#bar(message, rssBytes))
    if (message.type === 'end') this.#output.write(`${erase}${this.#line(message, rssBytes)}\n`)
  }

  /**
   * @param {{ phase: string, fraction: number }} progress
   * @param {number} rssBytes
   */
  #bar({ phase, fraction }, rssBytes) {
    const full = Math.round(fraction * BAR_CELLS)
    const bar = '█'.repeat(full) + '░'.repeat(BAR_CELLS - full)
    const percent = String(Math.floor(fraction * 100)).padStart(3)
    return `${this.#title}  ${phase.padEnd(10)}  ${bar} ${percent} %   RSS ${formatMib(rssBytes)}`
  }

  /**
   * @param {{ phase: string }} end
   * @param {number} rssBytes
   */
  #line({ phase }, rssBytes) {
    const time = formatSeconds(nowMs() - this.#startMs).padStart(8)
    return `${this.#title}  ${phase.padEnd(10)}  ${time}   RSS ${formatMib(rssBytes)}`
  }
}
