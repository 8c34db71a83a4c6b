// @vitest-environment node
import { describeRoundTrips } from './round-trip.mjs'

describeRoundTrips('node', false)
