import keyvTestSuite from '@keyv/test-suite'
import Keyv from 'keyv'
import { PagedMap } from 'pageout/map/promises'
import * as test from 'vitest'
import { KeyvPageout } from './keyv-pageout.mjs'

// One map for all adapters, as there is one database for those of others, so that namespaces have something to keep apart.
const values = new PagedMap({ residentBytes: 2 ** 20 })
keyvTestSuite(test, Keyv, () => new KeyvPageout(values))
