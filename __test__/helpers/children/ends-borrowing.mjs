/** A process that ends while it has borrowed all of a budget. Arguments: the scratch directory, how, and the bytes of the budget. */

import { MemoryBudget } from 'pageout'
import { borrowAll, end } from '../borrowing.mjs'

const [scratchDir, how, budgetBytes] = process.argv.slice(2)
globalThis.held = await borrowAll(new MemoryBudget(Number(budgetBytes)), scratchDir, { wait: how !== 'return' })
end(how)
