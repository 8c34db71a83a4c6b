//! Many payloads are out, and a random one is replaced again and again.

pub(super) mod facts;

use std::io;
use std::time::{Duration, Instant};

use super::Setting;
use crate::measure::{Candidate, Laps, Outcome, in_turns, us_each};
use crate::payload::{self, KIB, Random, random_bytes};
use crate::report::{Better, Head, Measured, Plot, Table};
use crate::stores::files::{NamedFiles, Slots};
use crate::stores::paged::Paged;
use crate::stores::{FILES, SLOTS, SUBJECT, Store};

pub(super) const ID: &str = "churn";

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    Ok(vec![medium(setting)?, small(setting)?, facts::run(setting)?])
}

/// How many payloads there are, how long, and how many of them a lap replaces.
#[derive(Clone, Copy)]
struct Size {
    live: usize,
    payload_bytes: usize,
    replacements: usize,
}

fn medium(setting: &Setting) -> Outcome<Table> {
    let (live, replacements) = (setting.mode.pick(10_000, 4_000, 8), setting.mode.pick(5_000, 2_000, 4));
    let size = Size { live, payload_bytes: 64 * KIB, replacements };
    let candidates = vec![
        candidate(SUBJECT, Paged::new(&setting.site)?, size)?,
        candidate(FILES, NamedFiles::new(&setting.site)?, size)?,
        candidate(SLOTS, Slots::new(&setting.site, size.payload_bytes)?, size)?,
    ];
    let laps = in_turns(setting.rounds(), &mut (), candidates)?;
    let note = format!(
        "{live} payloads of 64 KiB are out. A replacement takes a random one back and puts one of the same length out; \
         {replacements} a round. The sets of all candidates stay out the whole time, so they share the page cache."
    );
    Ok(table("churn-64-kib", "Random replacement, payloads of 64 KiB", note, vec![FILES, SLOTS], &laps))
}

fn small(setting: &Setting) -> Outcome<Table> {
    let (live, replacements) = (setting.mode.pick(1_000_000, 200_000, 8), setting.mode.pick(50_000, 10_000, 4));
    let (live_files, replacements_files) = (setting.mode.pick(20_000, 5_000, 8), setting.mode.pick(5_000, 1_000, 4));
    let size = Size { live, payload_bytes: 4 * KIB, replacements };
    let size_files = Size { live: live_files, payload_bytes: 4 * KIB, replacements: replacements_files };
    let candidates = vec![
        candidate(SUBJECT, Paged::new(&setting.site)?, size)?,
        candidate(FILES, NamedFiles::new(&setting.site)?, size_files)?,
    ];
    let laps = in_turns(setting.rounds(), &mut (), candidates)?;
    let note = format!(
        "As above, but {live} payloads of 4 KiB for pageout. A file for each of so many takes minutes to make and to remove, \
         so that rival has only {live_files}, which flatters it. {replacements} and {replacements_files} replacements a \
         round."
    );
    Ok(table("churn-4-kib", "Random replacement, payloads of 4 KiB", note, vec![FILES], &laps))
}

/// A lap's values behind its mean: percentiles of the time of a replacement.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 100.0];

fn table(id: &'static str, title: &'static str, note: String, references: Vec<&'static str>, laps: &[Laps]) -> Table {
    let (unit, better) = ("us", Better::Less);
    let mut table = Measured::new(Head { id, title, note, unit, better, subject: SUBJECT, references, plot: Plot::Curve });
    table.row("a replacement, mean", laps, 0);
    let points: Vec<(f64, usize)> = PERCENTILES.into_iter().zip(1..).collect();
    table.curves(&points, laps);
    for (name, row) in [("p50", 1), ("p99", 3), ("longest", 5)] {
        table.row(name, laps, row);
    }
    table.into()
}

fn candidate<'a, S: Store + 'a>(name: &'static str, store: S, size: Size) -> Outcome<Candidate<'a, ()>> {
    let mut set = Set::fill(store, size.live, size.payload_bytes)?;
    Ok(Candidate::new(name, move |(), round| {
        set.store.prepare()?;
        let mut random = Random(payload::as_u64(round));
        let times: Outcome<Vec<Duration>> = (0..size.replacements).map(|_| set.replace(random.below(size.live))).collect();
        let mut times = times?;
        times.sort_unstable();
        let mean = us_each(times.iter().sum(), times.len());
        let percentiles = PERCENTILES.map(|percentile| us_each(at(&times, percentile), 1));
        Ok([mean].into_iter().chain(percentiles).map(Some).collect())
    }))
}

/// The value that so many percent of the ascending values do not exceed.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a position in a list")]
fn at(ascending: &[Duration], percentile: f64) -> Duration {
    let rank = (crate::measure::real(ascending.len()) * percentile / 100.0).ceil() as usize;
    ascending[rank.clamp(1, ascending.len()) - 1]
}

/// Payloads that are out, each with its number in front.
struct Set<S: Store> {
    store: S,
    /// None while a payload is replaced.
    tickets: Vec<Option<S::Ticket>>,
    pattern: Vec<u8>,
    /// Empty; has room for one payload.
    buffer: Vec<u8>,
}

impl<S: Store> Set<S> {
    fn fill(store: S, live: usize, payload_bytes: usize) -> io::Result<Self> {
        let pattern = random_bytes(payload_bytes);
        let mut set = Self { store, tickets: Vec::with_capacity(live), buffer: Vec::with_capacity(payload_bytes), pattern };
        for number in 0..live {
            payload::make(&mut set.buffer, &set.pattern, number);
            let ticket = set.store.out(std::slice::from_mut(&mut set.buffer))?;
            set.tickets.push(Some(ticket));
        }
        Ok(set)
    }

    /// The time of a take and a pageout.
    fn replace(&mut self, victim: usize) -> Outcome<Duration> {
        let ticket = self.tickets[victim].take().ok_or("a payload was lost")?;
        let start = Instant::now();
        self.store.back(ticket, &mut self.buffer)?;
        let back = start.elapsed();
        if !payload::is(&self.buffer, &self.pattern, victim) {
            return Err(format!("payload {victim} did not come back").into());
        }
        let start = Instant::now();
        self.tickets[victim] = Some(self.store.out(std::slice::from_mut(&mut self.buffer))?);
        Ok(back + start.elapsed())
    }
}
