//! What entries of a budget cost, and what leaving costs after a borrow.

use pageout::{Handle, Pager};

use super::Setting;
use crate::child::Task;
use crate::machine;
use crate::measure::{Candidate, Lap, Outcome, Rounds, in_turns, real};
use crate::payload::{self, KIB, MIB, as_u64, random_bytes};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::{BUDGET, SUBJECT};
use crate::system;

pub(super) const TASK: usize = 1;

const PAYLOAD_BYTES: usize = 4 * KIB;
/// A budget in which next to nothing stays.
const SMALL_BYTES: usize = MIB;
/// Of so many payloads that are borrowed in turns, one has room.
const PAYLOADS_PER_ROOM: usize = 4;

pub(super) fn run(setting: &Setting) -> Outcome<Table> {
    let payloads = setting.mode.pick(100_000, 20_000, 1_000);
    let mut table = Measured::new(Head {
        id: "budget-facts",
        title: "What a budget costs",
        note: format!(
            "{payloads} payloads of 4 KiB, in processes of their own. Memory is what the allocator was asked for, by payload: \
             checksums and book-keeping, without the handles and without the payloads. Then all are borrowed in turns by a budget \
             that has room for a quarter: each brings one in, and one leaves that has been written before."
        ),
        unit: "bytes",
        better: Better::Less,
        subject: BUDGET,
        references: vec![SUBJECT],
    });
    let candidates = [BUDGET, SUBJECT].map(|candidate| {
        Candidate::new(candidate, move |(), _| {
            Task { section: super::ID, candidate, site: &setting.site, numbers: &[TASK, payloads] }.run(None)
        })
    });
    let laps = in_turns(Rounds { timed: 1, warm_up: 0 }, &mut (), candidates.into())?;
    table.row("memory of a payload on disk", &laps, 0);
    table.row("memory of a payload in memory, beside its own", &laps, 1);
    table.row_in("payloads that left after a borrow", "count", Better::More, &laps, 2);
    table.row_in("those of them that were written for it", "count", Better::Less, &laps, 3);
    table.row("bytes that all write calls wrote meanwhile", &laps, 4);
    Ok(table.into())
}

pub(super) fn be_child(candidate: &str, site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let &[payloads] = numbers else { return Err("how many payloads?".into()) };
    let entry_bytes = |resident_bytes, is_resident| entry_bytes(site, payloads, resident_bytes, is_resident).map(Some);
    if candidate == SUBJECT {
        return Ok(vec![entry_bytes(0, false)?, None, None, None, None]);
    }
    let memory = [entry_bytes(SMALL_BYTES, false)?, entry_bytes(payloads * PAYLOAD_BYTES, true)?];
    Ok([&memory[..], &leaving(site, payloads)?].concat())
}

/// What one payload more makes the heap grow by, beside the payload itself.
fn entry_bytes(site: &Site, payloads: usize, resident_bytes: usize, is_resident: bool) -> Outcome<f64> {
    let pager = pager(site, resident_bytes)?;
    // The first payload makes what all share.
    let first = pager.pageout_vec(vec![0; PAYLOAD_BYTES]).map_err(pageout::PageoutError::into_error)?;
    let mut handles = Vec::with_capacity(payloads);
    let (grown_bytes, outcome) = system::heap_growth(|| fill(&pager, payloads, &mut handles));
    outcome?;
    let kept_bytes = pager.stats().resident_bytes;
    if is_resident && kept_bytes < as_u64((payloads - 1) * PAYLOAD_BYTES) {
        return Err(format!("only {kept_bytes} bytes are in memory").into());
    }
    drop(first);
    Ok((grown_bytes - real(usize::try_from(kept_bytes)?)) / real(payloads))
}

/// How many payloads leave after a borrow, how many of them with a write, and what was written.
fn leaving(site: &Site, payloads: usize) -> Outcome<[Option<f64>; 3]> {
    let pager = pager(site, payloads / PAYLOADS_PER_ROOM * PAYLOAD_BYTES)?;
    let mut handles = Vec::with_capacity(payloads);
    fill(&pager, payloads, &mut handles)?;
    let borrow_all = || handles.iter().try_for_each(|handle| handle.borrow().map(|_| ()));
    // Each leaves once with a write, at the latest here.
    borrow_all()?;
    borrow_all()?;
    let (before, written_before) = (pager.stats(), machine::written_bytes());
    borrow_all()?;
    let (after, written_after) = (pager.stats(), machine::written_bytes());
    let left = after.evictions - before.evictions;
    let written = left - (after.evictions_without_write - before.evictions_without_write);
    let bytes = written_before.zip(written_after).map(|(before, after)| real(after - before));
    Ok([Some(real(usize::try_from(left)?)), Some(real(usize::try_from(written)?)), bytes])
}

fn pager(site: &Site, resident_bytes: usize) -> Outcome<Pager> {
    Ok(Pager::builder().scratch_dir(site.path()).resident_bytes(as_u64(resident_bytes)).build()?)
}

fn fill(pager: &Pager, payloads: usize, handles: &mut Vec<Handle<u8>>) -> Outcome<()> {
    let pattern = random_bytes(PAYLOAD_BYTES);
    for number in 0..payloads {
        let mut chunk = Vec::with_capacity(PAYLOAD_BYTES);
        payload::make(&mut chunk, &pattern, number);
        handles.push(pager.pageout_vec(chunk).map_err(pageout::PageoutError::into_error)?);
    }
    Ok(())
}
