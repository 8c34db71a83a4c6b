//! Many payloads are out, and a random one is replaced again and again.

pub(super) mod set;

use super::Setting;
use crate::child::Task;
use crate::measure::{Candidate, Laps, Outcome, Rounds, in_turns};
use crate::payload::{self, GIB, KIB};
use crate::report::{Better, Head, Measured, Table};
use crate::stores::{BUDGET, FILES, SLOTS, SUBJECT};

pub(super) const ID: &str = "churn";

/// Percentiles of the time of a replacement, which follow its mean in a lap.
const PERCENTILES: [f64; 3] = [50.0, 99.0, 100.0];
/// Where in a lap the counts begin.
const COUNTS: usize = 1 + PERCENTILES.len();

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let medium = Size {
        live: setting.mode.pick(GIB / (64 * KIB), 2_000, 8),
        payload_bytes: 64 * KIB,
        replacements: setting.mode.pick(10_000, 2_000, 8),
    };
    let small = Size {
        live: setting.mode.pick(1_000_000, 100_000, 8),
        payload_bytes: 4 * KIB,
        replacements: setting.mode.pick(100_000, 10_000, 8),
    };
    let few = Size {
        live: setting.mode.pick(20_000, 5_000, 8),
        payload_bytes: 4 * KIB,
        replacements: setting.mode.pick(5_000, 1_000, 8),
    };
    let medium_laps = measure(setting, vec![(BUDGET, medium), (SUBJECT, medium), (FILES, medium), (SLOTS, medium)])?;
    let small_laps = measure(setting, vec![(SUBJECT, small), (FILES, few), (SLOTS, small)])?;
    let medium_note = format!(
        "{} payloads of 64 KiB are out. A replacement takes a random one back and puts one of the same length out; {} a round. \
         Each set is in a process and a directory of its own, in turns, so that what one candidate leaves to be written \
         does not slow the others down.",
        medium.live, medium.replacements
    );
    let budget = Head {
        subject: BUDGET,
        references: vec![SUBJECT, FILES, SLOTS],
        ..head(
            "churn-budget",
            "Random replacement within a memory budget, payloads of 64 KiB",
            "The same run, with a budget that has room for half of the payloads. Those are in memory; the others come from the page cache."
                .to_owned(),
        )
    };
    let small_note = format!(
        "As above, with {} payloads of 4 KiB. A file for each of so many takes minutes to make and to remove, so that rival has \
         only {}, which flatters it. {} and {} replacements a round. A million such payloads are 4 GiB of pages that are not \
         written yet, about as much as the kernel leaves alone here before it stalls whoever writes: see the longest.",
        small.live, few.live, small.replacements, few.replacements
    );
    let title = "Random replacement, payloads of 64 KiB";
    Ok(vec![
        times(head("churn-64-kib", title, medium_note), &medium_laps[1..]),
        times(budget, &medium_laps),
        times(head("churn-4-kib", "Random replacement, payloads of 4 KiB", small_note), &small_laps),
        facts(small, few, &small_laps),
    ])
}

/// How many payloads there are, how long, and how many of them a lap replaces.
#[derive(Clone, Copy)]
struct Size {
    live: usize,
    payload_bytes: usize,
    replacements: usize,
}

fn measure(setting: &Setting, candidates: Vec<(&'static str, Size)>) -> Outcome<Vec<Laps>> {
    let in_child = |(candidate, Size { live, payload_bytes, replacements })| {
        let numbers = [live, payload_bytes, replacements];
        Candidate::new(candidate, move |(), _| Task { section: ID, candidate, site: &setting.site, numbers: &numbers }.run(None))
    };
    let candidates = candidates.into_iter().map(in_child).collect();
    in_turns(Rounds { warm_up: 0, ..setting.rounds() }, &mut (), candidates)
}

fn head(id: &'static str, title: &'static str, note: String) -> Head {
    Head { id, title, note, unit: "us", better: Better::Less, subject: SUBJECT, references: vec![FILES, SLOTS] }
}

fn times(head: Head, laps: &[Laps]) -> Table {
    let mut table = Measured::new(head);
    table.row("a replacement, mean", laps, 0);
    for (name, row) in ["p50", "p99", "longest"].into_iter().zip(1..) {
        table.row(name, laps, row);
    }
    table.into()
}

fn facts(size: Size, few: Size, laps: &[Laps]) -> Table {
    let mut table = Measured::new(Head {
        id: "churn-facts",
        title: "What payloads cost while they are out",
        note: format!(
            "Counted in the same processes: {} payloads of {}, {} for the file per payload. Descriptors are those that the \
             process has more of. Files are those with a name and those that are open without one. Memory is how much the \
             process grew, by payload: handles, checksums and book-keeping.",
            size.live,
            payload::length(size.payload_bytes),
            few.live
        ),
        unit: "count",
        better: Better::Less,
        subject: SUBJECT,
        references: Vec::new(),
    });
    table.row("descriptors", laps, COUNTS);
    table.row("files", laps, COUNTS + 1);
    table.row_in("memory of a payload", "bytes", Better::Less, laps, COUNTS + 2);
    table.into()
}
