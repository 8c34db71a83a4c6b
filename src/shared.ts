/** The process-wide pager as this thread sees it. Both entry points of the package use it. */

import { Engine } from './engine.js'

export const shared = Engine.shared()
