//! The operations that the sweeps put through every fault, the world in which they run, and what must hold behind each.
//!
//! A sweep brings the faults: of a simulated device, of real system calls, of allocations. Everything else is here.

use std::cell::Cell;
use std::fmt::Debug;
use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use pageout::{Backend, BatchRead, Collector, Compression, Error, Handle, Pager, read_batch};

use super::faulty::{Disk, Feature};
use super::{
    PIECE, assert_same, check_works, cut, elements, eventually, gather, memories, names, slot_bytes, stored_lens, u64_of,
};

/// What the simulated devices have room for.
pub const ROOM: u64 = 1 << 40;

/// What the pager of a world works on.
#[derive(Clone, Debug)]
pub enum Ground {
    Simulated(Disk),
    /// A scratch directory, in a process without other tests: its descriptors are counted.
    Real(PathBuf),
}

/// Makes a pager: with its scratch directory, or with none for the default search.
pub type Build = Box<dyn Fn(Named) -> Result<Pager, Error>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Directory,
    Nothing,
}

/// What an operation works on.
#[derive(Default)]
pub struct Subject {
    whole: Vec<u64>,
    chunks: Vec<Vec<u64>>,
    handle: Option<Handle>,
    collector: Option<Collector>,
    appended: usize,
}

impl Subject {
    pub fn to_put_out(len: usize, lens: &[usize]) -> Self {
        let whole = elements(len, 77);
        Self { chunks: cut(&whole, lens), whole, ..Self::default() }
    }

    pub fn is_out(pager: &Pager, len: usize) -> Self {
        let mut subject = Self::to_put_out(len, &[len / 3]);
        subject.handle = Some(pager.pageout(&mut subject.chunks).expect("a pageout without a fault"));
        subject
    }

    fn handle(&self) -> &Handle {
        self.handle.as_ref().expect("a payload that is out")
    }

    /// Bytes that each of its slots holds.
    fn lens(&self, is_compressed: bool) -> Vec<usize> {
        // What a collector made lies in pieces with a slot each, short payloads in one.
        match &self.handle {
            Some(handle) if self.appended > 0 && !is_compressed => {
                let whole = vec![PIECE; handle.len_bytes() / PIECE];
                whole.into_iter().chain([handle.len_bytes() % PIECE]).collect()
            }
            Some(handle) => lens(handle, &self.whole, is_compressed),
            None => Vec::new(),
        }
    }
}

/// Bytes that each slot of a payload holds; one that is too long for any is as one.
fn lens(handle: &Handle, whole: &[u64], is_compressed: bool) -> Vec<usize> {
    match handle.backend() {
        Backend::File if is_compressed => stored_lens(whole),
        Backend::File => vec![handle.len_bytes()],
        Backend::Swap => Vec::new(),
    }
}

thread_local! {
    static IS_UNDER_FAULT: Cell<bool> = const { Cell::new(false) };
}

/// Makes a call of the crate under test, for faults that would hit the test as well.
fn under_fault<R>(call: impl FnOnce() -> R) -> R {
    IS_UNDER_FAULT.set(true);
    let outcome = call();
    IS_UNDER_FAULT.set(false);
    outcome
}

/// Whether this thread is in a call of the crate under test.
pub fn is_under_fault() -> bool {
    IS_UNDER_FAULT.get()
}

/// An operation under test: brings a fresh world into position, then does it and checks what it left behind. It can be done
/// again where it failed.
pub struct Operation {
    pub name: &'static str,
    pub prepare: fn(&mut World) -> Subject,
    pub run: fn(&World, &mut Subject) -> Result<(), Error>,
}

/// A pager with payloads that are not the operation's business.
pub struct World {
    pub pager: Pager,
    pub ground: Ground,
    build: Build,
    /// Whether the pager compresses.
    is_compressed: bool,
    bystanders: Vec<(Handle, Vec<u64>)>,
    /// Open descriptors of the process before there was a pager.
    descriptors: usize,
}

