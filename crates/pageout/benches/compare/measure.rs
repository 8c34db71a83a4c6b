//! Measuring in turns: in each round every candidate runs one lap. Another candidate begins each time, and every second
//! round goes backwards, so that nobody always comes behind the same one.

use std::error::Error;
use std::time::{Duration, Instant};

/// What can go wrong in a benchmark only has to be said.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a lap measured: one value for each row of a table, none where the candidate cannot do what the row is about.
pub(crate) type Lap = Vec<Option<f64>>;

/// Runs one lap on what is common to the candidates, in the round of this number.
type RunLap<'a, C> = dyn FnMut(&mut C, usize) -> Outcome<Lap> + 'a;

/// Something that is measured. `C` is what all candidates of a table work on.
pub(crate) struct Candidate<'a, C> {
    name: &'static str,
    lap: Box<RunLap<'a, C>>,
}

impl<'a, C> Candidate<'a, C> {
    pub(crate) fn new(name: &'static str, lap: impl FnMut(&mut C, usize) -> Outcome<Lap> + 'a) -> Self {
        Self { name, lap: Box::new(lap) }
    }
}

/// How often everything is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// Odd, so that there is a middle one.
    pub(crate) timed: usize,
    /// Rounds before that, measured and forgotten.
    pub(crate) warm_up: usize,
}

/// All laps of one candidate.
#[derive(Debug)]
pub(crate) struct Laps {
    pub(crate) candidate: &'static str,
    laps: Vec<Lap>,
}

impl Laps {
    /// Least, middle and greatest value of a row, if the candidate has any.
    pub(crate) fn spread(&self, row: usize) -> Option<Spread> {
        let mut values: Vec<f64> = self.laps.iter().filter_map(|lap| lap[row]).collect();
        values.sort_by(f64::total_cmp);
        Some(Spread { min: *values.first()?, median: values[values.len() / 2], max: *values.last()? })
    }
}

/// What rounds had in common, and how far they were apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// Measures all candidates.
///
/// # Errors
/// What a candidate failed with.
pub(crate) fn in_turns<C>(rounds: Rounds, common: &mut C, mut candidates: Vec<Candidate<'_, C>>) -> Outcome<Vec<Laps>> {
    let mut all: Vec<Laps> = candidates.iter().map(|candidate| Laps { candidate: candidate.name, laps: Vec::new() }).collect();
    for round in 0..rounds.warm_up + rounds.timed {
        for turn in 0..candidates.len() {
            let turn = if round % 2 == 0 { turn } else { candidates.len() - 1 - turn };
            let position = (round + turn) % candidates.len();
            let candidate = &mut candidates[position];
            let lap = (candidate.lap)(common, round).map_err(|error| format!("{}: {error}", candidate.name))?;
            if round >= rounds.warm_up {
                all[position].laps.push(lap);
            }
        }
    }
    Ok(all)
}

/// Times calls: all of them together, and the longest.
pub(crate) struct Clock {
    start: Instant,
    longest: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), longest: Duration::ZERO }
    }

    pub(crate) fn call<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = call();
        self.note(start.elapsed());
        result
    }

    /// Takes a call into account that somebody else has timed.
    pub(crate) fn note(&mut self, call: Duration) {
        self.longest = self.longest.max(call);
    }

    /// MB/s of `bytes` since the start, and the longest call in ms.
    pub(crate) fn rate(&self, bytes: usize) -> [Option<f64>; 2] {
        [Some(real(bytes) / 1e6 / self.start.elapsed().as_secs_f64()), Some(self.longest.as_secs_f64() * 1e3)]
    }
}

/// Microseconds of one of `count` equal parts.
pub(crate) fn us_each(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / real(count)
}

#[allow(clippy::cast_precision_loss, reason = "results have no more than four digits")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}
