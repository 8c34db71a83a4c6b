//! More payload than memory, compressed and encrypted: what becomes of the rate of the device. `scripts/slow-device` runs it on one
//! that is limited.

use std::fs::File;

use pageout::{Compression, Pager, TakeError};
use pageout_testing::mounts::make_cold;

use super::compressed::Column;
use super::out_of_core::device;
use super::{Setting, Skip};
use crate::child::{Group, Task};
use crate::measure::{Candidate, Clock, Lap, Outcome, Rounds, in_turns, real};
use crate::payload::{self, GIB, MIB, as_u64};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::SUBJECT;

pub(super) const ID: &str = "stored";

const PAYLOAD_BYTES: usize = 2 * MIB;
const GROUP_BYTES: usize = 128 * MIB;
const SEALED: &str = "pageout with encryption";
const COMPRESSED: &str = "pageout with compression";
const BOTH: &str = "pageout with both";
const DEVICE: &str = "the device, direct I/O (8 threads)";
/// By their numbers.
const COLUMNS: [Column; 2] = [Column::Walk, Column::Times];

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let stored_bytes = setting.mode.pick(GIB, 384 * MIB, 8 * MIB);
    let group = Group::make(GROUP_BYTES).map_err(|error| Skip(format!("no memory group can be made here ({error})")))?;
    let mut table = Measured::new(head(stored_bytes));
    for (number, column) in COLUMNS.iter().enumerate() {
        let candidates = [SUBJECT, SEALED, COMPRESSED, BOTH, DEVICE].map(|candidate| {
            Candidate::new(candidate, |(), _| {
                Task { section: ID, candidate, site: &setting.site, numbers: &[number, stored_bytes] }.run(Some(&group))
            })
        });
        let rounds = Rounds { timed: setting.mode.pick(3, 3, 1), warm_up: 0 };
        let laps = in_turns(rounds, &mut (), candidates.into())?;
        table.row(format!("{}, out", column.name()), &laps, 0);
        table.row(format!("{}, back", column.name()), &laps, 1);
        table.row_in(format!("{}, on the device", column.name()), "%", Better::Less, &laps, 2);
    }
    Ok(vec![table.into()])
}

fn head(stored_bytes: usize) -> Head {
    Head {
        id: ID,
        title: "More payload than memory, compressed and encrypted",
        note: format!(
            "Columns of 2 MiB go out in a memory group of 128 MiB until {} are stored, and are written to the device; then they are \
             taken back in order, from the device. MB/s of payload, whatever is stored of it; in the last row that.",
            payload::length(stored_bytes)
        ),
        unit: "MB/s",
        better: Better::More,
        subject: BOTH,
        references: vec![SUBJECT, DEVICE],
    }
}

/// Moves payloads out and back, within the group.
pub(super) fn be_child(candidate: &str, site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let &[column, stored_bytes] = numbers else { return Err("which column, how many bytes?".into()) };
    let (compression, encryption) = match candidate {
        SUBJECT => (Compression::None, false),
        SEALED => (Compression::None, true),
        COMPRESSED => (Compression::Lz4, false),
        BOTH => (Compression::Lz4, true),
        // It reads half of what it writes in order.
        DEVICE => {
            let passes = device::passes(site, 2 * stored_bytes / PAYLOAD_BYTES, PAYLOAD_BYTES)?;
            return Ok(vec![passes[0], passes[2], None]);
        }
        other => return Err(format!("{other} is no candidate").into()),
    };
    let pager = Pager::builder().scratch_dir(site.path()).compression(compression).encryption(encryption).build()?;
    out_and_back(&pager, site, &COLUMNS[column].make(PAYLOAD_BYTES / size_of::<u64>()), stored_bytes)
}

fn out_and_back(pager: &Pager, site: &Site, column: &[u64], stored_bytes: usize) -> Outcome<Lap> {
    let (mut chunk, mut handles) = (Vec::with_capacity(column.len()), Vec::new());
    let clock = Clock::start();
    while pager.stats().stored_bytes < as_u64(stored_bytes) {
        chunk.extend_from_slice(column);
        chunk[0] = as_u64(handles.len());
        handles.push(pager.pageout(std::slice::from_mut(&mut chunk))?);
    }
    rustix::fs::syncfs(File::open(site.path())?)?;
    let payload_bytes = handles.len() * PAYLOAD_BYTES;
    let [out, _] = clock.rate(payload_bytes);
    let share = 100.0 * real(usize::try_from(pager.stats().stored_bytes)?) / real(payload_bytes);
    make_cold(site.path());
    let clock = Clock::start();
    for (number, handle) in handles.into_iter().enumerate() {
        pager.take(handle, &mut chunk).map_err(TakeError::into_error)?;
        if chunk[0] != as_u64(number) || chunk[1..] != column[1..] {
            return Err(format!("payload {number} did not come back").into());
        }
        chunk.clear();
    }
    let [back, _] = clock.rate(payload_bytes);
    Ok(vec![out, back, Some(share)])
}
