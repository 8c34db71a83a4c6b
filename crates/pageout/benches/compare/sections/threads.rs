//! Round trips from several threads at the same time.

use std::io;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::Setting;
use super::trips::{Buffers, Destination};
use crate::measure::{Candidate, Outcome, in_turns, real};
use crate::payload::{KIB, MIB, length};
use crate::report::{Better, Head, Measured, Table};
use crate::site::Site;
use crate::stores::files::{Bare, NamedFiles, Slots};
use crate::stores::paged::Paged;
use crate::stores::{BARE, FILES, SLOTS, SUBJECT, Store};

pub(super) fn run(setting: &Setting) -> Outcome<Vec<Table>> {
    let mut table = Measured::new(Head {
        id: "threads",
        title: "Round trips of several threads",
        note: "Trips a second of all threads together, each with its own memory. The threads share one pager, and one open file \
               with its free list; the temp files of each thread lie in a directory of its own, and each bare transfer \
               has a file of its own."
            .to_owned(),
        unit: "trips/s",
        better: Better::More,
        subject: SUBJECT,
        references: vec![FILES, SLOTS, BARE],
    });
    for payload_bytes in [4 * KIB, 64 * KIB, 2 * MIB] {
        let trips = (setting.mode.pick(256, 64, 0) * MIB / payload_bytes).clamp(8, 32768);
        for threads in [1, 2, 8] {
            let mut crowd: Vec<Buffers> = (0..threads).map(|_| Buffers::new(Destination::Reused, payload_bytes)).collect();
            let candidates = candidates(&setting.site, payload_bytes, threads, trips / threads)?;
            let laps = in_turns(setting.rounds(), &mut crowd, candidates)?;
            table.row(
                format!("{}, {threads} {}", length(payload_bytes), if threads == 1 { "thread" } else { "threads" }),
                &laps,
                0,
            );
        }
    }
    Ok(vec![table.into()])
}

type Crowd = Vec<Buffers>;

fn candidates(site: &Site, payload_bytes: usize, threads: usize, count: usize) -> io::Result<Vec<Candidate<'_, Crowd>>> {
    let files: io::Result<Vec<NamedFiles>> = (0..threads).map(|_| NamedFiles::new(site)).collect();
    let bare: io::Result<Vec<Bare>> = (0..threads).map(|_| Bare::new(site)).collect();
    Ok(vec![
        candidate(SUBJECT, vec![Paged::new(site)?], count),
        // Slower by so much that fewer trips take as long.
        candidate(FILES, files?, count.div_ceil(4)),
        candidate(SLOTS, vec![Slots::new(site, payload_bytes)?], count),
        candidate(BARE, bare?, count),
    ])
}

/// Each thread makes `count` trips with a store of its own, or all of them with the only one.
fn candidate<'a, S: Store + Sync + 'a>(name: &'static str, mut stores: Vec<S>, count: usize) -> Candidate<'a, Crowd> {
    Candidate::new(name, move |crowd: &mut Crowd, _| {
        stores.iter_mut().try_for_each(Store::prepare)?;
        let time = all_at_once(crowd, &stores, count)?;
        crowd.iter().try_for_each(Buffers::check)?;
        Ok(vec![Some(real(count * crowd.len()) / time.as_secs_f64())])
    })
}

/// The time from the first thread's start, when all are warm, to the last one's end.
fn all_at_once<S: Store + Sync>(crowd: &mut Crowd, stores: &[S], count: usize) -> Outcome<Duration> {
    let barrier = Barrier::new(crowd.len());
    let work = |buffers: &mut Buffers, store: &S| -> io::Result<(Instant, Instant)> {
        let warmed_up = buffers.warm_up(store, count);
        barrier.wait();
        warmed_up?;
        let start = Instant::now();
        buffers.trips(store, count)?;
        Ok((start, Instant::now()))
    };
    thread::scope(|scope| {
        let pairs = crowd.iter_mut().zip(stores.iter().cycle());
        let workers: Vec<_> = pairs.map(|(buffers, store)| scope.spawn(move || work(buffers, store))).collect();
        let times =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))));
        let (starts, ends): (Vec<Instant>, Vec<Instant>) = times.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        let first = starts.into_iter().min().ok_or("no thread")?;
        Ok(ends.into_iter().max().ok_or("no thread")?.duration_since(first))
    })
}