impl World {
    /// A world whose pager, which `build` makes, compresses so.
    pub fn new(ground: Ground, build: Build, compression: Compression) -> Self {
        if let Ground::Real(_) = ground {
            // What tells the memory limit stays open in the process.
            drop(build(Named::Directory).expect("a pager without a fault"));
        }
        let descriptors = ground.descriptors();
        let pager = build(Named::Directory).expect("a pager without a fault");
        let is_compressed = compression != Compression::None;
        let mut world = Self { pager, ground, build, is_compressed, bystanders: Vec::new(), descriptors };
        world.add_bystander(Backend::File, 600);
        world.add_bystander(Backend::File, 2_000);
        world.add_bystander(Backend::Swap, 600);
        world
    }

    pub fn add_bystander(&mut self, backend: Backend, len: usize) {
        let whole = elements(len, u64_of(self.bystanders.len()));
        let handle = self.pager.pageout_with(backend, &mut cut(&whole, &[len / 2])).expect("a pageout without a fault");
        self.bystanders.push((handle, whole));
    }

    pub fn disk(&self) -> &Disk {
        match &self.ground {
            Ground::Simulated(disk) => disk,
            Ground::Real(_) => panic!("an operation of the simulated device"),
        }
    }

    fn check_numbers(&self, subject: &Subject) {
        let stats = self.pager.stats();
        let bystanders = self.bystanders.iter().flat_map(|(handle, whole)| lens(handle, whole, self.is_compressed));
        let lens: Vec<usize> = bystanders.chain(subject.lens(self.is_compressed)).collect();
        assert_eq!(stats.stored_bytes, u64_of(lens.iter().sum()), "stored bytes");
        // What a collector has put out is no handle yet.
        if subject.collector.is_none() {
            assert_eq!(stats.used_bytes, lens.iter().map(|&len| slot_bytes(len)).sum::<u64>(), "used bytes");
        }
        let handles = self.bystanders.len() + usize::from(subject.handle.is_some());
        assert_eq!(stats.handles, u64_of(handles), "handles");
        assert!(stats.scratch_bytes >= stats.used_bytes);
        self.ground.check_scratch(&self.pager);
    }

    fn check_bystanders(&self) {
        for (handle, whole) in &self.bystanders {
            let mut all = Vec::new();
            self.pager.read_at(handle, 0, whole.len(), &mut all).expect("a payload that has nothing to do with the fault");
            assert_same(&all, whole);
        }
    }

    /// Drops everything and checks that nothing is left.
    fn end(self, subject: Subject) {
        let Self { pager, ground, bystanders, descriptors, build, .. } = self;
        pager.trim().expect("a trim");
        ground.check_trimmed(pager.stats().used_bytes);
        drop((subject, bystanders, build));
        let stats = pager.stats();
        assert_eq!((stats.used_bytes, stats.handles, stats.payload_bytes, stats.stored_bytes), (0, 0, 0, 0));
        assert_eq!(stats.dirty_bytes, 0, "what is nowhere is not dirty");
        eventually(|| "what is nowhere is not at risk", || pager.stats().at_risk_bytes == 0);
        pager.trim().expect("a trim");
        eventually(|| "all space is given back", || pager.trim().is_ok() && pager.stats().scratch_bytes == 0);
        if let Ground::Simulated(disk) = &ground {
            eventually(
                || "a trim closes all files, but those that another thread looks at",
                || pager.trim().is_ok() && disk.open_files() == 0,
            );
        }
        drop(pager);
        ground.check_empty(descriptors);
    }
}

impl Ground {
    fn descriptors(&self) -> usize {
        match self {
            Self::Simulated(_) => 0,
            Self::Real(_) => names(Path::new("/proc/self/fd")).len(),
        }
    }

