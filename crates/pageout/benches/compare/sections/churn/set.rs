//! A set of payloads in a process that does nothing else, and what it costs there.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::PERCENTILES;
use crate::machine;
use crate::measure::{Lap, Outcome, real, us_each};
use crate::payload::{self, Random, random_bytes};
use crate::site::Site;
use crate::stores::budgeted::Budgeted;
use crate::stores::files::{NamedFiles, Slots};
use crate::stores::paged::Paged;
use crate::stores::{BUDGET, FILES, SLOTS, SUBJECT, Store};

/// For so many timed replacements, one goes before that nobody times.
const REPLACEMENTS_PER_WARM_UP: usize = 8;
/// Of so many payloads, one has room in the memory budget.
const PAYLOADS_PER_ROOM: usize = 2;

/// Runs one lap.
pub(in crate::sections) fn be_child(candidate: &str, site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let &[live, payload_bytes, replacements] = numbers else {
        return Err("how many payloads, how long, how many replacements?".into());
    };
    let before = Census::take(site)?;
    match candidate {
        BUDGET => {
            let store = Budgeted::new(site, live / PAYLOADS_PER_ROOM * payload_bytes)?;
            lap(site, &before, Set::fill(store, live, payload_bytes)?, replacements)
        }
        SUBJECT => lap(site, &before, Set::fill(Paged::new(site)?, live, payload_bytes)?, replacements),
        FILES => lap(site, &before, Set::fill(NamedFiles::new(site)?, live, payload_bytes)?, replacements),
        SLOTS => lap(site, &before, Set::fill(Slots::new(site, payload_bytes)?, live, payload_bytes)?, replacements),
        other => Err(format!("{other} is no candidate").into()),
    }
}

/// Mean and percentiles of the times, then descriptors, files, and bytes of memory for each payload.
fn lap<S: Store>(site: &Site, before: &Census, mut set: Set<S>, replacements: usize) -> Outcome<Lap> {
    let after = Census::take(site)?;
    let names = set.store.count_names()?;
    set.store.prepare()?;
    let mut random = Random(0);
    let mut replace = |count: usize| -> Outcome<Vec<Duration>> { (0..count).map(|_| set.replace_any(&mut random)).collect() };
    replace(replacements / REPLACEMENTS_PER_WARM_UP)?;
    let mut times = replace(replacements)?;
    times.sort_unstable();
    let mean = us_each(times.iter().sum(), times.len());
    let percentiles = PERCENTILES.map(|percentile| us_each(at(&times, percentile), 1));
    let times = [mean].into_iter().chain(percentiles).map(Some);
    let counts = [after.descriptors - before.descriptors, after.unnamed - before.unnamed + names].map(|count| Some(real(count)));
    let resident = before.resident_bytes.zip(after.resident_bytes);
    let bytes = resident.map(|(before, after)| real(after.saturating_sub(before)) / real(set.tickets.len()));
    Ok(times.chain(counts).chain([bytes]).collect())
}

/// The value that so many percent of the ascending values do not exceed.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a position in a list")]
fn at(ascending: &[Duration], percentile: f64) -> Duration {
    let rank = (real(ascending.len()) * percentile / 100.0).ceil() as usize;
    ascending[rank.clamp(1, ascending.len()) - 1]
}

/// What this process has.
struct Census {
    descriptors: usize,
    /// Open files of the site without a name, however often each is open.
    unnamed: usize,
    resident_bytes: Option<usize>,
}

impl Census {
    fn take(site: &Site) -> io::Result<Self> {
        let inodes = site.unnamed_files()?.iter().map(|path| Ok(fs::metadata(path)?.ino())).collect::<io::Result<HashSet<u64>>>();
        Ok(Self {
            descriptors: fs::read_dir("/dev/fd")?.count(),
            unnamed: inodes?.len(),
            resident_bytes: machine::resident_bytes(),
        })
    }
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

    /// The time of a take and a pageout; checking what came back is not part of it.
    fn replace_any(&mut self, random: &mut Random) -> Outcome<Duration> {
        let victim = random.below(self.tickets.len());
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
