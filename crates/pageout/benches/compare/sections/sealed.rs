//! What encryption costs: round trips, and small ranges, of payloads that stay in the page cache.

use std::time::{Duration, Instant};

use bytemuck::Pod;
use pageout::{Handle, Pager};

use super::Setting;
use super::trips::{self, Buffers, Destination};
use crate::measure::{Candidate, Outcome, in_turns, us_each};
use crate::payload::{KIB, MIB, Random, as_u64, length, random_bytes};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::SUBJECT;
use crate::stores::paged::Paged;

const SEALED: &str = "pageout with encryption";
const UNCHECKED: &str = "pageout without integrity";
const RANGE_BYTES: usize = 4 * KIB;

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    Ok(vec![round_trips(setting)?, ranges(setting)?])
}

fn head(id: &'static str, title: &'static str, note: &str) -> Head {
    let references = vec![SUBJECT, UNCHECKED];
    Head { id, title, note: note.to_owned(), unit: "us", better: Better::Less, subject: SEALED, references }
}

fn round_trips(setting: &Setting) -> Outcome<Table> {
    let note = "A payload of one vector goes out and comes back into a vector that has been used before.";
    let mut table = Measured::new(head("sealed-round-trip", "Round trip with encryption", note));
    for payload_bytes in [4 * KIB, 64 * KIB, MIB, 2 * MIB, 16 * MIB] {
        let count = trips::count(payload_bytes, setting.mode.pick(64 * MIB, 16 * MIB, 1));
        let mut buffers = Buffers::new(Destination::Reused, payload_bytes);
        let candidates = vec![
            trips::candidate(SEALED, Paged::sealed(&setting.site)?, count),
            trips::candidate(SUBJECT, Paged::new(&setting.site)?, count),
            trips::candidate(UNCHECKED, Paged::without_integrity(&setting.site)?, count),
        ];
        table.row(length(payload_bytes), &in_turns(setting.rounds(), &mut buffers, candidates)?, 0);
    }
    Ok(table.into())
}

fn ranges(setting: &Setting) -> Outcome<Table> {
    let note = "One page after another at random places of a payload, each by a read of its own into the same memory.";
    let mut table = Measured::new(head("sealed-ranges", "Ranges of 4 KiB with encryption, time of each", note));
    let payload = random_bytes(setting.mode.pick(64 * MIB, 64 * MIB, MIB));
    let count = setting.mode.pick(20_000, 5_000, 10);
    let candidates = [
        (SEALED, pager(&setting.site, true, true)?),
        (SUBJECT, pager(&setting.site, false, true)?),
        (UNCHECKED, pager(&setting.site, false, false)?),
    ];
    let candidates = candidates.into_iter().map(|(name, pager)| {
        let handle = pager.pageout_copy(&[&payload[..]])?;
        Ok(Candidate::new(name, {
            let payload = &payload;
            move |(), round| Ok(vec![Some(us_each(read_ranges(&handle, payload, count, round)?, count))])
        }))
    });
    let candidates: Outcome<Vec<_>> = candidates.collect();
    table.row(length(RANGE_BYTES), &in_turns(setting.rounds(), &mut (), candidates?)?, 0);
    Ok(table.into())
}

fn pager(site: &Site, encryption: bool, integrity: bool) -> Outcome<Pager> {
    Ok(Pager::builder().scratch_dir(site.path()).encryption(encryption).integrity(integrity).build()?)
}

/// The time of `count` reads of 4 KiB at random places, of which the last is compared.
pub(super) fn read_ranges<T: Pod + PartialEq>(handle: &Handle<T>, payload: &[T], count: usize, seed: usize) -> Outcome<Duration> {
    let range_len = RANGE_BYTES / size_of::<T>();
    let mut random = Random(as_u64(seed));
    let mut target = vec![T::zeroed(); range_len];
    let mut start = 0;
    let began = Instant::now();
    for _ in 0..count {
        start = random.below(payload.len() / range_len) * range_len;
        handle.read_into(start..start + range_len, &mut target)?;
    }
    let time = began.elapsed();
    if target == payload[start..start + range_len] { Ok(time) } else { Err("other bytes came back".into()) }
}