    /// Nothing is left of what a fault or a pager held.
    fn check_empty(&self, descriptors: usize) {
        match self {
            Self::Simulated(disk) => {
                assert_eq!(disk.open_files(), 0);
                eventually(|| "all space is free", || disk.room() == ROOM);
            }
            Self::Real(scratch) => {
                assert_eq!(names(scratch), Vec::<String>::new(), "names in the scratch directory");
                assert_eq!(self.descriptors(), descriptors, "open descriptors");
            }
        }
    }

    /// Bytes that the pager's files hold, on a device that tells.
    fn held_bytes(&self) -> u64 {
        match self {
            Self::Simulated(disk) => disk.held_bytes(),
            Self::Real(_) => 0,
        }
    }

    /// A call that was refused for want of space leaves the device as full as it found it. Where neither space can be reserved nor
    /// holes be made, a write that stopped half way keeps what it has until its slot is used again.
    fn check_refused(&self, held_bytes: u64) {
        if let Self::Simulated(disk) = self
            && (disk.has(Feature::Reserve) || disk.has(Feature::Punch))
        {
            let after = disk.held_bytes();
            assert!(after <= held_bytes, "a refused call left {after} bytes on the device, which held {held_bytes} before");
        }
    }

    /// What the pager says that it holds is what the device says.
    fn check_scratch(&self, pager: &Pager) {
        if let Self::Simulated(disk) = self {
            let what = || format!("the device holds what the pager says: {:?}, {:?}", disk.holdings(), pager.stats());
            eventually(what, || disk.holdings().agree_with(pager.stats().scratch_bytes));
        }
    }

    /// Behind a trim no space is left but what payloads use.
    fn check_trimmed(&self, used_bytes: u64) {
        if let Self::Simulated(disk) = self
            && disk.has(Feature::Punch)
        {
            eventually(|| "a trim gives everything else back", || disk.held_bytes() <= used_bytes);
        }
    }

    /// What write-back lost is known once more was pushed to the same file.
    fn check_losses(&self) {
        if let Self::Simulated(disk) = self {
            assert_eq!(disk.unheard_losses(), 0, "files that lost something, were pushed again, and nobody asked");
        }
    }

    /// Puts right what a full disk was prepared with.
    fn give_room(&self) {
        if let Self::Simulated(disk) = self {
            disk.set_room(disk.room().max(64 << 20));
        }
    }

    fn restore_room(&self) {
        if let Self::Simulated(disk) = self {
            disk.set_room(ROOM - disk.held_bytes());
        }
    }
}

/// One fault: how it begins, ends, and what may be said about it.
pub trait Trouble: Debug {
    fn begin(&self);
    /// How many calls it hit so far.
    fn hits(&self) -> u64;
    fn end(&self);
    /// Whether reads go well while it lasts.
    fn spares_reads(&self) -> bool;
    /// Checks that an error says what went wrong.
    fn check(&self, error: &Error);
    /// Checks what a success has to have left behind.
    fn check_success(&self) {}
}

/// Does the operation under one fault and after it. Says whether the fault hit anything.
pub fn try_trouble(mut world: World, operation: &Operation, trouble: &impl Trouble) -> bool {
    let mut subject = (operation.prepare)(&mut world);
    let held_bytes = world.ground.held_bytes();
    trouble.begin();
    let outcome = (operation.run)(&world, &mut subject);
    let hits = trouble.hits();
    // The pieces of a collector stay out.
    if outcome.as_ref().is_err_and(is_refusal) && subject.collector.is_none() {
        world.ground.check_refused(held_bytes);
    }
    if trouble.spares_reads() {
        world.check_numbers(&subject);
        world.check_bystanders();
    }
    trouble.end();
    world.check_numbers(&subject);
    match &outcome {
        Ok(()) => trouble.check_success(),
        Err(error) => {
            assert!(hits > 0, "nothing went wrong: {error:?}");
            trouble.check(error);
        }
    }
    world.ground.give_room();
    if outcome.is_err() {
        (operation.run)(&world, &mut subject).expect("the operation succeeds once the fault is gone");
        world.check_numbers(&subject);
    }
    if subject.handle.is_some() {
        take(&world, &mut subject).expect("a take without a fault");
    }
    world.check_bystanders();
    check_works(&world.pager);
    world.ground.check_losses();
    world.ground.restore_room();
    world.end(subject);
    hits > 0
}

