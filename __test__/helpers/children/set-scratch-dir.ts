/**
 * Walks through the rules of setScratchDir, which hold for a whole process. Arguments: an unusable directory, a good one,
 * another name of it, and another good one.
 */

import { pageout, setScratchDir, stats, take } from 'pageout'
import { outcomeOf } from '../outcome.js'

const [unusable = '', good = '', alias = '', other = ''] = process.argv.slice(2)
const place = () => stats().scratchDir

const steps = {
  unusable: outcomeOf(() => setScratchDir(unusable)),
  placeAfterUnusable: place(),
  good: outcomeOf(() => setScratchDir(good)),
  placeAfterGood: place(),
  again: outcomeOf(() => setScratchDir(good)),
  alias: outcomeOf(() => setScratchDir(alias)),
  other: outcomeOf(() => setScratchDir(other)),
  unusableLater: outcomeOf(() => setScratchDir(unusable)),
  placeAtTheEnd: place(),
  sum: take(pageout(Uint8Array.of(1, 2, 3))).reduce((sum, byte) => sum + byte),
}
console.log(JSON.stringify(steps))
