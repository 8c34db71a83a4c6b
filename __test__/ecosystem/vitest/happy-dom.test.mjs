// @vitest-environment happy-dom
import { describeRoundTrips } from './round-trip.mjs'

describeRoundTrips('happy-dom', true)
