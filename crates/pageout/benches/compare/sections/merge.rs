//! Two sorted chains become one, chunk by chunk, in less memory than they have: the classic use of a pager.

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::Instant;

use super::{Setting, Skip};
use crate::child::{Group, Task};
use crate::measure::{Candidate, Lap, Outcome, Rounds, in_turns};
use crate::payload::{self, GIB, MIB, Random, as_u64};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::files::NamedFiles;
use crate::stores::paged::Paged;
use crate::stores::{FILES, SUBJECT, Store};
use crate::system;

pub(super) const ID: &str = "merge";

const CHUNK_BYTES: usize = 2 * MIB;
const ELEMENT_BYTES: usize = size_of::<u64>();
/// The keys are cut in halves, each with a part of both chains, so that two threads can merge.
const PARTS: usize = 2;

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let total_bytes = setting.mode.pick(2 * GIB, 256 * MIB, 32 * MIB);
    let group_bytes = setting.mode.pick(GIB, 128 * MIB, 128 * MIB);
    let group = Group::make(group_bytes).map_err(|error| Skip(format!("no memory group can be made here ({error})")))?;
    system::touch_memory(setting.mode.pick(1, 1, 0) * group_bytes);
    let rounds = Rounds { warm_up: 0, ..setting.rounds() };
    let mut table = Measured::new(head(total_bytes, group_bytes));
    for threads in [1, PARTS] {
        let candidates = [SUBJECT, FILES].map(|candidate| {
            let numbers = [threads, total_bytes];
            let group = &group;
            Candidate::new(candidate, move |(), _| {
                Task { section: ID, candidate, site: &setting.site, numbers: &numbers }.run(Some(group))
            })
        });
        let laps = in_turns(rounds, &mut (), candidates.into())?;
        table.row(if threads == 1 { "1 thread" } else { "2 threads" }, &laps, 0);
    }
    Ok(vec![table.into()])
}

fn head(total_bytes: usize, group_bytes: usize) -> Head {
    let (total, limit) = (payload::length(total_bytes), payload::length(group_bytes));
    Head {
        id: ID,
        title: "Merge of two sorted chains",
        note: format!(
            "Two sorted chains of 8-byte numbers, {total} together, lie in chunks of 2 MiB and become one, in a memory group of \
             {limit}. Both are cut at the middle of all keys: one thread merges the lower and then the upper halves, two \
             threads one each. Each candidate runs in a process and a directory of its own, in turns; making the chains is not timed."
        ),
        unit: "s",
        better: Better::Less,
        subject: SUBJECT,
        references: vec![FILES],
    }
}

/// Merges, within the group.
pub(super) fn be_child(candidate: &str, site: &Site, numbers: &[usize]) -> Outcome<Lap> {
    let &[threads, total_bytes] = numbers else { return Err("how many threads and bytes?".into()) };
    match candidate {
        SUBJECT => merge_parts(&Paged::new(site)?, threads, total_bytes),
        FILES => merge_parts(&NamedFiles::new(site)?, threads, total_bytes),
        other => Err(format!("{other} is no candidate").into()),
    }
}

/// Seconds that the merge of all parts takes.
fn merge_parts<S>(store: &S, threads: usize, total_bytes: usize) -> Outcome<Lap>
where
    S: Store + Sync,
    S::Ticket: Send,
{
    let elements = total_bytes / ELEMENT_BYTES / PARTS / 2;
    let mut random = Random(0);
    let mut parts = Vec::new();
    for part in 0..PARTS {
        parts.push([generate(store, part, elements, &mut random)?, generate(store, part, elements, &mut random)?]);
    }
    let expected: u64 = parts.iter().flatten().fold(0, |sum, chain| sum.wrapping_add(chain.sum));
    let start = Instant::now();
    let merged: Vec<Chain<S>> = if threads == 1 {
        parts.into_iter().map(|chains| merge(store, chains)).collect::<io::Result<_>>()?
    } else {
        thread::scope(|scope| {
            let workers: Vec<_> = parts.into_iter().map(|chains| scope.spawn(|| merge(store, chains))).collect();
            let chains =
                workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))));
            chains.collect::<io::Result<_>>()
        })?
    };
    let seconds = start.elapsed().as_secs_f64();
    let sum = merged.iter().fold(0, |sum: u64, chain| sum.wrapping_add(chain.sum));
    if sum == expected { Ok(vec![Some(seconds)]) } else { Err("other elements came back".into()) }
}