/// Whether there was too little room or capacity.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// How many calls an operation makes without a fault is for the sweep to see, between `begin` and `end`.
pub fn without_trouble(mut world: World, operation: &Operation, begin: impl FnOnce(&World), end: impl FnOnce(&World)) {
    let mut subject = (operation.prepare)(&mut world);
    begin(&world);
    (operation.run)(&world, &mut subject).expect("nothing fails without a fault");
    end(&world);
    world.ground.restore_room();
    world.end(subject);
}

fn page_out(world: &World, subject: &mut Subject) -> Result<(), Error> {
    page_out_by(subject, |chunks| world.pager.pageout(chunks))
}

fn page_out_by(subject: &mut Subject, verb: impl FnOnce(&mut [Vec<u64>]) -> Result<Handle, Error>) -> Result<(), Error> {
    let before = memories(&subject.chunks);
    match under_fault(|| verb(&mut subject.chunks)) {
        Ok(handle) => {
            assert!(subject.chunks.iter().all(Vec::is_empty));
            subject.handle = Some(handle);
            Ok(())
        }
        Err(error) => {
            assert_eq!(memories(&subject.chunks), before, "the caller's chunks");
            Err(error)
        }
    }
}

fn copy_out(world: &World, subject: &mut Subject) -> Result<(), Error> {
    let slices: Vec<&[u64]> = subject.chunks.iter().map(Vec::as_slice).collect();
    subject.handle = Some(under_fault(|| world.pager.pageout_copy(&slices))?);
    assert_same(&subject.chunks.concat(), &subject.whole);
    Ok(())
}

/// Goes on where it failed: what was appended before stays in the collector.
fn collect(world: &World, subject: &mut Subject) -> Result<(), Error> {
    let Subject { collector, appended, chunks, .. } = subject;
    let collector = collector.get_or_insert_with(|| world.pager.collector());
    while let Some(chunk) = chunks.get(*appended) {
        let before = collector.len_bytes();
        let outcome = under_fault(|| collector.append(chunk));
        let grown_bytes = if outcome.is_ok() { u64_of(size_of_val(&chunk[..])) } else { 0 };
        assert_eq!(collector.len_bytes(), before + grown_bytes, "all of a chunk or nothing");
        outcome?;
        *appended += 1;
    }
    let before = collector.len_bytes();
    let outcome = under_fault(|| collector.finish());
    assert_eq!(collector.len_bytes(), if outcome.is_ok() { 0 } else { before });
    subject.handle = Some(outcome?);
    subject.collector = None;
    Ok(())
}

fn read_ranges(world: &World, subject: &Subject, ranges: &[(usize, usize)]) -> Result<(), Error> {
    let mut dst = elements::<u64>(5, 1);
    let outcome = match ranges {
        &[(offset, len)] => under_fault(|| world.pager.read_at(subject.handle(), offset, len, &mut dst)),
        _ => under_fault(|| world.pager.read_at_many(subject.handle(), ranges, &mut dst)),
    };
    let read = if outcome.is_ok() { gather(&subject.whole, ranges) } else { Vec::new() };
    assert_same(&dst, &[elements::<u64>(5, 1), read].concat());
    outcome
}

fn read_slice(world: &World, subject: &Subject, ranges: &[(usize, usize)]) -> Result<(), Error> {
    let mut target = vec![0; ranges.iter().map(|range| range.1).sum()];
    under_fault(|| world.pager.read_into(subject.handle(), ranges, &mut target))?;
    assert_same(&target, &gather(&subject.whole, ranges));
    Ok(())
}

