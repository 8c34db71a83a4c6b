// @vitest-environment jsdom
import { describeRoundTrips } from './round-trip.mjs'

describeRoundTrips('jsdom', true)
