/**
 * What a step of an interleaving can be. Each operation has a name, a weight, and `run(scene, random)`, which draws all
 * its choices before it waits for anything, so that a seed repeats them. To add one, add it to the table.
 */

import { Handle } from 'pageout'
import { borrowFor, hold } from './borrows.mjs'
import { attempt, insist, Verdict } from './calls.mjs'
import { putOut } from './pageouts.mjs'
import { fetch, RELEASED, someRanges } from './payloads.mjs'
import { bytesOf, KINDS, same, someRelative } from './pieces.mjs'
import { Random } from './random.mjs'
import { collect } from './sources.mjs'
import { readStream } from './streams.mjs'

const BACKENDS = ['file', 'swap']

function out(scene, random) {
  goOut(scene, random, somePieces(scene, random))
}

function goOut(scene, random, pieces) {
  const world = random.pick(scene.worlds)
  const verb = random.oneIn(3) ? 'pageoutWith' : 'pageout'
  const backend = verb === 'pageoutWith' || random.oneIn(2) ? random.pick(BACKENDS) : undefined
  const detach = random.pick([undefined, undefined, 'auto', 'never', 'required'])
  const slot = scene.entries.someSlot(random)
  // Before its job has begun, if it ever does.
  const isHasty = random.oneIn(8)
  scene.entries.put(slot, arrive => {
    const made = putOut(random, world, pieces, { verb, backend, detach }, arrived)
    scene.track('pageout', made)
    if (isHasty) made.call.abort()
    function arrived(entry) {
      arrive(entry)
      // Of what another thread wrote to, the first read says what all later ones have to say.
      if (entry && entry.content === undefined) readWhole(scene, random, entry)
    }
  })
}

function outFrom(scene, random) {
  const world = random.pick(scene.worlds)
  const backend = random.oneIn(2) ? random.pick(BACKENDS) : undefined
  const slot = scene.entries.someSlot(random)
  scene.entries.put(slot, arrive => {
    scene.track('pageoutFrom', collect(random, world, scene, backend, arrived))
    function arrived(entry) {
      arrive(entry)
      if (entry && entry.content === undefined) readWhole(scene, random, entry)
    }
  })
}

/** A piece of a slot, alone or with others, mostly of its class; now and then one twice. */
function somePieces(scene, random) {
  if (random.oneIn(20)) return []
  const first = scene.somePiece(random)
  const more = Array.from({ length: random.oneIn(2) ? 0 : random.below(4) }, () => {
    if (random.oneIn(12)) return first
    return scene.pieces.make(random, random.oneIn(40) ? random.pick(KINDS) : someRelative(random, first.kind))
  })
  return [first, ...more]
}

function read(verb) {
  return (scene, random) => {
    const isMany = verb === 'readAtMany'
    const targetChoice = someTarget(scene, random)
    const user = someUser(scene, random)
    const isGivenUp = verb === 'take' && random.oneIn(6)
    scene.entries.use(random, entry => {
      const length = entry.handle.length
      const { ranges, code } =
        verb === 'take' || verb === 'read'
          ? { ranges: [[0, length]] }
          : isMany
            ? someRanges(random, length)
            : oneRange(random, length)
      const target = targetChoice(entry, ranges)
      const request = { verb, ranges, code, target }
      const made = fetch(random, user(entry), entry, request, scene.keepers(random, entry))
      scene.track(verb, made)
      if (!isGivenUp) return
      // A take that is pending frees the payload in any case then.
      letGo(entry, random.oneIn(2))
      if (random.oneIn(2)) made.call.abort()
    })
  }
}

/** Whose verbs are used: those of the handle's pager, mostly, or the functions of the package, or those of any pager. */
function someUser(scene, random) {
  const isAny = random.oneIn(40)
  if (isAny || random.oneIn(4)) {
    const user = isAny ? random.pick(scene.worlds) : scene.shared
    return () => user
  }
  return entry => entry.world
}

/** Many reads in one tick, most of them small, so that they ride together. */
function readMuch(scene, random) {
  const count = 2 + random.below(random.pick([4, 24, 100]))
  const user = someUser(scene, random)
  for (let number = 0; number < count; number += 1) {
    const own = new Random(random.below(2 ** 32))
    scene.entries.use(own, entry => {
      const { length } = entry.handle
      const { ranges, code } = own.oneIn(12) ? oneRange(own, length) : shortRange(own, length)
      scene.track('readAt', fetch(own, user(entry), entry, { verb: 'readAt', ranges, code }, scene.keepers(own, entry)))
    })
  }
}