/// A payload with its content, and the ranges that are read of it.
type Wanted<'a> = (&'a Handle, &'a [u64], &'a [(usize, usize)]);

/// Reads the subject and the payloads around it at once, and those that failed once more one by one.
fn read_all_at_once(world: &World, subject: &Subject) -> Result<(), Error> {
    let wanted: Vec<Wanted<'_>> = world
        .bystanders
        .iter()
        .map(|(handle, whole)| (handle, &whole[..], &[(100, 300), (550, 50)][..]))
        .chain([
            (subject.handle(), &subject.whole[..], &[(2_000, 1_000), (3, 5)][..]),
            (subject.handle(), &subject.whole, &[(0, 700)]),
        ])
        .collect();
    let mut targets: Vec<Vec<u64>> =
        wanted.iter().map(|(.., ranges)| vec![0; ranges.iter().map(|range| range.1).sum()]).collect();
    let mut reads: Vec<BatchRead<'_, u64>> = wanted
        .iter()
        .zip(&mut targets)
        .map(|(&(handle, _, ranges), target)| BatchRead { handle, ranges, target, is_counted: true })
        .collect();
    let failed = under_fault(|| read_batch(&mut reads))?;
    for (position, ((handle, whole, ranges), target)) in (0u32..).zip(wanted.iter().zip(&mut targets)) {
        if failed.contains(&position) {
            under_fault(|| world.pager.read_into(handle, ranges, target))?;
        }
        assert_same(target, &gather(whole, ranges));
    }
    Ok(())
}

fn take(world: &World, subject: &mut Subject) -> Result<(), Error> {
    let mut dst = vec![1, 2, 3];
    let handle = subject.handle.take().expect("a payload that is out");
    match under_fault(|| world.pager.take(handle, &mut dst)) {
        Ok(()) => {
            assert_same(&dst, &subject.whole);
            Ok(())
        }
        Err(failed) => {
            assert!(dst.is_empty() || dst == [1, 2, 3], "the destination is empty or as before");
            let error = failed.error().clone();
            subject.handle = Some(failed.into_handle());
            Err(error)
        }
    }
}

/// Takes the payload before it, which leaves this one's slot behind a warm one.
fn prepare_trim(world: &mut World) -> Subject {
    let mut held: Vec<_> = (0..12).map(|_| Subject::is_out(&world.pager, 1_000)).collect();
    let subject = held.swap_remove(7);
    drop(held);
    subject
}

/// Frees as many slots as stay warm, so that the next one that is freed cools another.
fn prepare_cooling(world: &mut World) -> Subject {
    let mut held: Vec<_> = (0..66).map(|_| Subject::is_out(&world.pager, 512)).collect();
    held.pop().expect("66 payloads")
}

fn check_stats(world: &World, subject: &Subject) {
    let stats = under_fault(|| world.pager.stats());
    assert_eq!(stats.handles, u64_of(world.bystanders.len() + 1));
    let bytes: usize = world.bystanders.iter().map(|(handle, _)| handle.len_bytes()).sum();
    assert_eq!(stats.payload_bytes, u64_of(bytes + subject.handle().len_bytes()));
    assert!(stats.swap_free_bytes <= stats.swap_bytes);
}

const SEVERAL: &[(usize, usize)] = &[(9_000, 40), (0, 700), (3_000, 1_030), (12_000, 1), (12_100, 30), (7_000, 513)];

