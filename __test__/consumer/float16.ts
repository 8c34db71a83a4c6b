/** The youngest of the typed arrays, for libraries that know it. */

import { pageout, readAt } from 'pageout'

const halves: Float16Array<ArrayBuffer> = readAt(pageout(new Float16Array(4)), 0, 2)
// @ts-expect-error two classes of two bytes are still two
const shorts: Int16Array = halves

export { shorts }