/** Reads and a take by the functions of the package, whose pager is closed at once while they are pending. */
function closeBeside(scene, random) {
  scene.entries.use(random, entry => {
    if (!entry.world.closesAtOnce || entry.world.isClosed) return
    for (const verb of ['read', 'read', 'take']) {
      const request = { verb, ranges: [[0, entry.handle.length]] }
      scene.track(verb, fetch(random, scene.shared, entry, request, scene.keepers(random, entry)))
    }
    entry.world.close()
  })
}

function shortRange(random, length) {
  const at = random.below(length + 1)
  return { ranges: [[at, random.below(Math.min(length - at, 64) + 1)]] }
}

function stream(scene, random) {
  const user = someUser(scene, random)
  scene.entries.use(random, entry => scene.track('stream', readStream(random, user(entry), entry)))
}

function oneRange(random, length) {
  if (random.oneIn(25)) return { ranges: [[length, 1]], code: 'ERR_OUT_OF_RANGE' }
  const at = random.below(length + 1)
  return { ranges: [[at, random.below(length - at + 1)]] }
}

/** No target, one made to measure, or a piece that other calls may be using too. */
function someTarget(scene, random) {
  const choice = random.below(6)
  const piece = scene.somePiece(random)
  const surplus = random.pick([0, 0, 8, 64])
  if (choice < 3) return () => undefined
  if (choice < 4) return () => piece
  return ({ kind }, ranges) => {
    const elements = ranges.reduce((sum, [, length]) => sum + length, 0)
    const target = scene.pieces.make(
      random,
      someRelative(random, kind),
      (Math.min(elements, 2 ** 20 / kind.elementBytes) + surplus) * kind.elementBytes,
    )
    scene.putPiece(random, target)
    return target
  }
}

function readWhole(scene, random, entry) {
  const ranges = [[0, entry.handle.length]]
  scene.track(
    'readAt',
    fetch(random, entry.world, entry, { verb: 'readAt', ranges }, () => {}),
  )
}

function release(scene, random) {
  const isDisposed = random.oneIn(2)
  scene.entries.use(random, entry => letGo(entry, isDisposed))
}

/** Releases a payload, unless it is borrowed; says whether it is released. */
export function letGo(entry, isDisposed) {
  const { handle, loans } = entry
  const verdict = new Verdict(entry.origin)
  verdict.faults.clear()
  if (!handle.released) loans.judge(verdict)
  const { error } = attempt(() => (isDisposed ? handle[Symbol.dispose]() : handle.release()) ?? {})
  verdict.judge(error, 'release')
  if (error) return false
  entry.release()
  insist(handle.released, 'a handle that was released is not')
  return true
}

/** A borrow that is held, for work, or several at once. */
function borrow(how) {
  return (scene, random) => {
    const user = someUser(scene, random)
    const times = random.pick([1, 1, 1, 2, 4])
    const own = new Random(random.below(2 ** 32))
    scene.entries.use(random, entry => {
      for (let time = 0; time < times; time += 1) scene.track('borrow', how(own, user(entry), entry, scene))
    })
  }
}

function giveBack(scene, random) {
  const isAll = random.oneIn(6)
  if (isAll) return scene.releaseAll()
  const held = scene.someHeld(random)
  held?.release(random)
}

/** A borrow is not released, but forgotten, or the borrow without its array. */
function forgetBorrow(scene, random) {
  const held = scene.someHeld(random)
  if (random.oneIn(2)) held?.keepArray()
  else held?.drop()
}

/** A borrower does what he may not do. */
function meddle(scene, random) {
  const held = scene.someHeld(random)
  const isRobber = random.oneIn(3)
  const own = new Random(random.below(2 ** 32))
  if (!held?.isLive || held.value.byteLength === 0) return
  if (!isRobber) return held.write(own)
  if (held.borrow && !held.entry.loans.isLeft) held.rob(own, scene.tally)
}

/** What is borrowed goes out itself, which it may, or is written to, which it may not. */
function lendOn(scene, random) {
  const held = scene.someHeld(random)
  const isTarget = random.oneIn(3)
  if (isTarget) {
    const user = someUser(scene, random)
    scene.entries.use(random, entry => {
      if (!held?.isLive) return
      const request = { verb: 'read', ranges: [[0, entry.handle.length]], target: held.piece() }
      scene.track(
        'read',
        fetch(random, user(entry), entry, request, () => {}),
      )
    })
    return
  }
  if (held?.isLive) goOut(scene, random, [held.piece()])
}

/** A call of what needs no waiting. */
function control(use) {
  return (scene, random) => {
    const world = random.pick(scene.worlds)
    const backend = random.pick(BACKENDS)
    const { error } = attempt(() => use(world, backend, scene) ?? {})
    new Verdict(world).judge(error, 'a control')
  }
}