/// A sorted sequence in chunks that are out.
struct Chain<S: Store> {
    chunks: VecDeque<S::Ticket>,
    /// Of all elements, to see that none is lost.
    sum: u64,
}

/// Makes a sorted chain of random numbers out of one part of all keys.
fn generate<S: Store>(store: &S, part: usize, elements: usize, random: &mut Random) -> io::Result<Chain<S>> {
    let keys = u64::MAX / as_u64(PARTS);
    // Steps below this add up to less than the keys there are.
    let step_bound = keys / as_u64(elements);
    let mut writer = Writer::new(store);
    let mut value = keys * as_u64(part);
    for _ in 0..elements {
        value += random.next() % step_bound;
        writer.push(value)?;
    }
    writer.finish()
}

fn merge<S: Store>(store: &S, [left, right]: [Chain<S>; 2]) -> io::Result<Chain<S>> {
    let (mut left, mut right) = (Reader::open(store, left)?, Reader::open(store, right)?);
    let mut writer = Writer::new(store);
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let (least, reader) = if one <= other { (one, &mut left) } else { (other, &mut right) };
        writer.push(least)?;
        reader.advance()?;
    }
    for rest in [&mut left, &mut right] {
        while let Some(value) = rest.peek() {
            writer.push(value)?;
            rest.advance()?;
        }
    }
    writer.finish()
}

/// Writes a chain: collects elements in one chunk, which goes out when it is full.
struct Writer<'a, S: Store> {
    store: &'a S,
    chunk: Vec<u8>,
    last: u64,
    chain: Chain<S>,
}

impl<'a, S: Store> Writer<'a, S> {
    fn new(store: &'a S) -> Self {
        let chain = Chain { chunks: VecDeque::new(), sum: 0 };
        Self { store, chunk: Vec::with_capacity(CHUNK_BYTES), last: 0, chain }
    }

    fn push(&mut self, value: u64) -> io::Result<()> {
        if value < self.last {
            return Err(io::Error::other("the elements are not sorted"));
        }
        if self.chunk.len() == CHUNK_BYTES {
            self.out()?;
        }
        self.last = value;
        self.chain.sum = self.chain.sum.wrapping_add(value);
        self.chunk.extend_from_slice(&value.to_ne_bytes());
        Ok(())
    }

    fn out(&mut self) -> io::Result<()> {
        self.chain.chunks.push_back(self.store.out(std::slice::from_mut(&mut self.chunk))?);
        Ok(())
    }

    fn finish(mut self) -> io::Result<Chain<S>> {
        self.out()?;
        Ok(self.chain)
    }
}

/// Reads a chain: brings one chunk back at a time, always into the same memory.
struct Reader<'a, S: Store> {
    store: &'a S,
    chunk: Vec<u8>,
    position: usize,
    rest: VecDeque<S::Ticket>,
}

impl<'a, S: Store> Reader<'a, S> {
    fn open(store: &'a S, chain: Chain<S>) -> io::Result<Self> {
        let mut reader = Self { store, chunk: Vec::with_capacity(CHUNK_BYTES), position: 0, rest: chain.chunks };
        reader.next_chunk()?;
        Ok(reader)
    }

    /// The element at the reader's position; none behind the last.
    fn peek(&self) -> Option<u64> {
        self.chunk.as_chunks().0.get(self.position).map(|&bytes| u64::from_ne_bytes(bytes))
    }

    fn advance(&mut self) -> io::Result<()> {
        self.position += 1;
        if self.position * ELEMENT_BYTES == self.chunk.len() { self.next_chunk() } else { Ok(()) }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        self.position = 0;
        self.chunk.clear();
        self.rest.pop_front().map_or(Ok(()), |ticket| self.store.back(ticket, &mut self.chunk))
    }
}
