//! Many threads of random operations on one pager and on the same payloads.
//!
//! The payloads lie in a table that all threads read, fill and empty, so that a take races the reads of others: who holds the
//! last reference takes or drops. Between rounds all threads stand still, and what the pager says of itself must be exact.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pageout::{Backend, BatchRead, Error, Handle, Pager, read_batch};

use super::side::{Context, Payload, place_of};
use super::world::{Counts, is_damaged, judge, parts, slot_bytes_of, within};
use crate::draws::Draws;
use crate::faulty::Disk;
use crate::weather::{Climate, Trouble, set_climate};
use crate::{assert_same, builder, check_works, cut, elements, gather, panic_text, scratch, tell, u64_of};

/// Payloads that are out at most.
const TABLE_LEN: usize = 512;
/// Small enough to be reached.
const CAPACITY_BYTES: u64 = 8 << 20;
const PROGRESS: Duration = Duration::from_secs(30);

/// When it is over.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    Rounds(u32),
    Time(Duration),
}

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// Whether the device is one in memory on which calls go wrong, else a real file system.
    pub is_faulty: bool,
    pub threads: usize,
    pub round_operations: u32,
    pub length: Length,
    pub seed: u64,
    pub is_told: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub counts: Counts,
    pub rounds: u32,
    pub descriptors: Range,
    pub resident_bytes: Range,
}

/// A quantity that should not grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range {
    pub start: u64,
    pub end: u64,
    pub peak: u64,
}

impl Range {
    fn see(&mut self, now: u64) {
        self.end = now;
        self.peak = self.peak.max(now);
    }
}

type Entry = Option<Arc<Payload<u32>>>;

/// What the threads share.
struct Scene {
    soak: Soak,
    pager: Pager,
    disk: Option<Disk>,
    climate: Climate,
    table: Vec<Mutex<Entry>>,
    /// Operations that succeeded, and their bytes.
    pageouts: [AtomicU64; 2],
    reads: [AtomicU64; 2],
    takes: [AtomicU64; 2],
    barrier: Barrier,
    failure: Mutex<Option<String>>,
    report: Mutex<Report>,
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().expect("nobody panics while it holds a lock")
}

fn count(counters: &[AtomicU64; 2], bytes: usize) {
    counters[0].fetch_add(1, Relaxed);
    counters[1].fetch_add(u64_of(bytes), Relaxed);
}

impl Soak {
    /// Does it, and says what happened.
    ///
    /// # Panics
    /// Where a thread saw something that must not be.
    pub fn run(self) -> Report {
        let directory = scratch();
        // What tells the memory limit stays open in the process.
        check_works(&builder(directory.path()).build().expect("a pager"));
        let descriptors = open_descriptors();
        let scene = self.scene(directory.path());
        std::thread::scope(|scope| {
            for thread in 0..self.threads {
                let scene = &scene;
                scope.spawn(move || scene.work(thread));
            }
        });
        if let Some(failure) = lock(&scene.failure).take() {
            panic!("PAGEOUT_TEST_SEED={}: {failure}", self.seed);
        }
        scene.end();
        let mut report = *lock(&scene.report);
        drop(scene);
        report.descriptors.start = descriptors;
        report.descriptors.see(open_descriptors());
        if self.is_told {
            tell(&line(self, &report));
        }
        report
    }

    fn scene(self, directory: &Path) -> Scene {
        let disk = self.is_faulty.then(Disk::new);
        let builder = disk.as_ref().map_or_else(|| builder(directory), Disk::builder);
        let permille = if self.is_faulty { 20 } else { 0 };
        let report = Report { resident_bytes: Range { start: resident_bytes(), ..Range::default() }, ..Report::default() };
        Scene {
            soak: self,
            pager: builder.capacity_bytes(CAPACITY_BYTES).build().expect("a pager without a fault"),
            disk,
            climate: Climate { permille, troubles: Trouble::ALL.to_vec() },
            table: (0..TABLE_LEN).map(|_| Mutex::default()).collect(),
            pageouts: Default::default(),
            reads: Default::default(),
            takes: Default::default(),
            barrier: Barrier::new(self.threads),
            failure: Mutex::default(),
            report: Mutex::new(report),
        }
    }
}

