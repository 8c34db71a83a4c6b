//! New memory: vectors are made, go out and are freed, and what comes back goes into vectors that are new too. Nothing is reused
//! but by the allocator, which keeps what is freed; no candidate gives memory back to the system by itself.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use super::Setting;
use crate::measure::{Candidate, Lap, Outcome, in_turns, us_each};
use crate::payload::{self, KIB, MIB, length, random_bytes};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::files::{NamedFiles, Slots};
use crate::stores::paged::Paged;
use crate::stores::{FILES, SLOTS, SUBJECT, Store};

/// What a row is about, in the order of a lap's values.
const PARTS: [&str; 4] = ["made, out and back", "made", "out", "back"];
const DROPPED_PARTS: [&str; 3] = ["made, out and dropped", "made", "out"];

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let batch_bytes = setting.mode.pick(32 * MIB, 32 * MIB, 0);
    let kept_bytes = setting.mode.pick(128 * MIB, 64 * MIB, 0);
    let mut back = table(
        "fresh",
        "New memory goes out and comes back",
        format!(
            "Batches of {}: all vectors are made, all go out and are freed, and all come back into new ones. Time of one payload.",
            length(batch_bytes)
        ),
    );
    let mut dropped = table(
        "fresh-never-back",
        "New memory goes out and never comes back",
        format!(
            "As above, but {} stay out, and the oldest payloads are dropped unread. Time of one payload.",
            length(kept_bytes)
        ),
    );
    for payload_bytes in [4 * KIB, 64 * KIB, MIB, 2 * MIB, 16 * MIB] {
        let expected = random_bytes(payload_bytes);
        let count = (batch_bytes / payload_bytes).max(1);
        let laps = in_turns(setting.rounds(), &mut (), candidates(&setting.site, &expected, Work { count, kept: None })?)?;
        for (row, part) in PARTS.into_iter().enumerate() {
            back.row(format!("{}, {part}", length(payload_bytes)), &laps, row);
        }
        let kept = Some(kept_bytes / payload_bytes);
        let laps = in_turns(setting.rounds(), &mut (), candidates(&setting.site, &expected, Work { count, kept })?)?;
        for (row, part) in DROPPED_PARTS.into_iter().enumerate() {
            dropped.row(format!("{}, {part}", length(payload_bytes)), &laps, row);
        }
    }
    Ok(vec![back.into(), dropped.into()])
}

fn table(id: &'static str, title: &'static str, note: String) -> Measured {
    Measured::new(Head { id, title, note, unit: "us", better: Better::Less, subject: SUBJECT, references: vec![FILES, SLOTS] })
}

/// What a lap does.
#[derive(Clone, Copy)]
struct Work {
    /// Payloads of a batch.
    count: usize,
    /// How many stay out; without a number all come back.
    kept: Option<usize>,
}

fn candidates<'a>(site: &'a Site, expected: &'a [u8], work: Work) -> Outcome<Vec<Candidate<'a, ()>>> {
    Ok(vec![
        candidate(SUBJECT, Paged::new(site)?, expected, work),
        candidate("pageout without integrity", Paged::without_integrity(site)?, expected, work),
        candidate(FILES, NamedFiles::new(site)?, expected, work),
        candidate(SLOTS, Slots::new(site, expected.len())?, expected, work),
    ])
}

fn candidate<'a, S: Store + 'a>(name: &'static str, mut store: S, expected: &'a [u8], work: Work) -> Candidate<'a, ()> {
    let mut kept = VecDeque::new();
    Candidate::new(name, move |(), _| {
        store.prepare()?;
        // One batch before that nobody times, after which the allocator has what this candidate needs.
        batch(&store, expected, work, &mut kept)?;
        batch(&store, expected, work, &mut kept)
    })
}

/// Microseconds of a payload: all of it, and its parts.
fn batch<S: Store>(store: &S, expected: &[u8], work: Work, kept: &mut VecDeque<S::Ticket>) -> Outcome<Lap> {
    let start = Instant::now();
    let mut vectors: Vec<Vec<u8>> = (0..work.count).map(|_| expected.to_vec()).collect();
    let made = start.elapsed();
    for (number, vector) in vectors.iter_mut().enumerate() {
        vector[..8].copy_from_slice(&payload::as_u64(number).to_le_bytes());
    }
    let start = Instant::now();
    let tickets =
        vectors.into_iter().map(|mut vector| store.out(std::slice::from_mut(&mut vector))).collect::<io::Result<Vec<_>>>()?;
    let out = start.elapsed();
    let start = Instant::now();
    let mut results = Vec::with_capacity(tickets.len());
    if let Some(limit) = work.kept {
        kept.extend(tickets);
        for ticket in kept.drain(..kept.len().saturating_sub(limit)) {
            store.forget(ticket)?;
        }
    } else {
        for ticket in tickets {
            let mut result = Vec::new();
            store.back(ticket, &mut result)?;
            results.push(result);
        }
    }
    let back = start.elapsed();
    if !results.iter().enumerate().all(|(number, result)| payload::is(result, expected, number)) {
        return Err("other bytes came back".into());
    }
    let whole = us_each(made + out + back, work.count);
    let parts = [made, out, back].map(|time| Some(us_each(time, work.count)));
    Ok([Some(whole)].into_iter().chain(parts).collect())
}
