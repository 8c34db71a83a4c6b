//! What compression costs: round trips, and small ranges, of payloads that stay in the page cache.

use std::time::{Duration, Instant};

use pageout::{Compression, Pager, TakeError};

use super::sealed::read_ranges;
use super::{Setting, trips};
use crate::measure::{Candidate, Outcome, in_turns, us_each};
use crate::payload::{KIB, MIB, Random, length};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::SUBJECT;

const COMPRESSED: &str = "pageout with compression";
const SEALED: &str = "pageout with encryption";
const BOTH: &str = "pageout with both";

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    Ok(vec![round_trips(setting)?, ranges(setting)?])
}

/// What a column holds.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Times in milliseconds, each some seconds after the one before: an eighth of their length.
    Times,
    /// A float that walks in steps of a hundredth: not half of its length.
    Walk,
    /// Bits that nobody can guess.
    Random,
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Times => "times",
            Self::Walk => "a walk",
            Self::Random => "random bits",
        }
    }

    pub(super) fn make(self, len: usize) -> Vec<u64> {
        let mut random = Random(1);
        let (mut time, mut walk) = (1_700_000_000_000, 10_000u32);
        let mut next = || match self {
            Self::Times => {
                time += random.next() % 8_000;
                time
            }
            Self::Walk => {
                walk = walk + u32::try_from(random.next() % 21).expect("a short step") - 10;
                (f64::from(walk) / 100.0).to_bits()
            }
            Self::Random => random.next(),
        };
        (0..len).map(|_| next()).collect()
    }
}

fn head(id: &'static str, title: &'static str, note: &str) -> Head {
    let references = vec![SUBJECT, SEALED, BOTH];
    Head { id, title, note: note.to_owned(), unit: "us", better: Better::Less, subject: COMPRESSED, references }
}

/// The candidates' pagers.
fn pagers(site: &Site) -> Outcome<[(&'static str, Pager); 4]> {
    let pager = |compression, encryption| {
        Pager::builder().scratch_dir(site.path()).compression(compression).encryption(encryption).build()
    };
    Ok([
        (COMPRESSED, pager(Compression::Lz4, false)?),
        (SUBJECT, pager(Compression::None, false)?),
        (SEALED, pager(Compression::None, true)?),
        (BOTH, pager(Compression::Lz4, true)?),
    ])
}

fn round_trips(setting: &Setting) -> Outcome<Table> {
    let note = "A column goes out and comes back into a vector that has been used before.";
    let mut table = Measured::new(head("compressed-round-trip", "Round trip with compression", note));
    for column in [Column::Times, Column::Walk, Column::Random] {
        for payload_bytes in [64 * KIB, 2 * MIB, 16 * MIB] {
            let count = trips::count(payload_bytes, setting.mode.pick(64 * MIB, 16 * MIB, 1));
            let expected = column.make(payload_bytes / size_of::<u64>());
            let candidates = pagers(&setting.site)?.map(|(name, pager)| {
                let expected = &expected;
                Candidate::new(name, move |(full, empty): &mut (Vec<u64>, Vec<u64>), _| {
                    timed(&pager, full, empty, count / 8 + 1)?;
                    let time = timed(&pager, full, empty, count)?;
                    if full == expected { Ok(vec![Some(us_each(time, count))]) } else { Err("other bytes came back".into()) }
                })
            });
            let mut memory = (expected.clone(), expected.clone());
            let measured = in_turns(setting.rounds(), &mut memory, candidates.into())?;
            table.row(format!("{} of {}", length(payload_bytes), column.name()), &measured, 0);
        }
    }
    Ok(table.into())
}

/// The time of `count` trips of `full`, which comes back to it.
fn timed(pager: &Pager, full: &mut Vec<u64>, empty: &mut Vec<u64>, count: usize) -> Outcome<Duration> {
    let start = Instant::now();
    for _ in 0..count {
        let handle = pager.pageout(std::slice::from_mut(full))?;
        pager.take(handle, empty).map_err(TakeError::into_error)?;
        std::mem::swap(full, empty);
    }
    Ok(start.elapsed())
}

fn ranges(setting: &Setting) -> Outcome<Table> {
    let note = "One range after another at random places of a column, each by a read of its own into the same memory.";
    let mut table = Measured::new(head("compressed-ranges", "Ranges of 4 KiB with compression, time of each", note));
    let count = setting.mode.pick(20_000, 5_000, 10);
    for column in [Column::Times, Column::Walk, Column::Random] {
        let expected = column.make(setting.mode.pick(64 * MIB, 64 * MIB, MIB) / size_of::<u64>());
        let candidates = pagers(&setting.site)?.into_iter().map(|(name, pager)| {
            let handle = pager.pageout_copy(&[&expected[..]])?;
            let expected = &expected;
            Ok(Candidate::new(name, move |(), round| {
                Ok(vec![Some(us_each(read_ranges(&handle, expected, count, round)?, count))])
            }))
        });
        let candidates: Outcome<Vec<_>> = candidates.collect();
        table.row(column.name().to_owned(), &in_turns(setting.rounds(), &mut (), candidates?)?, 0);
    }
    Ok(table.into())
}