impl Scene {
    /// One thread: rounds of operations, until it is over or one failed.
    fn work(&self, thread: usize) {
        set_climate(&self.climate);
        let mut draws = Draws::seeded(self.soak.seed.wrapping_add(u64_of(thread) << 32));
        let (began, mut told) = (Instant::now(), Instant::now());
        let mut context = Context::new(self.disk.clone(), self.soak.is_faulty);
        for round in 1.. {
            self.guarded(|| {
                for _ in 0..self.soak.round_operations {
                    context.weather = self.soak.is_faulty.then(|| draws.number());
                    self.operate(&mut context, &mut draws);
                }
            });
            lock(&self.report).counts.add(&std::mem::take(&mut context.counts));
            if self.barrier.wait().is_leader() {
                self.guarded(|| self.check(round));
            }
            // The first thread decides, so that all end after the same round.
            if thread == 0 && self.is_over(round, began) {
                lock(&self.report).counts.runs = 1;
            }
            if thread == 0 && self.soak.is_told && told.elapsed() >= PROGRESS {
                told = Instant::now();
                tell(&format!("{} after {} s", line(self.soak, &lock(&self.report)), began.elapsed().as_secs()));
            }
            self.barrier.wait();
            if lock(&self.report).counts.runs > 0 {
                return;
            }
            self.barrier.wait();
        }
    }

