import tests from 'abstract-chunk-store/tests/index.js'
import tape from 'tape'
import { PagedChunkStore } from './paged-chunk-store.mjs'

tests(tape, PagedChunkStore)