/// The operations of every sweep.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "pageout into a free slot",
        prepare: |world| {
            drop(Subject::is_out(&world.pager, 1_000));
            Subject::to_put_out(1_000, &[100, 0, 300])
        },
        run: page_out,
    },
    Operation { name: "first pageout of a class", prepare: |_| Subject::to_put_out(3_000, &[100]), run: page_out },
    Operation {
        name: "pageout that lengthens a file",
        prepare: |world| {
            // The file of a class begins with room for 1 MiB, which is ten slots of this one.
            (0..10).for_each(|_| world.add_bystander(Backend::File, 12_000));
            Subject::to_put_out(12_000, &[100])
        },
        run: page_out,
    },
    Operation {
        name: "pageout into a hole",
        prepare: |world| {
            world.add_bystander(Backend::File, 3_000);
            let freed = Subject::is_out(&world.pager, 3_000);
            drop(freed);
            world.pager.trim().expect("a trim without a fault");
            Subject::to_put_out(3_000, &[100])
        },
        run: page_out,
    },
    Operation { name: "pageout of many chunks", prepare: |_| Subject::to_put_out(3_600, &[3; 1_100]), run: page_out },
    Operation {
        name: "pageout_with the file backend",
        prepare: |_| Subject::to_put_out(3_000, &[100]),
        run: |world, subject| page_out_by(subject, |chunks| world.pager.pageout_with(Backend::File, chunks)),
    },
    Operation {
        name: "pageout_with the swap backend",
        prepare: |_| Subject::to_put_out(3_000, &[1_500]),
        run: |world, subject| page_out_by(subject, |chunks| world.pager.pageout_with(Backend::Swap, chunks)),
    },
    Operation { name: "pageout of borrowed chunks", prepare: |_| Subject::to_put_out(3_000, &[100]), run: copy_out },
    Operation { name: "collecting chunks", prepare: |_| Subject::to_put_out(3_000, &[100, 2_000]), run: collect },
    Operation {
        name: "read of all",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_ranges(world, subject, &[(0, 3_000)]),
    },
    Operation {
        name: "read of part of a page",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_ranges(world, subject, &[(600, 3)]),
    },
    Operation {
        name: "read of parts of several pages",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_ranges(world, subject, &[(511, 1_100)]),
    },
    Operation {
        name: "read of the short last page",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_ranges(world, subject, &[(2_999, 1)]),
    },
    Operation {
        name: "read of several ranges",
        prepare: |world| Subject::is_out(&world.pager, 13_000),
        run: |world, subject| read_ranges(world, subject, SEVERAL),
    },
    Operation {
        name: "read of long and short ranges",
        prepare: |world| Subject::is_out(&world.pager, 20_000),
        run: |world, subject| read_ranges(world, subject, &[(10_001, 9_001), (7, 10), (10_000, 1), (1_000, 8_500)]),
    },
    Operation {
        name: "read into a slice",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_slice(world, subject, &[(1_000, 1_000), (0, 100)]),
    },
    Operation {
        name: "read of several payloads at once",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| read_all_at_once(world, subject),
    },
    Operation { name: "take", prepare: |world| Subject::is_out(&world.pager, 3_000), run: take },
    Operation { name: "take of a page", prepare: |world| Subject::is_out(&world.pager, 512), run: take },
    Operation {
        name: "take, and again where it failed",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |world, subject| take(world, subject).or_else(|_| take(world, subject)),
    },
    Operation { name: "trim", prepare: prepare_trim, run: |world, _| under_fault(|| world.pager.trim()) },
    Operation {
        name: "prefetch",
        prepare: |world| Subject::is_out(&world.pager, 13_000),
        run: |world, subject| under_fault(|| world.pager.prefetch(subject.handle(), SEVERAL)),
    },
    Operation {
        name: "drop of a handle",
        prepare: prepare_cooling,
        run: |_, subject| {
            under_fault(|| drop(subject.handle.take()));
            Ok(())
        },
    },
    Operation {
        name: "statistics",
        prepare: |world| Subject::is_out(&world.pager, 100),
        run: |world, subject| {
            check_stats(world, subject);
            Ok(())
        },
    },
    Operation {
        name: "opening a named directory",
        prepare: |_| Subject::default(),
        run: |world, _| under_fault(|| (world.build)(Named::Directory)).map(drop),
    },
    Operation {
        name: "first pageout of a pager without a directory",
        prepare: |_| Subject::to_put_out(600, &[100]),
        run: |world, subject| {
            let pager = under_fault(|| (world.build)(Named::Nothing))?;
            let before = memories(&subject.chunks);
            let outcome = under_fault(|| pager.pageout_with(Backend::File, &mut subject.chunks));
            if outcome.is_err() {
                assert_eq!(memories(&subject.chunks), before, "the caller's chunks");
            }
            outcome.map(drop)
        },
    },
];