    /// Keeps the message of a panic, so that the other threads do not wait for this one for good.
    fn guarded(&self, work: impl FnOnce()) {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(work)) {
            *lock(&self.failure) = Some(panic_text(&*cause));
        }
    }

    fn is_over(&self, round: u32, began: Instant) -> bool {
        let is_done = match self.soak.length {
            Length::Rounds(rounds) => round >= rounds,
            Length::Time(time) => began.elapsed() >= time,
        };
        is_done || lock(&self.failure).is_some()
    }

    /// Compares what the pager says of itself with the table, while nobody does anything.
    fn check(&self, round: u32) {
        let stats = self.pager.stats();
        let (mut handles, mut payload_bytes, mut used_bytes, mut stored_bytes) = (0, 0, 0, 0);
        for entry in &self.table {
            if let Some(payload) = &*lock(entry) {
                handles += 1;
                payload_bytes += u64_of(payload.handle.len_bytes());
                used_bytes += payload.used_bytes;
                stored_bytes += payload.stored_bytes;
            }
        }
        let said = (stats.handles, stats.payload_bytes, stats.used_bytes, stats.stored_bytes);
        assert_eq!(said, (handles, payload_bytes, used_bytes, stored_bytes));
        let sum = |counters: &[AtomicU64; 2]| counters.each_ref().map(|counter| counter.load(Relaxed));
        assert_eq!([stats.pageouts, stats.pageout_bytes], sum(&self.pageouts));
        assert_eq!([stats.reads, stats.read_bytes], sum(&self.reads));
        assert_eq!([stats.takes, stats.take_bytes], sum(&self.takes));
        assert!(stats.used_bytes <= stats.scratch_bytes && stats.used_bytes <= stats.capacity_bytes);
        if let Some(disk) = &self.disk {
            disk.forget();
        }
        let mut report = lock(&self.report);
        report.rounds = round;
        report.descriptors.see(open_descriptors());
        report.resident_bytes.see(resident_bytes());
    }

    /// Once nothing goes wrong any more everything works, and nothing is left of it.
    fn end(&self) {
        let mut context = Context::new(self.disk.clone(), self.soak.is_faulty);
        for entry in &self.table {
            if let Some(payload) = lock(entry).take() {
                let payload = Arc::into_inner(payload).expect("no thread is left that reads");
                drop(self.take(&mut context, payload));
            }
        }
        let rounds = lock(&self.report).rounds;
        self.check(rounds);
        check_works(&self.pager);
        self.pager.trim().expect("a trim without a fault");
        let stats = self.pager.stats();
        assert_eq!((stats.handles, stats.used_bytes, stats.scratch_bytes, stats.dirty_bytes), (0, 0, 0, 0));
        assert_eq!(self.disk.as_ref().map_or(0, Disk::open_files), 0, "all files are closed");
    }

    fn operate(&self, context: &mut Context, draws: &mut Draws<'_>) {
        let entry = &self.table[draws.index(TABLE_LEN)];
        match draws.below(256) {
            0..=89 => self.put(context, draws, entry),
            90..=199 => self.read(context, draws, entry),
            200..=239 => {
                let taken = lock(entry).take();
                self.end_entry(context, taken, entry);
            }
            240..=249 => self.batch(context, draws),
            250..=252 => {
                let payload = lock(entry).clone();
                if let Some(payload) = payload {
                    let outcome = context.attempt(|| self.pager.prefetch(&payload.handle, &[(0, payload.whole.len())])).0;
                    outcome.expect("a range of the payload");
                    self.end_entry(context, Some(payload), entry);
                }
            }
            253 => self.trim(context),
            254 => self.pager.set_backend(if draws.one_of(4) { Backend::Swap } else { Backend::File }),
            _ => assert!(self.pager.stats().used_bytes <= CAPACITY_BYTES),
        }
    }

    fn trim(&self, context: &mut Context) {
        let (outcome, seen) = context.attempt(|| self.pager.trim());
        if let Err(error) = outcome {
            assert!(matches!(error, Error::System { .. }) && seen.hits > 0, "{error:?}");
            context.counts.failed += 1;
        }
    }

    fn put(&self, context: &mut Context, draws: &mut Draws<'_>, entry: &Mutex<Entry>) {
        let lens: Vec<usize> = (0..=draws.index(3)).map(|_| len(draws)).collect();
        let whole = elements::<u32>(lens.iter().sum(), draws.number());
        let mut chunks = cut(&whole, &lens);
        let way = draws.below(8);
        let (outcome, seen) = context.attempt(|| match way {
            0 => {
                let slices: Vec<&[u32]> = chunks.iter().map(Vec::as_slice).collect();
                self.pager.pageout_copy(&slices)
            }
            1 => self.collect(&chunks),
            2 => self.pager.pageout_with(Backend::Swap, &mut chunks),
            3 => self.pager.pageout(&mut chunks),
            _ => self.pager.pageout_with(Backend::File, &mut chunks),
        });
        match outcome {
            Ok(handle) => {
                assert!(way < 2 || chunks.iter().all(Vec::is_empty));
                assert_eq!(handle.len(), whole.len());
                count(&self.pageouts, handle.len_bytes());
                let is_file = handle.backend() == Backend::File;
                let used_bytes = if is_file { slot_bytes_of(handle.len_bytes()) } else { 0 };
                let place = place_of(seen, handle.backend(), used_bytes);
                let stored_bytes = if is_file { u64_of(handle.len_bytes()) } else { 0 };
                let payload = Arc::new(Payload { handle, whole, used_bytes, stored_bytes, place, only_chunk: None });
                let before = lock(entry).replace(payload);
                self.end_entry(context, before, entry);
            }
            Err(error) => {
                assert_same(&chunks.concat(), &whole);
                match error {
                    Error::Capacity(facts) => {
                        // Where giving space back fails, the capacity bounds what is idle as well.
                        let is_past = facts.used_bytes + facts.requested_bytes > CAPACITY_BYTES;
                        assert!(is_past || self.soak.is_faulty, "{facts:?}");
                        context.counts.refused += 1;
                    }
                    error => {
                        assert!(matches!(error, Error::System { .. }) && seen.hits > 0, "{error:?}");
                        context.counts.failed += 1;
                    }
                }
            }
        }
    }

    fn collect(&self, chunks: &[Vec<u32>]) -> Result<Handle<u32>, Error> {
        let mut collector = self.pager.collector();
        chunks.iter().try_for_each(|chunk| collector.append(chunk))?;
        collector.finish()
    }

    /// Ends one reference to a payload: the last one takes it back, and puts it into the table again where that failed.
    fn end_entry(&self, context: &mut Context, payload: Entry, entry: &Mutex<Entry>) {
        let Some(payload) = payload.and_then(Arc::into_inner) else { return };
        if let Some(payload) = self.take(context, payload) {
            // What is there now is dropped, behind the lock.
            let before = lock(entry).replace(Arc::new(payload));
            drop(before);
        }
    }

    /// Takes a payload back; gives it where that failed and may succeed later.
    fn take(&self, context: &mut Context, payload: Payload<u32>) -> Option<Payload<u32>> {
        let Payload { handle, whole, used_bytes, stored_bytes, place, only_chunk } = payload;
        let mut dst = Vec::new();
        let (outcome, seen) = context.attempt(|| self.pager.take(handle, &mut dst));
        match outcome {
            Ok(()) => {
                assert_same(&dst, &whole);
                count(&self.takes, size_of_val(&dst[..]));
                None
            }
            Err(error) => {
                assert!(dst.is_empty());
                let reason = error.error().clone();
                let payload = Payload { handle: error.into_handle(), whole, used_bytes, stored_bytes, place, only_chunk };
                judge(context, &payload, &reason, seen, &[(0, payload.whole.len())]);
                // What is damaged stays so: the table would fill up with it.
                (seen.hits > 0).then_some(payload)
            }
        }
    }

    fn read(&self, context: &mut Context, draws: &mut Draws<'_>, entry: &Mutex<Entry>) {
        let payload = lock(entry).clone();
        let Some(payload) = payload else { return };
        let len = payload.whole.len();
        let ranges = match draws.below(4) {
            0 => vec![(0, len)],
            1 => parts(len, &[draws.index(len + 1), draws.index(len + 1), draws.index(len + 1)], draws.index(4)),
            _ => vec![within(draws.index(1 << 16), draws.index(1 << 16), len)],
        };
        let mut dst = Vec::new();
        let (outcome, seen) = context.attempt(|| self.pager.read_at_many(&payload.handle, &ranges, &mut dst));
        match outcome {
            Ok(()) => {
                assert_same(&dst, &gather(&payload.whole, &ranges));
                count(&self.reads, size_of_val(&dst[..]));
            }
            Err(error) => {
                assert!(dst.is_empty());
                judge(context, &payload, &error, seen, &ranges);
            }
        }
        self.end_entry(context, Some(payload), entry);
    }

    fn batch(&self, context: &mut Context, draws: &mut Draws<'_>) {
        let entries: Vec<usize> = (0..8).map(|_| draws.index(TABLE_LEN)).collect();
        let payloads: Vec<_> = entries.iter().filter_map(|&entry| lock(&self.table[entry]).clone()).collect();
        let ranges: Vec<_> = payloads.iter().map(|payload| [within(7, 900, payload.whole.len())]).collect();
        let mut targets: Vec<_> = ranges.iter().map(|[range]| vec![0; range.1]).collect();
        let parts = payloads.iter().zip(&ranges).zip(&mut targets);
        let mut reads: Vec<_> = parts
            .map(|((payload, ranges), target)| BatchRead { handle: &payload.handle, ranges, target, is_counted: true })
            .collect();
        let (failed, seen) = context.attempt(|| read_batch(&mut reads).expect("memory"));
        drop(reads);
        for (position, payload) in payloads.iter().enumerate() {
            let [(start, len)] = ranges[position];
            if !failed.iter().any(|&failed| u64::from(failed) == u64_of(position)) {
                assert_same(&targets[position], &payload.whole[start..start + len]);
                count(&self.reads, size_of_val(&targets[position][..]));
            } else if seen.hits == 0 {
                assert!(is_damaged(context, payload, start, start + len), "a read of a batch failed for nothing");
            }
        }
        for (payload, entry) in payloads.into_iter().zip(entries) {
            self.end_entry(context, Some(payload), &self.table[entry]);
        }
    }
}