function checkStats(world, _, scene) {
  const stats = world.controls.stats()
  const numbers = Object.values(stats).filter(value => typeof value === 'number')
  insist(
    numbers.every(value => Number.isInteger(value) && value >= 0),
    `odd statistics: ${JSON.stringify(stats)}`,
  )
  const live = scene.entries.live(world).length
  insist(stats.handles >= live, `${live} payloads are out, and the pager knows of ${stats.handles}`)
  insist(stats.storedBytes <= stats.payloadBytes, 'payloads take more than they have')
  insist(world.capacityBytes === undefined || stats.usedBytes <= world.capacityBytes, 'the capacity is exceeded')
}

function prefetch(scene, random) {
  const isWhole = random.oneIn(3)
  const user = someUser(scene, random)
  scene.entries.use(random, entry => {
    const { ranges, code } = isWhole ? {} : someRanges(random, entry.handle.length)
    const verdict = new Verdict(user(entry))
    entry.judgeHandle(verdict)
    if (code) verdict.faults.add(code)
    const { error } = attempt(() => user(entry).controls.prefetch(entry.handle, ranges) ?? {})
    verdict.judge(error, 'prefetch')
  })
}

/** A handle is sent away by its token and comes back as another one, here or by way of a thread. */
function moveAndAdopt(scene, random) {
  const isSent = random.oneIn(2)
  scene.entries.replace(random, async entry => {
    if (entry.content === undefined) return entry
    const verdict = new Verdict(entry.world)
    entry.judgeHandle(verdict)
    entry.loans.judge(verdict)
    // What was changed needs another place.
    if (entry.changes > 0) verdict.risk(() => ['ERR_PAGEOUT_CAPACITY'])
    const { error, token } = attempt(() => ({ token: entry.handle.move() }))
    verdict.judge(error, 'move')
    if (error) return entry
    entry.release()
    insist(entry.handle.released, 'a handle that was moved is not released')
    if (!isSent || !scene.adopter) {
      const adopted = entry.movedTo(Handle.adopt(token), scene.shared)
      refuseTwice(token)
      return adopted
    }
    const chunk = await scene.adopter.take(token)
    refuseTwice(token)
    insist(same(bytesOf(chunk), entry.content), 'other bytes came back in another thread')
    return undefined
  })
}

function refuseTwice(token) {
  const { error } = attempt(() => ({ handle: Handle.adopt(token) }))
  insist(
    error?.code === RELEASED,
    `a token was used before, and adopting it again came to ${error?.code ?? 'a handle'}`,
  )
}

export const OPERATIONS = [
  { name: 'piece', weight: 8, run: (scene, random) => scene.putPiece(random, scene.pieces.make(random)) },
  { name: 'pageout', weight: 24, run: out },
  { name: 'pageoutFrom', weight: 6, run: outFrom },
  { name: 'readAt', weight: 14, run: read('readAt') },
  { name: 'readAtMany', weight: 10, run: read('readAtMany') },
  { name: 'readMuch', weight: 2, run: readMuch },
  { name: 'stream', weight: 6, run: stream },
  { name: 'read', weight: 6, run: read('read') },
  { name: 'take', weight: 12, run: read('take') },
  { name: 'abort', weight: 8, run: (scene, random) => scene.abortOne(random) },
  { name: 'borrow', weight: 8, run: borrow(hold) },
  { name: 'borrowFor', weight: 6, run: borrow(borrowFor) },
  { name: 'giveBack', weight: 6, run: giveBack },
  { name: 'forgetBorrow', weight: 1, run: forgetBorrow },
  { name: 'meddle', weight: 1, run: meddle },
  { name: 'lendOn', weight: 3, run: lendOn },
  { name: 'release', weight: 3, run: release },
  { name: 'drop', weight: 3, run: (scene, random) => scene.entries.drop(random) },
  { name: 'spoil', weight: 8, run: (scene, random) => scene.somePiece(random).spoil(random) },
  { name: 'scribble', weight: 4, run: (scene, random) => scene.scribble(random) },
  { name: 'settle', weight: 4, run: scene => scene.settle() },
  { name: 'prefetch', weight: 3, run: prefetch },
  { name: 'stats', weight: 2, run: control(checkStats) },
  { name: 'trim', weight: 1, run: control(world => world.controls.trim()) },
  { name: 'setBackend', weight: 1, run: control((world, backend) => world.controls.setBackend(backend)) },
  { name: 'close', weight: 1, run: (scene, random) => scene.closeOne(random) },
  { name: 'closeBeside', weight: 1, run: closeBeside },
  { name: 'collect', weight: 1, run: (_, random) => globalThis.gc({ type: random.oneIn(8) ? 'major' : 'minor' }) },
  ...(typeof Handle.adopt === 'function' ? [{ name: 'move', weight: 4, run: moveAndAdopt }] : []),
]
