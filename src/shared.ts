/** The process-wide pager as this thread sees it. Both entry points of the package use it. */

import { Engine } from './engine.js'
import { adoptBy } from './handle.js'

export const shared = Engine.shared()
adoptBy(token => shared.receive(token))
