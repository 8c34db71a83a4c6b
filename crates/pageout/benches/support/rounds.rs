//! Measuring in turns: in each round every candidate makes a batch of trips, and another candidate begins.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::candidates::{Candidate, Named, RIVAL};

/// For so many timed trips, one goes before that nobody times; at least one does.
const TRIPS_PER_WARM_UP_TRIP: u32 = 8;
const US_PER_SECOND: f64 = 1e6;

/// Where the bytes come back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A vector that has been used before and is large enough.
    Reused,
    /// A vector in memory that is new to the process each time; page faults, and giving the memory back, are part of the
    /// trip.
    Fresh,
}

impl fmt::Display for Destination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Reused => "Destination: a vector used before",
            Self::Fresh => "Destination: a new vector in memory new to the process each time",
        })
    }
}

/// How often everything is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Odd, so that there is a middle one.
    pub(crate) rounds: usize,
    /// Rounds before that, measured and forgotten.
    pub(crate) warm_up_rounds: usize,
    /// Bytes that a batch moves one way, within the bounds below.
    batch_bytes: usize,
    trips_min: u32,
    trips_max: u32,
}

impl Plan {
    pub(crate) const FULL: Self = Self { rounds: 31, warm_up_rounds: 3, batch_bytes: 64 << 20, trips_min: 8, trips_max: 256 };
    pub(crate) const QUICK: Self = Self { rounds: 7, warm_up_rounds: 1, batch_bytes: 32 << 20, trips_min: 4, trips_max: 128 };
    pub(crate) const SMOKE: Self = Self { rounds: 1, warm_up_rounds: 0, batch_bytes: 0, trips_min: 1, trips_max: 1 };

    /// Timed trips of one batch.
    fn trips(&self, payload_bytes: usize) -> u32 {
        u32::try_from(self.batch_bytes / payload_bytes).unwrap_or(u32::MAX).clamp(self.trips_min, self.trips_max)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} rounds after {} to warm up, ", self.rounds, self.warm_up_rounds)?;
        write!(out, "{} to {} trips of each candidate a round", self.trips_min, self.trips_max)
    }
}

/// What was measured for one candidate, payload and destination; a round counts with its mean time per trip.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) destination: Destination,
    pub(crate) payload_bytes: usize,
    pub(crate) candidate: &'static str,
    pub(crate) trips_per_round: u32,
    pub(crate) min_us: f64,
    pub(crate) median_us: f64,
    pub(crate) max_us: f64,
    /// How many times as long the file-per-payload rival's median is.
    pub(crate) speed_up: f64,
}

/// Measures all candidates with one payload and destination.
///
/// # Errors
/// What a candidate failed with, or that it brought other bytes back.
pub(crate) fn measure(
    plan: &Plan,
    destination: Destination,
    payload_bytes: usize,
    mut candidates: Vec<Named>,
) -> io::Result<Vec<Row>> {
    let trips = plan.trips(payload_bytes);
    let mut buffers = Buffers::new(destination, payload_bytes);
    for named in &mut candidates {
        buffers.check(named)?;
    }
    let mut times_us: Vec<Vec<f64>> = candidates.iter().map(|_| Vec::with_capacity(plan.rounds)).collect();
    for round in 0..plan.warm_up_rounds + plan.rounds {
        for turn in 0..candidates.len() {
            let position = (round + turn) % candidates.len();
            let batch = buffers.batch(&mut *candidates[position].candidate, trips)?;
            if round >= plan.warm_up_rounds {
                times_us[position].push(batch.as_secs_f64() * US_PER_SECOND / f64::from(trips));
            }
        }
    }
    for times in &mut times_us {
        times.sort_by(f64::total_cmp);
    }
    let names = candidates.iter().map(|named| named.name);
    let rival = names.clone().position(|name| name == RIVAL).expect("the rival is a candidate");
    let rival_median_us = median(&times_us[rival]);
    let rows = names.zip(&times_us).map(|(candidate, times)| Row {
        destination,
        payload_bytes,
        candidate,
        trips_per_round: trips,
        min_us: times[0],
        median_us: median(times),
        max_us: times[times.len() - 1],
        speed_up: rival_median_us / median(times),
    });
    Ok(rows.collect())
}

/// The median of an odd number of ascending values.
fn median(ascending: &[f64]) -> f64 {
    ascending[ascending.len() / 2]
}

/// The memory that all candidates use.
struct Buffers {
    destination: Destination,
    expected: Vec<u8>,
    /// Holds the payload.
    full: Vec<u8>,
    /// Empty; has room for the payload where destinations are reused.
    empty: Vec<u8>,
}

impl Buffers {
    fn new(destination: Destination, payload_bytes: usize) -> Self {
        let expected = random_bytes(payload_bytes);
        Self { destination, full: expected.clone(), empty: Vec::with_capacity(payload_bytes), expected }
    }

    /// Proves that the candidate brings the bytes back, into a vector that did not hold them before.
    fn check(&mut self, named: &mut Named) -> io::Result<()> {
        named.candidate.prepare()?;
        self.empty = vec![0; self.expected.len()];
        self.empty.clear();
        self.trip(&mut *named.candidate)?;
        if self.full == self.expected { Ok(()) } else { Err(io::Error::other(format!("{}: other bytes came back", named.name))) }
    }

    /// The time of `trips` trips, after a few that nobody times.
    fn batch(&mut self, candidate: &mut dyn Candidate, trips: u32) -> io::Result<Duration> {
        candidate.prepare()?;
        for _ in 0..=trips / TRIPS_PER_WARM_UP_TRIP {
            self.trip(candidate)?;
        }
        let start = Instant::now();
        for _ in 0..trips {
            self.trip(candidate)?;
        }
        Ok(start.elapsed())
    }

    fn trip(&mut self, candidate: &mut dyn Candidate) -> io::Result<()> {
        if self.destination == Destination::Fresh {
            self.empty = candidate.fresh();
        }
        candidate.round_trip(&mut self.full, &mut self.empty)?;
        std::mem::swap(&mut self.full, &mut self.empty);
        Ok(())
    }
}

/// Bytes that no file system or candidate can guess, the same in every run (`SplitMix64`).
fn random_bytes(len_bytes: usize) -> Vec<u8> {
    let mut state = 0u64;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(len_bytes).collect()
}
