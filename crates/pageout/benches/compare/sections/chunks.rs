//! One payload that lies in several chunks goes out at once.

use std::time::{Duration, Instant};

use super::Setting;
use super::trips;
use crate::measure::{Candidate, Outcome, in_turns, us_each};
use crate::payload::{MIB, random_bytes};
use crate::report::{Better, Head, Measured, Table};
use crate::stores::files::{Bare, NamedFiles};
use crate::stores::paged::Paged;
use crate::stores::{FILES, SUBJECT, Store};

const PAYLOAD_BYTES: usize = 2 * MIB;
const LIMIT: &str = "bare pwritev + pread (the limit)";

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let site = &setting.site;
    let mut table = Measured::new(Head {
        id: "chunks",
        title: "Round trip of 2 MiB in several chunks",
        note: "The chunks go out as one payload, all of them in one pwritev, and come back into one vector that has been used \
               before. Filling the chunks again is not timed."
            .to_owned(),
        unit: "us",
        better: Better::Less,
        subject: SUBJECT,
        references: vec![FILES, LIMIT],
    });
    let count = trips::count(PAYLOAD_BYTES, setting.mode.pick(64 * MIB, 32 * MIB, 1));
    for chunks in [1, 2, 8, 64] {
        let candidates = vec![
            candidate(SUBJECT, Paged::new(site)?, count),
            candidate(FILES, NamedFiles::new(site)?, count),
            candidate(LIMIT, Bare::new(site)?, count),
        ];
        let laps = in_turns(setting.rounds(), &mut Memory::new(chunks), candidates)?;
        table.row(format!("{chunks} {}", if chunks == 1 { "chunk" } else { "chunks" }), &laps, 0);
    }
    Ok(vec![table.into()])
}

/// The memory of the trips.
struct Memory {
    whole: Vec<u8>,
    chunks: Vec<Vec<u8>>,
    back: Vec<u8>,
}

impl Memory {
    fn new(count: usize) -> Self {
        let whole = random_bytes(PAYLOAD_BYTES);
        let chunks = whole.chunks(PAYLOAD_BYTES / count).map(<[u8]>::to_vec).collect();
        Self { back: whole.clone(), whole, chunks }
    }

    fn timed_trip(&mut self, store: &impl Store) -> Outcome<Duration> {
        self.back.clear();
        let start = Instant::now();
        let ticket = store.out(&mut self.chunks)?;
        store.back(ticket, &mut self.back)?;
        let time = start.elapsed();
        if self.back != self.whole {
            return Err("other bytes came back".into());
        }
        let parts = self.whole.chunks(PAYLOAD_BYTES / self.chunks.len());
        self.chunks.iter_mut().zip(parts).for_each(|(chunk, part)| chunk.extend_from_slice(part));
        Ok(time)
    }
}

fn candidate<'a>(name: &'static str, mut store: impl Store + 'a, count: usize) -> Candidate<'a, Memory> {
    Candidate::new(name, move |memory: &mut Memory, _| {
        store.prepare()?;
        memory.timed_trip(&store)?;
        let times: Outcome<Vec<Duration>> = (0..count).map(|_| memory.timed_trip(&store)).collect();
        Ok(vec![Some(us_each(times?.iter().sum(), count))])
    })
}
