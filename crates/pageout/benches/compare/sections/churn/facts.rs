//! What many payloads cost the system and the process while they are out.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::{ID, Set};
use crate::child::Task;
use crate::machine;
use crate::measure::{Candidate, Lap, Outcome, Rounds, in_turns, real};
use crate::payload::KIB;
use crate::report::{Better, Head, Measured, Plot, Table};
use crate::sections::Setting;
use crate::site::Site;
use crate::stores::files::{NamedFiles, Slots};
use crate::stores::paged::Paged;
use crate::stores::{FILES, SLOTS, SUBJECT, Store};

const PAYLOAD_BYTES: usize = 4 * KIB;

pub(super) fn run(setting: &Setting) -> Outcome<Table> {
    let live = setting.mode.pick(1_000_000, 100_000, 8);
    let live_files = setting.mode.pick(20_000, 5_000, 8);
    let mut table = Measured::new(Head {
        id: "churn-facts",
        title: "What payloads of 4 KiB cost while they are out",
        note: format!(
            "Counted once for each candidate, in a process of its own with {live} payloads, {live_files} for the file per \
             payload. Memory is how much the process grew, by payload: handle, checksums and book-keeping. Files are those \
             with a name and those that are open without one."
        ),
        unit: "count",
        better: Better::Less,
        subject: SUBJECT,
        references: Vec::new(),
        plot: Plot::None,
    });
    let candidates =
        [(SUBJECT, live), (FILES, live_files), (SLOTS, live)].map(|(name, live)| candidate(name, &setting.site, live)).into();
    let laps = in_turns(Rounds { timed: 1, warm_up: 0 }, &mut (), candidates)?;
    table.row("descriptors", &laps, 0);
    table.row("files", &laps, 1);
    table.row_in("memory of a payload", "bytes", Better::Less, &laps, 2);
    Ok(table.into())
}

fn candidate<'a>(name: &'static str, site: &'a Site, live: usize) -> Candidate<'a, ()> {
    Candidate::new(name, move |(), _| Task { section: ID, candidate: name, site, numbers: &[live] }.run(None))
}

/// Counts, in a process that has done nothing else.
pub(in crate::sections) fn be_child(candidate: &str, site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let &[live] = numbers else { return Err("how many payloads?".into()) };
    match candidate {
        SUBJECT => count(site, live, || Paged::new(site)),
        FILES => count(site, live, || NamedFiles::new(site)),
        SLOTS => count(site, live, || Slots::new(site, PAYLOAD_BYTES)),
        other => Err(format!("{other} is no candidate").into()),
    }
}

fn count<S: Store>(site: &Site, live: usize, open: impl FnOnce() -> io::Result<S>) -> Outcome<Lap> {
    let before = machine::resident_bytes();
    let descriptors_before = count_descriptors()?;
    let unnamed_before = count_unnamed(site)?;
    let set = Set::fill(open()?, live, PAYLOAD_BYTES)?;
    let grown_bytes = before.zip(machine::resident_bytes()).map(|(before, after)| after.saturating_sub(before));
    let descriptors = count_descriptors()? - descriptors_before;
    let files = set.store.count_names()? + count_unnamed(site)? - unnamed_before;
    let payload_bytes = grown_bytes.map(usize::try_from).transpose()?.map(|bytes| real(bytes) / real(live));
    Ok(vec![Some(real(descriptors)), Some(real(files)), payload_bytes])
}

/// Descriptors of this process.
fn count_descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/dev/fd")?.count())
}

/// Open files of the site that have no name, however often each is open.
fn count_unnamed(site: &Site) -> io::Result<usize> {
    let inodes = site.unnamed_files()?.iter().map(|path| Ok(fs::metadata(path)?.ino())).collect::<io::Result<HashSet<u64>>>();
    Ok(inodes?.len())
}
