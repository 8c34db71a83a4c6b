//! The swap backend: the vector's own memory stays in the process and is hinted cold.

use super::Setting;
use super::trips::{self, Buffers, Destination};
use crate::measure::{Outcome, Rounds, in_turns};
use crate::payload::{KIB, MIB, length};
use crate::report::{Better, Head, Measured, Table};
use crate::stores::SUBJECT;
use crate::stores::memory::ColdByHand;
use crate::stores::paged::Paged;

const BY_HAND: &str = "a vector and madvise(MADV_COLD) by hand";

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let mut table = Measured::new(Head {
        id: "swap",
        title: "Round trip through the swap backend",
        note: "A vector goes out through the swap backend and comes back as the same allocation, against keeping the vector \
               and giving the advice by hand. The advice is nearly all of it, so 1.0 is what can be had; nothing is \
               swapped while memory is not short."
            .to_owned(),
        unit: "us",
        better: Better::Less,
        subject: SUBJECT,
        references: vec![BY_HAND],
    });
    let rounds = Rounds { timed: setting.mode.pick(15, 3, 1), ..setting.rounds() };
    for payload_bytes in [64 * KIB, 2 * MIB, 16 * MIB] {
        let count = trips::count(payload_bytes, setting.mode.pick(512 * MIB, 64 * MIB, 1));
        let candidates = vec![trips::candidate(SUBJECT, Paged::swapped()?, count), trips::candidate(BY_HAND, ColdByHand, count)];
        let laps = in_turns(rounds, &mut Buffers::new(Destination::Bare, payload_bytes), candidates)?;
        table.row(length(payload_bytes), &laps, 0);
    }
    Ok(vec![table.into()])
}
