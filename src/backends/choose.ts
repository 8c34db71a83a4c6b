/** The backend of a payload or a request. */

import type { Backend } from '../model/types.js'
import type { PayloadBackend } from './backend.js'
import { file } from './file.js'
import { swap } from './swap.js'

/** The backend that a payload or a request names. */
export function backendOf({ backend }: { readonly backend: Backend }): PayloadBackend {
  return backend === 'swap' ? swap : file
}
