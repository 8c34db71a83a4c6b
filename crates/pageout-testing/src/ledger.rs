//! The account of a sweep: which distinct fault points were hit, and which of those that can be hit were not.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;

use super::tell;

/// One way in which one call of one operation goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub operation: &'static str,
    pub call: &'static str,
    /// Number of the call among those of its kind, from zero.
    pub index: u64,
    /// What the call says or does.
    pub outcome: String,
    /// Once, or how else.
    pub lasts: String,
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, call, index, outcome, lasts } = self;
        write!(out, "{operation}: {call} number {index}: {outcome}, {lasts}")
    }
}

/// The points of one mode.
#[derive(Debug)]
pub struct Ledger {
    mode: String,
    reachable: BTreeSet<Point>,
    hit: BTreeSet<Point>,
}

impl Ledger {
    pub fn new(mode: impl Into<String>) -> Self {
        Self { mode: mode.into(), reachable: BTreeSet::new(), hit: BTreeSet::new() }
    }

    /// A point that the fault-free run says is there, and whether its fault hit.
    pub fn enter(&mut self, point: Point, hit: bool) {
        if hit {
            self.hit.insert(point.clone());
        }
        self.reachable.insert(point);
    }

    /// Prints the number of points hit, and gives it.
    ///
    /// # Panics
    /// When it is below `floor`, or when a point that can be hit was not.
    pub fn close(self, floor: usize) -> usize {
        let missed: Vec<String> = self.reachable.difference(&self.hit).map(ToString::to_string).collect();
        assert!(missed.is_empty(), "{}: {} points were never hit:\n{}", self.mode, missed.len(), missed.join("\n"));
        let count = self.hit.len();
        tell(&format!("{LEDGER}{}: {count} distinct fault points", self.mode));
        assert!(count >= floor, "{}: {count} fault points are fewer than {floor}", self.mode);
        count
    }
}

/// The beginning of a line with a number of points, which a process of its own hands on.
pub const LEDGER: &str = "ledger: ";

/// The points of all modes of a sweep, each of which is a test of its own.
#[derive(Debug)]
pub struct Total {
    sweep: &'static str,
    modes: usize,
    floor: usize,
    counts: Mutex<Vec<usize>>,
}

impl Total {
    pub const fn new(sweep: &'static str, modes: usize, floor: usize) -> Self {
        Self { sweep, modes, floor, counts: Mutex::new(Vec::new()) }
    }

    /// Adds the points of a mode; the last mode prints the sum.
    ///
    /// # Panics
    /// When the sum is below the floor.
    pub fn add(&self, count: usize) {
        let mut counts = self.counts.lock().expect("nobody panics but the last");
        counts.push(count);
        if counts.len() == self.modes {
            let sum: usize = counts.iter().sum();
            tell(&format!("{LEDGER}{}, all {} modes: {sum} distinct fault points", self.sweep, self.modes));
            assert!(sum >= self.floor, "{}: {sum} fault points are fewer than {}", self.sweep, self.floor);
        }
    }
}
