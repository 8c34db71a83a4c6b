// One candidate of `tracing.mjs`, in a process of its own.
import { tracingChannel } from 'node:diagnostics_channel'
import { Pager } from '../../dist/index.js'
import { answer, question } from '../child.mjs'
import { check, KIB, MIB, randomBytes } from '../payloads.mjs'

/** @typedef {{ tripUs: number, readUs: number, checkNs: number }} Answer */

const TRIP_BYTES = 4 * KIB
const READ_BYTES = 64
const PAYLOAD_BYTES = MIB
/** Checks for each call that is timed; one takes nanoseconds. */
const CHECKS_PER_CALL = 200

const { folder, calls, isWatched } = question()
const channels = ['pageout:pageout', 'pageout:read', 'pageout:take'].map(name => tracingChannel(name))
const subscriber = counter()
if (isWatched) for (const channel of channels) channel.subscribe(subscriber)
const pager = new Pager({ scratchDir: folder })
const content = randomBytes(PAYLOAD_BYTES)
const handle = pager.pageout(content, { detach: 'never' })

measure()
const result = measure()
verify()
pager.close()
answer(result)

/** @returns {Answer} */
function measure() {
  return { tripUs: tripUs(), readUs: readUs(), checkNs: checkNs() }
}

function tripUs() {
  const expected = randomBytes(TRIP_BYTES)
  /** @type {Uint8Array} */
  let bytes = new Uint8Array(expected)
  const start = performance.now()
  for (let trip = 0; trip < calls; trip++) bytes = pager.take(pager.pageout(bytes))
  const elapsedMs = performance.now() - start
  check(bytes, expected, 'a round trip')
  return (elapsedMs * 1000) / calls
}

function readUs() {
  let offset = 0
  /** @type {Uint8Array} */
  let bytes = new Uint8Array()
  const start = performance.now()
  for (let read = 0; read < calls; read++) {
    offset = (read * READ_BYTES) % PAYLOAD_BYTES
    bytes = pager.readAt(handle, offset, READ_BYTES)
  }
  const elapsedMs = performance.now() - start
  check(bytes, content.subarray(offset, offset + READ_BYTES), 'a read')
  return (elapsedMs * 1000) / calls
}

function checkNs() {
  const checks = calls * CHECKS_PER_CALL
  let watched = 0
  const start = performance.now()
  // One channel alone might be asked once, and the answer kept by the compiled loop.
  for (let at = 0; at < checks; at++) if (channels[at % channels.length]?.hasSubscribers) watched++
  const elapsedMs = performance.now() - start
  if (watched !== (isWatched ? checks : 0)) throw new Error(`${watched} of ${checks} checks found a subscriber`)
  return (elapsedMs * 1e6) / checks
}

/** A subscriber that does as little as one can. */
function counter() {
  const counts = { start: 0, end: 0, others: 0 }
  const start = () => {
    counts.start++
  }
  const end = () => {
    counts.end++
  }
  const other = () => {
    counts.others++
  }
  return { counts, start, end, asyncStart: other, asyncEnd: other, error: other }
}

/** Whoever subscribed was told of every verb, and of nothing else. */
function verify() {
  const { pageouts, reads, takes } = pager.stats()
  const verbs = isWatched ? pageouts + reads + takes : 0
  const { start, end, others } = subscriber.counts
  if (start !== verbs || end !== verbs || others !== 0) {
    throw new Error(`${start} starts, ${end} ends and ${others} other events were told of ${verbs} verbs`)
  }
}
