/** @jest-environment jsdom */
require('./round-trip.js').describeRoundTrips('jsdom', true)