/// The plain forms of the module-level verbs, which panic where the others fail.
pub const MODULE_OPERATIONS: &[Operation] = &[
    Operation {
        name: "module-level pageout",
        prepare: |_| Subject::to_put_out(3_000, &[100]),
        run: |_, subject| page_out_by(subject, |chunks| or_panic(chunks, pageout::pageout, pageout::try_pageout)),
    },
    Operation {
        name: "module-level pageout_with",
        prepare: |_| Subject::to_put_out(3_000, &[100]),
        run: |_, subject| {
            let plain = |chunks: &mut [Vec<u64>]| pageout::pageout_with(Backend::File, chunks);
            page_out_by(subject, |chunks| or_panic(chunks, plain, |chunks| pageout::try_pageout_with(Backend::File, chunks)))
        },
    },
    Operation {
        name: "module-level read_at",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |_, subject| {
            let mut dst = vec![7];
            let handle = subject.handle();
            let plain = |dst: &mut Vec<u64>| pageout::read_at(handle, 600, 1_000, dst);
            or_panic(&mut dst, plain, |dst| pageout::try_read_at(handle, 600, 1_000, dst))
                .inspect_err(|_| assert_eq!(dst, [7]))?;
            assert_same(&dst[1..], &subject.whole[600..1_600]);
            Ok(())
        },
    },
    Operation {
        name: "module-level read_at_many",
        prepare: |world| Subject::is_out(&world.pager, 13_000),
        run: |_, subject| {
            let mut dst = vec![7];
            let handle = subject.handle();
            let plain = |dst: &mut Vec<u64>| pageout::read_at_many(handle, SEVERAL, dst);
            or_panic(&mut dst, plain, |dst| pageout::try_read_at_many(handle, SEVERAL, dst))
                .inspect_err(|_| assert_eq!(dst, [7]))?;
            assert_same(&dst[1..], &gather(&subject.whole, SEVERAL));
            Ok(())
        },
    },
    Operation {
        name: "module-level try_take, which gives the handle up",
        prepare: |world| Subject::is_out(&world.pager, 3_000),
        run: |_, subject| {
            let Some(handle) = subject.handle.take() else { return Ok(()) };
            let mut dst = vec![7];
            pageout::try_take(handle, &mut dst).inspect_err(|_| assert!(dst.is_empty() || dst == [7]))?;
            assert_same(&dst, &subject.whole);
            Ok(())
        },
    },
    Operation {
        name: "module-level prefetch",
        prepare: |world| Subject::is_out(&world.pager, 13_000),
        run: |_, subject| {
            pageout::prefetch(subject.handle(), SEVERAL);
            Ok(())
        },
    },
    Operation {
        name: "module-level trim",
        prepare: prepare_trim,
        run: |world, _| or_panic(&mut (), |()| pageout::trim(), |()| world.pager.trim()),
    },
];

/// Calls the plain form of a verb; where it panics the form that fails instead, while the fault may still be there.
fn or_panic<A: ?Sized, R>(
    argument: &mut A,
    plain: impl FnOnce(&mut A) -> R,
    failing: impl FnOnce(&mut A) -> Result<R, Error>,
) -> Result<R, Error> {
    match std::panic::catch_unwind(AssertUnwindSafe(|| plain(argument))) {
        Ok(done) => Ok(done),
        Err(said) => {
            let said = said.downcast::<String>().expect("a panic with a message");
            assert!(said.contains(" failed: "), "the panic names the verb: {said}");
            failing(argument)
        }
    }
}

