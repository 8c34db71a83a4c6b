//! What happens when payloads are more than the memory: out in a row, then back, in a memory group.

pub(super) mod device;

use std::collections::VecDeque;
use std::io;

use super::{Setting, Skip};
use crate::child::{Group, Task};
use crate::measure::{Candidate, Clock, Lap, Outcome, Rounds, in_turns};
use crate::options::Mode;
use crate::payload::{self, GIB, MIB, Random, random_bytes};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::files::{NamedFiles, Slots};
use crate::stores::paged::Paged;
use crate::stores::{FILES, SLOTS, SUBJECT, Store};
use crate::system;

pub(super) const ID: &str = "out-of-core";

const PAYLOAD_BYTES: usize = 2 * MIB;
const GROUP_BYTES: usize = 512 * MIB;
/// How far ahead a payload is announced. Never the one that is read next: that would fill the page cache with small pages.
const AHEAD: usize = 3;
const DEVICE: &str = "the device, direct I/O (8 threads)";

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let payloads = setting.mode.pick(4 * GIB, GIB, 32 * MIB) / PAYLOAD_BYTES;
    let group = Group::make(GROUP_BYTES).map_err(|error| Skip(format!("no memory group can be made here ({error})")))?;
    system::touch_memory(setting.mode.pick(2, 2, 0) * GROUP_BYTES);
    let rounds = Rounds { warm_up: 0, ..setting.rounds() };
    let candidates = [SUBJECT, FILES, SLOTS, DEVICE].map(|candidate| {
        Candidate::new(candidate, |(), _| {
            Task { section: ID, candidate, site: &setting.site, numbers: &[payloads] }.run(Some(&group))
        })
    });
    let laps = in_turns(rounds, &mut (), candidates.into())?;
    let mut table = Measured::new(head(setting.mode, payloads));
    for (row, name) in ["out", "back in order", "back in random order", "back in random order, announced"].into_iter().enumerate()
    {
        table.row(name, &laps, 2 * row);
        table.row_in(format!("{name}, longest call"), "ms", Better::Less, &laps, 2 * row + 1);
    }
    Ok(vec![table.into()])
}

fn head(mode: Mode, payloads: usize) -> Head {
    let quick = mode.pick("", " In this quick form the group has room for half of all payloads.", "");
    let total = payload::length(payloads * PAYLOAD_BYTES);
    Head {
        id: ID,
        title: "More payload than memory",
        note: format!(
            "{total} in payloads of 2 MiB go out in a memory group of 512 MiB; then the first half is taken back in order, the \
             next eighth in random order, and the next in random order while the third payload ahead of each is announced \
             (pageout: prefetch; the open file: posix_fadvise; temp files: not at all). The last quarter is not taken, \
             because the group may still hold it. Each candidate runs in a process and a directory of its own, in turns; \
             making each payload by one copy counts. The device's own rate is measured with half as much data, in the same \
             group; pageouts can be above it by what the group has room for.{quick}"
        ),
        unit: "MB/s",
        better: Better::More,
        subject: SUBJECT,
        references: vec![FILES, SLOTS, DEVICE],
    }
}

/// Moves payloads out and back, within the group.
pub(super) fn be_child(candidate: &str, site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let &[payloads] = numbers else { return Err("how many payloads?".into()) };
    match candidate {
        SUBJECT => out_and_back(&Paged::new(site)?, payloads),
        FILES => out_and_back(&NamedFiles::new(site)?, payloads),
        SLOTS => out_and_back(&Slots::new(site, PAYLOAD_BYTES)?, payloads),
        DEVICE => device::passes(site, payloads / 2, PAYLOAD_BYTES),
        other => Err(format!("{other} is no candidate").into()),
    }
}

/// A payload's number, and what its store gave for it.
type Numbered<S> = (usize, <S as Store>::Ticket);

fn out_and_back<S: Store>(store: &S, payloads: usize) -> Outcome<Lap> {
    let pattern = random_bytes(PAYLOAD_BYTES);
    let mut chunk = Vec::with_capacity(PAYLOAD_BYTES);
    let mut clock = Clock::start();
    let out = |number| -> io::Result<Numbered<S>> {
        payload::make(&mut chunk, &pattern, number);
        Ok((number, clock.call(|| store.out(std::slice::from_mut(&mut chunk)))?))
    };
    let mut in_order = (0..payloads).map(out).collect::<io::Result<Vec<_>>>()?;
    let out = clock.rate(payloads * PAYLOAD_BYTES);
    // The last quarter stays out: the group may still hold it.
    drop(in_order.split_off(payloads / 4 * 3));
    let mut random_order = in_order.split_off(payloads / 2);
    let mut announced = random_order.split_off(payloads / 8);
    Random(0).shuffle(&mut random_order);
    Random(1).shuffle(&mut announced);
    let mut back = |tickets, ahead| back(store, tickets, ahead, &pattern, &mut chunk);
    let passes = [out, back(in_order.into(), None)?, back(random_order.into(), None)?, back(announced.into(), Some(AHEAD))?];
    Ok(passes.concat())
}

/// Takes payloads back, each announced `ahead` takes before its own.
fn back<S: Store>(
    store: &S,
    mut tickets: VecDeque<Numbered<S>>,
    ahead: Option<usize>,
    pattern: &[u8],
    chunk: &mut Vec<u8>,
) -> Outcome<[Option<f64>; 2]> {
    let len_bytes = tickets.len() * PAYLOAD_BYTES;
    let mut clock = Clock::start();
    while let Some((number, ticket)) = tickets.pop_front() {
        let later = ahead.and_then(|ahead| tickets.get(ahead - 1));
        chunk.clear();
        clock.call(|| {
            later.map_or(Ok(()), |(_, later)| store.announce(later))?;
            store.back(ticket, chunk)
        })?;
        if !payload::is(chunk, pattern, number) {
            return Err(format!("payload {number} did not come back").into());
        }
    }
    Ok(clock.rate(len_bytes))
}
