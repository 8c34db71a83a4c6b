//! What a memory budget gives: payloads that are still in memory come back, and can be looked at, without a transfer.

mod borrows;
mod facts;
mod hits;
mod lru;
mod zipf;

use super::Setting;
use super::trips::{self, Buffers, Destination};
use crate::measure::{Candidate, Lap, Outcome, Rounds, in_turns};
use crate::payload::{KIB, MIB, length};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::budgeted::Budgeted;
use crate::stores::files::Slots;
use crate::stores::lmdb::{self, LMDB, Lmdb};
use crate::stores::paged::Paged;
use crate::stores::{BUDGET, SLOTS, SUBJECT};

pub(super) const ID: &str = "budget";

/// Room for every payload of round trips and borrows.
const HOT_BYTES: usize = 64 * MIB;
/// Payloads of a length that a budget should not make slower.
const PAYLOADS_BYTES: [usize; 4] = [4 * KIB, 64 * KIB, 2 * MIB, 16 * MIB];
/// Calls of a lap whose time does not depend on the length of the payload.
const QUICK_CALLS: usize = 4096;

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    Ok(vec![round_trips(setting)?, borrows::run(setting)?, hits::run(setting)?, facts::run(setting)?])
}

/// Does what one of the tables had a process of its own started for.
pub(super) fn be_child(candidate: &str, site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let (&task, numbers) = numbers.split_first().ok_or("what is to be measured?")?;
    match task {
        hits::TASK => hits::be_child(site, numbers),
        facts::TASK => facts::be_child(candidate, site, numbers),
        other => Err(format!("there is no task {other}").into()),
    }
}

fn round_trips(setting: &Setting) -> Outcome<Table> {
    let mut table = Measured::new(Head {
        id: "budget-round-trip",
        title: "Round trip within a memory budget",
        note: format!(
            "A payload of one vector goes out and comes back at once, with a budget that has room for it: the vector that comes \
             back is the one that went out, and nothing is written. The others read into a vector that has been used \
             before. {}.",
            lmdb::OPTIONS
        ),
        unit: "us",
        better: Better::Less,
        subject: BUDGET,
        references: vec![SUBJECT, SLOTS, LMDB],
    });
    for payload_bytes in PAYLOADS_BYTES {
        let candidates = candidates(setting, payload_bytes)?;
        let laps = in_turns(rounds(setting), &mut Buffers::new(Destination::Reused, payload_bytes), candidates)?;
        table.row(length(payload_bytes), &laps, 0);
    }
    Ok(table.into())
}

fn candidates(setting: &Setting, payload_bytes: usize) -> Outcome<Vec<Candidate<'_, Buffers>>> {
    let site = &setting.site;
    let count = trips::count(payload_bytes, setting.mode.pick(64 * MIB, 16 * MIB, 1));
    Ok(vec![
        trips::candidate(BUDGET, Budgeted::new(site, HOT_BYTES)?, quick_calls(setting)),
        trips::candidate(SUBJECT, Paged::new(site)?, count),
        trips::candidate(SLOTS, Slots::new(site, payload_bytes)?, count),
        trips::candidate(LMDB, Lmdb::new(site)?, count),
    ])
}

fn rounds(setting: &Setting) -> Rounds {
    Rounds { timed: setting.mode.pick(15, 3, 1), ..setting.rounds() }
}

fn quick_calls(setting: &Setting) -> usize {
    setting.mode.pick(QUICK_CALLS, QUICK_CALLS, 1)
}