/// A payload of more pieces than one, of which each but the last has 4 MiB: slow, so not in every mode.
pub const COLLECTING_PIECES: Operation =
    Operation { name: "collecting more than a piece", prepare: |_| Subject::to_put_out(540_000, &[300_000]), run: collect };

/// Which is put out piece by piece where it is compressed.
pub const PAGEOUT_OF_PIECES: Operation =
    Operation { name: "pageout of more than a piece", prepare: |_| Subject::to_put_out(540_000, &[300_000]), run: page_out };

/// Operations with lists that take memory.
pub const OF_MANY: &[Operation] = &[
    Operation {
        name: "pageout of many chunks to the swap backend",
        prepare: |_| Subject::to_put_out(3_600, &[3; 1_100]),
        run: |world, subject| page_out_by(subject, |chunks| world.pager.pageout_with(Backend::Swap, chunks)),
    },
    Operation { name: "pageout of many borrowed chunks", prepare: |_| Subject::to_put_out(3_600, &[3; 1_100]), run: copy_out },
    Operation {
        name: "read of many ranges",
        prepare: |world| Subject::is_out(&world.pager, 700_000),
        run: |world, subject| read_ranges(world, subject, &many_ranges()),
    },
    Operation {
        name: "read of many ranges into a slice",
        prepare: |world| Subject::is_out(&world.pager, 700_000),
        run: |world, subject| read_slice(world, subject, &many_ranges()),
    },
    Operation {
        name: "prefetch of many ranges",
        prepare: |world| Subject::is_out(&world.pager, 700_000),
        run: |world, subject| {
            let ranges = many_ranges();
            under_fault(|| world.pager.prefetch(subject.handle(), &ranges))
        },
    },
    Operation {
        name: "trim of many slots apart",
        prepare: |world| {
            let held: Vec<_> = (0..1_200).map(|_| Subject::is_out(&world.pager, 512)).collect();
            for (position, subject) in held.into_iter().enumerate() {
                if position % 2 == 0 {
                    world.bystanders.push((subject.handle.expect("a payload that is out"), subject.whole));
                }
            }
            Subject::default()
        },
        run: |world, _| under_fault(|| world.pager.trim()),
    },
];

/// Ranges that are too far from each other to be read as one.
fn many_ranges() -> Vec<(usize, usize)> {
    (0..300).rev().map(|position| (position * 2_300, 5)).collect()
}

/// Operations on a simulated device whose directory goes away.
pub const WITHOUT_ITS_DIRECTORY: &[Operation] = &[
    Operation {
        name: "first pageout of a class once the directory is gone",
        prepare: |world| {
            world.disk().remove_directory();
            Subject::to_put_out(3_000, &[100])
        },
        run: page_out,
    },
    Operation {
        name: "take once the directory is gone",
        prepare: |world| {
            let subject = Subject::is_out(&world.pager, 3_000);
            world.disk().remove_directory();
            subject
        },
        run: take,
    },
];

/// Operations that need a device whose room is known.
pub const ON_A_FULL_DISK: &[Operation] = &[
    Operation {
        name: "pageout on a full disk",
        prepare: |world| {
            let held: Vec<_> = (0..12).map(|_| Subject::is_out(&world.pager, 3_000)).collect();
            drop(held);
            world.disk().set_room(0);
            Subject::to_put_out(10_000, &[])
        },
        run: page_out,
    },
    Operation {
        name: "pageout past a capacity that follows the room",
        prepare: |world| {
            world.bystanders.clear();
            world.pager.trim().expect("a trim without a fault");
            eventually(|| "an empty device", || world.disk().held_bytes() == 0);
            world.disk().set_room(300 << 10);
            world.pager = (world.build)(Named::Directory).expect("a pager without a fault");
            world.add_bystander(Backend::File, 600);
            world.add_bystander(Backend::File, 2_000);
            world.disk().set_room(ROOM - world.disk().held_bytes());
            Subject::to_put_out(25_000, &[])
        },
        run: page_out,
    },
];
