//! Round trips of one payload on memory that all candidates share.

use std::io;
use std::mem;
use std::time::{Duration, Instant};

use crate::measure::{Candidate, Outcome, us_each};
use crate::payload::random_bytes;
use crate::stores::Store;

/// For so many timed trips, one goes before that nobody times; at least one does.
const TRIPS_PER_WARM_UP_TRIP: usize = 8;
/// Capacity of fresh vectors, whatever the payload. Longer than what any usual allocator recycles (glibc: 32 MiB), so that
/// its pages are new from the system each time and not by luck; those that are not touched cost nothing.
const FRESH_CAPACITY_BYTES: usize = 40 << 20;

/// Where the bytes come back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A vector that has been used before and is large enough.
    Reused,
    /// A vector in memory that is new to the process each time; page faults, and giving the memory back, are part of the
    /// trip.
    Fresh,
    /// A vector without any memory.
    Bare,
}

/// The memory of the trips.
pub(super) struct Buffers {
    destination: Destination,
    expected: Vec<u8>,
    /// Holds the payload.
    full: Vec<u8>,
    /// Empty; has room for the payload where destinations are reused.
    empty: Vec<u8>,
}

impl Buffers {
    pub(super) fn new(destination: Destination, payload_bytes: usize) -> Self {
        let expected = random_bytes(payload_bytes);
        // Touched, because memory that is new to the machine is slow.
        let mut empty = expected.clone();
        empty.clear();
        if destination != Destination::Reused {
            empty = Vec::new();
        }
        Self { destination, full: expected.clone(), empty, expected }
    }

    /// Makes a few trips that nobody times.
    pub(super) fn warm_up(&mut self, store: &impl Store, timed_trips: usize) -> io::Result<()> {
        self.trips(store, timed_trips / TRIPS_PER_WARM_UP_TRIP + 1)
    }

    pub(super) fn trips(&mut self, store: &impl Store, count: usize) -> io::Result<()> {
        for _ in 0..count {
            if self.destination == Destination::Fresh {
                self.empty = Vec::with_capacity(FRESH_CAPACITY_BYTES);
            }
            let ticket = store.out(std::slice::from_mut(&mut self.full))?;
            store.back(ticket, &mut self.empty)?;
            mem::swap(&mut self.full, &mut self.empty);
        }
        Ok(())
    }

    /// Proves that the bytes are still what they were; a trip that moved nothing leaves none.
    pub(super) fn check(&self) -> Outcome<()> {
        if self.full == self.expected { Ok(()) } else { Err("other bytes came back".into()) }
    }

    /// The time of `count` trips.
    fn timed(&mut self, store: &impl Store, count: usize) -> Outcome<Duration> {
        self.warm_up(store, count)?;
        let start = Instant::now();
        self.trips(store, count)?;
        let time = start.elapsed();
        self.check()?;
        Ok(time)
    }
}

/// A candidate that makes `count` trips a lap; its value is microseconds of a trip.
pub(super) fn candidate<'a>(name: &'static str, mut store: impl Store + 'a, count: usize) -> Candidate<'a, Buffers> {
    Candidate::new(name, move |buffers: &mut Buffers, _| {
        store.prepare()?;
        Ok(vec![Some(us_each(buffers.timed(&store, count)?, count))])
    })
}

/// Trips that move about `lap_bytes` one way.
pub(super) fn count(payload_bytes: usize, lap_bytes: usize) -> usize {
    (lap_bytes / payload_bytes).clamp(1, 512)
}
