/**
 * Private buffers of payloads that are out and in memory, within a memory budget: the addon reads them, also on other threads, as
 * long as it knows them by their key. When it lets go, this thread frees them: at its next call, or woken in its event loop.
 */

import type { DeparturesRef, PagerRef } from '../../index.d.ts'
import { native } from '../addon/load.js'
import { diagnostics } from '../runtime/node.js'
import { freeBuffer } from './freeing.js'

/** Told of each payload that leaves memory to make room for others. */
const evictions = diagnostics.channel('pageout:eviction')

/** The memory of one payload. */
export interface Residence {
  buffers: readonly ArrayBuffer[]
  /** Whether it is excluded from core dumps. */
  readonly isExcluded: boolean
  readonly spareBytes: number
}

const residences = new Map<number, Residence>()
let lastKey = 0

/** The first of them is 1 when memory waits to be freed. In a buffer of its own, which the collector does not move. */
const flag = new Int32Array(new ArrayBuffer(64))
let departures: DeparturesRef | undefined

/** What the addon knows this thread by. */
export function departuresOf(): DeparturesRef {
  departures ??= native.openDepartures(flag, drain)
  return departures
}

/** Has this thread free the memory of a pager's payloads. */
export function useResidents(ref: PagerRef): void {
  native.useDepartures(ref, departuresOf())
}

/** A key that no memory has yet. */
export function newKey(): number {
  return ++lastKey
}

/** Keeps private buffers for the addon, under a new key. */
export function park(key: number, residence: Residence): void {
  residences.set(key, residence)
}

/** The buffers of a key, which the addon has let go or never knew. */
export function unpark(key: number): Residence {
  const residence = residences.get(key) as Residence
  residences.delete(key)
  return residence
}

/** The buffers of a key. */
export function parked(key: number): Residence {
  return residences.get(key) as Residence
}

/** Who waits until there may be room: told by this thread, and looking again for what others do. */
const waiting = new Set<() => void>()
const LOOK_MS = 10

/** Settles when there may be room in a budget. */
export async function whenRoom(): Promise<void> {
  await new Promise<void>(resolve => {
    const settle = () => {
      clearTimeout(timer)
      waiting.delete(settle)
      resolve()
    }
    const timer = setTimeout(settle, LOOK_MS)
    waiting.add(settle)
  })
}

/** Tells those who wait that there may be room. */
export function tellRoom(): void {
  for (const settle of waiting) settle()
}

/** Frees what left memory, if something did. */
export function drainIfDue(): void {
  if (flag[0] !== 0) drain()
}

/** Frees what left memory. Returns whether there was something. */
export function drain(): boolean {
  if (!departures) return false
  let key = native.nextDeparted(departures)
  const isAny = key !== 0
  for (; key !== 0; key = native.nextDeparted(departures)) {
    // What failed to be admitted is the caller's again.
    if (!residences.has(Math.abs(key))) continue
    const residence = unpark(Math.abs(key))
    if (key > 0 && evictions.hasSubscribers) tellEviction(bytesOf(residence))
    free(residence)
  }
  return isAny
}

let evicted: number[] = []

/** Tells of an eviction when the call under way is over: subscribers may do anything. */
function tellEviction(byteLength: number): void {
  if (evicted.length === 0) queueMicrotask(tellEvictions)
  evicted.push(byteLength)
}

function tellEvictions(): void {
  const told = evicted
  evicted = []
  for (const byteLength of told) evictions.publish({ byteLength, backend: 'file' })
}

/** Gives buffers back that no payload needs any more. */
export function free({ buffers, isExcluded, spareBytes }: Residence): void {
  for (const buffer of buffers) freeBuffer(buffer, isExcluded, spareBytes)
}

function bytesOf({ buffers }: Residence): number {
  return buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0)
}