/// Mostly short, sometimes more than the page cache moves at once.
fn len(draws: &mut Draws<'_>) -> usize {
    match draws.below(64) {
        0 => draws.index(200_000),
        1..=4 => draws.index(20_000),
        5..=8 => 0,
        _ => draws.index(1_500),
    }
}

fn line(soak: Soak, report: &Report) -> String {
    let Report { counts, rounds, descriptors, resident_bytes } = report;
    let device = if soak.is_faulty { "faulty device" } else { "real file system" };
    let mib = |bytes: u64| bytes >> 20;
    format!(
        "soak: {device}, seed {}, {} threads, {rounds} rounds, {} operations; device calls that went wrong {}, operations that \
         failed {}, refused {}, corrupt {}; descriptors {} at the start, {} at the end, {} at most; resident MiB {} at the \
         start, {} at the end, {} at most",
        soak.seed,
        soak.threads,
        counts.operations,
        counts.faults,
        counts.failed,
        counts.refused,
        counts.corrupt,
        descriptors.start,
        descriptors.end,
        descriptors.peak,
        mib(resident_bytes.start),
        mib(resident_bytes.end),
        mib(resident_bytes.peak)
    )
}

/// Descriptors of this process; 0 where the system does not list them.
fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| u64_of(entries.count()))
}

/// Memory of this process; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
