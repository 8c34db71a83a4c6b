//! What a round trip costs: a payload goes out and comes back whole. Payloads stay in the page cache; this is the cost of
//! the way there and back, not of the device.

use super::Setting;
use super::trips::{self, Buffers, Destination};
use crate::measure::{Candidate, Outcome, Rounds, in_turns};
use crate::payload::{KIB, MIB, length};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::files::{Bare, NamedFiles, Reference, Slots, UnnamedFiles};
use crate::stores::lmdb::{self, LMDB, Lmdb};
use crate::stores::memory::Copies;
use crate::stores::paged::Paged;
use crate::stores::{BARE, FILES, REFERENCE, SLOTS, SUBJECT};

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let note = format!(
        "A payload of one vector goes out and comes back into a vector that has been used before. Only the reference \
         clears memory before it reads; only pageout has checksums. {}. It stores by copying within memory, without any system call, and is \
         unsafe against a full disk (SIGBUS); the limit is that of stores that write to files.",
        lmdb::OPTIONS
    );
    let reused = table("round-trip-reused", "Round trip, destination used before", note);
    let note = "The same into memory that is new to the process each time: page faults, and giving the memory back, are part \
                of the trip and the same for all. Short vectors are left out, because allocators recycle them.";
    let fresh = table("round-trip-fresh", "Round trip, destination in new memory", note.to_owned());
    Ok(vec![
        measure(setting, reused, Destination::Reused, &[4 * KIB, 64 * KIB, MIB, 2 * MIB, 16 * MIB])?,
        measure(setting, fresh, Destination::Fresh, &[MIB, 2 * MIB, 16 * MIB])?,
    ])
}

fn table(id: &'static str, title: &'static str, note: String) -> Measured {
    let references = vec![REFERENCE, FILES, SLOTS, LMDB, BARE];
    Measured::new(Head { id, title, note, unit: "us", better: Better::Less, subject: SUBJECT, references })
}

fn measure(setting: &Setting, mut table: Measured, destination: Destination, payloads_bytes: &[usize]) -> Outcome<Table> {
    let rounds = Rounds { timed: setting.mode.pick(15, 3, 1), ..setting.rounds() };
    for &payload_bytes in payloads_bytes {
        let count = trips::count(payload_bytes, setting.mode.pick(64 * MIB, 16 * MIB, 1));
        let mut buffers = Buffers::new(destination, payload_bytes);
        let laps = in_turns(rounds, &mut buffers, candidates(&setting.site, payload_bytes, count)?)?;
        table.row(length(payload_bytes), &laps, 0);
    }
    Ok(table.into())
}

fn candidates(site: &Site, payload_bytes: usize, count: usize) -> Outcome<Vec<Candidate<'_, Buffers>>> {
    Ok(vec![
        trips::candidate(SUBJECT, Paged::new(site)?, count),
        trips::candidate("pageout without integrity", Paged::without_integrity(site)?, count),
        trips::candidate(REFERENCE, Reference(NamedFiles::new(site)?), count),
        trips::candidate(FILES, NamedFiles::new(site)?, count),
        trips::candidate("one unnamed file per payload", UnnamedFiles::new(site)?, count),
        trips::candidate(SLOTS, Slots::new(site, payload_bytes)?, count),
        trips::candidate(LMDB, Lmdb::new(site)?, count),
        trips::candidate(BARE, Bare::new(site)?, count),
        trips::candidate("two copies in memory (the floor)", Copies::new(), count),
    ])
}
