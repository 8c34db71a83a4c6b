require('./round-trip.js').describeRoundTrips('node', false)
