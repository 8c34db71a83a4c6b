//! Random operations on pagers that share a memory budget, beside a pager without one and a plain model, while calls of the
//! device go wrong, those of the background thread too. Payloads are borrowed, dropped while they are borrowed, and the limit
//! changes.
//!
//! Whatever goes wrong, what went out comes back. When a fault is over everything works, and in the end nothing is left.

use std::path::Path;

use pageout::{Backend, Borrowed, Compression, Error, Handle, MemoryBudget, Pager};

use crate::draws::Draws;
use crate::faulty::{Call, Disk, Effect, Fault, Feature, Lasts, Short};
use crate::{KIB, assert_same, cut, elements, eventually, gather, scratch, u64_of};

/// What is under the pagers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// A device in memory on which nothing goes wrong.
    Simulated,
    /// The same, and calls go wrong.
    Faulty,
    /// The file system of the temporary directory.
    Disk,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub operations: u64,
    /// Calls of the device that went wrong.
    pub faults: u64,
    /// Operations that the device failed.
    pub failed: u64,
    pub background_failures: u64,
    pub evictions: u64,
    pub evictions_without_write: u64,
    pub writes_elided: u64,
    pub hits: u64,
    pub misses: u64,
    /// Borrows that found no room.
    pub full: u64,
}

const STEPS_MAX: u64 = 600;
const HANDLES_MAX: usize = 40;

/// Does at least so many operations; a failure names the seed of its run.
///
/// # Panics
/// Where something is not as it should be.
pub fn run(under: Under, operations: u64, seed: u64) -> Report {
    let (mut report, mut run) = (Report::default(), 0);
    while report.operations < operations {
        let seed = seed.wrapping_add(run);
        let failed = ShowSeed(seed, under);
        one(under, seed, &mut report);
        std::mem::forget(failed);
        run += 1;
    }
    report
}

struct ShowSeed(u64, Under);

impl Drop for ShowSeed {
    fn drop(&mut self) {
        crate::tell(&format!("residents on {:?}: PAGEOUT_TEST_SEED={}", self.1, self.0));
    }
}

struct Payload {
    handle: Handle<u32>,
    /// The same payload in a pager without a budget.
    twin: Handle<u32>,
    whole: Vec<u32>,
}

struct World<'a> {
    disk: Option<Disk>,
    budget: MemoryBudget,
    pagers: [Pager; 2],
    plain: Pager,
    payloads: Vec<Payload>,
    /// What is borrowed, with and without a handle.
    borrowed: Vec<(Borrowed<u32>, Vec<u32>)>,
    /// Reads, borrows and takes of payloads of the file backend that are sure to be counted, and those that may be.
    counted: [u64; 2],
    /// Calls that went wrong in weathers before.
    past_hits: u64,
    report: &'a mut Report,
}

fn one(under: Under, seed: u64, report: &mut Report) {
    let mut draws = Draws::seeded(seed);
    let directory = scratch();
    let mut world = World::new(under, &mut draws, directory.path(), report);
    for _ in 0..STEPS_MAX {
        world.step(&mut draws, under);
        world.check();
    }
    world.end();
}

impl<'a> World<'a> {
    fn new(under: Under, draws: &mut Draws<'_>, directory: &Path, report: &'a mut Report) -> Self {
        let budget = MemoryBudget::new(limit_bytes(draws));
        let features = [Feature::Reserve, Feature::Punch];
        let disk = (under != Under::Disk).then(|| {
            let denied = features.into_iter().filter(|_| draws.one_of(6));
            let disk = denied.fold(Disk::new(), Disk::without);
            disk.hear_background();
            disk
        });
        let builder = || disk.as_ref().map_or_else(|| crate::builder(directory), Disk::builder).capacity_bytes(1 << 30);
        let encryption = [draws.one_of(2), draws.one_of(4)];
        let compression = if draws.one_of(2) { Compression::Lz4 } else { Compression::None };
        let pagers = encryption.map(|on| {
            let builder = builder().resident_bytes(&budget).encryption(on).compression(compression);
            builder.build().expect("a pager")
        });
        let plain = Disk::new().pager();
        Self { disk, budget, pagers, plain, payloads: Vec::new(), borrowed: Vec::new(), counted: [0; 2], past_hits: 0, report }
    }

    fn step(&mut self, draws: &mut Draws<'_>, under: Under) {
        self.report.operations += 1;
        match draws.below(64) {
            0..=19 => self.page_out(draws),
            20..=29 => self.read(draws),
            30..=39 => self.borrow(draws),
            40..=43 if !self.borrowed.is_empty() => {
                let (borrowed, whole) = self.borrowed.swap_remove(draws.index(self.borrowed.len()));
                assert_same(&borrowed, &whole);
            }
            44..=51 => self.take(draws),
            52..=54 if !self.payloads.is_empty() => drop(self.payloads.swap_remove(draws.index(self.payloads.len()))),
            55..=57 => {
                if let Some(payload) = self.pick(draws) {
                    payload.handle.prefetch(..).expect("a hint");
                }
            }
            58 => self.budget.set_limit_bytes(limit_bytes(draws)),
            59 => {
                let outcome = self.pagers[draws.index(2)].trim();
                assert!(outcome.is_ok() || self.has_trouble(), "{outcome:?}");
            }
            60 => self.borrowed.clear(),
            61.. if under == Under::Faulty => self.change_weather(draws),
            _ => {}
        }
    }

    /// Ends what goes wrong, or lets something else go wrong from now on.
    fn change_weather(&mut self, draws: &mut Draws<'_>) {
        let Some(disk) = &self.disk else { return };
        self.past_hits += disk.disarm();
        if draws.one_of(2) {
            let call = draws.pick(&[Call::Write, Call::Write, Call::Write, Call::Read, Call::Reserve, Call::Create, Call::Punch]);
            let errno = draws.pick(&[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::ENOMEM, libc::EINVAL]);
            let effect = match draws.below(4) {
                0 if call == Call::Write || call == Call::Read => Effect::Short(draws.pick(&Short::ALL)),
                1 if call == Call::Write => Effect::TakeRoom(draws.below(3)),
                _ => Effect::Fail(errno),
            };
            let lasts = draws.pick(&[Lasts::Once, Lasts::ForGood, Lasts::OneOf(2), Lasts::OneOf(3), Lasts::OneOf(7)]);
            // One byte at a time for good takes long.
            let lasts = if matches!(effect, Effect::Short(_)) { Lasts::OneOf(3) } else { lasts };
            disk.arm(Fault { call, index: draws.below(5), effect, lasts });
        }
    }

    /// Whether a call of the device has gone wrong. Why payloads could not be written is told until they are.
    fn has_trouble(&self) -> bool {
        self.past_hits > 0 || self.disk.as_ref().is_some_and(|disk| disk.hits() > 0)
    }

    fn judge(&mut self, error: &Error) {
        match error {
            Error::Budget(facts) => {
                assert!(
                    facts.resident_bytes + facts.requested_bytes > facts.limit_bytes || facts.limit_bytes < 1 << 22,
                    "{facts:?}"
                );
                self.report.full += 1;
            }
            // A read that brings nothing looks like a file that has become shorter.
            Error::System { .. } | Error::Corrupt { .. } => {
                assert!(self.has_trouble(), "{error:?} and nothing went wrong");
                self.report.failed += 1;
            }
            error => panic!("{error:?}"),
        }
    }

    fn pick(&self, draws: &mut Draws<'_>) -> Option<&Payload> {
        if self.payloads.is_empty() { None } else { Some(&self.payloads[draws.index(self.payloads.len())]) }
    }

    fn page_out(&mut self, draws: &mut Draws<'_>) {
        if self.payloads.len() == HANDLES_MAX {
            return;
        }
        let lens: Vec<usize> = (0..=draws.index(3) * draws.index(2)).map(|_| len(draws)).collect();
        let whole = elements::<u32>(lens.iter().sum(), draws.number());
        let pager = &self.pagers[draws.index(2)];
        let mut chunks = cut(&whole, &lens);
        let outcome = match draws.below(12) {
            0 => pager.pageout_copy(&chunks.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            1 => pager.pageout_with(Backend::Swap, &mut chunks),
            _ => pager.pageout(&mut chunks),
        };
        match outcome {
            Ok(handle) => {
                let twin = self.plain.pageout_vec(whole.clone()).expect("nothing goes wrong there");
                self.payloads.push(Payload { handle, twin, whole });
            }
            Err(error) => {
                assert_same(&chunks.concat(), &whole);
                assert!(matches!(error, Error::System { .. }), "{error:?}");
                self.judge(&error);
            }
        }
    }

    fn counts(handle: &Handle<u32>) -> bool {
        handle.backend() == Backend::File && !handle.is_empty()
    }

    fn read(&mut self, draws: &mut Draws<'_>) {
        let Some(payload) = self.pick(draws) else { return };
        let len = payload.whole.len();
        let (first, second) = (draws.index(len + 1), draws.index(len + 1));
        let (start, end) = (first.min(second), first.max(second));
        let ranges = [(end, len - end), (start, (end - start) / 2)];
        let is_counted = Self::counts(&payload.handle) && ranges.iter().any(|range| range.1 > 0);
        let (mut dst, mut same) = (Vec::new(), Vec::new());
        let outcome = payload.handle.pager().read_at_many(&payload.handle, &ranges, &mut dst);
        if outcome.is_ok() {
            assert_same(&dst, &gather(&payload.whole, &ranges));
            self.plain.read_at_many(&payload.twin, &ranges, &mut same).expect("nothing goes wrong there");
            assert_same(&dst, &same);
        }
        self.counted[0] += u64::from(is_counted);
        if let Err(error) = outcome {
            assert!(dst.is_empty());
            self.judge(&error);
        }
    }

    fn borrow(&mut self, draws: &mut Draws<'_>) {
        if self.payloads.is_empty() {
            return;
        }
        let position = draws.index(self.payloads.len());
        let payload = &self.payloads[position];
        let is_counted = Self::counts(&payload.handle);
        match payload.handle.borrow() {
            Ok(borrowed) => {
                assert_same(&borrowed, &payload.whole);
                self.counted[0] += u64::from(is_counted);
                if draws.one_of(2) {
                    let whole = payload.whole.clone();
                    if draws.one_of(3) {
                        // The handle goes first.
                        drop(self.payloads.swap_remove(position));
                    }
                    self.borrowed.push((borrowed, whole));
                }
            }
            Err(error) => {
                self.counted[1] += u64::from(is_counted);
                self.judge(&error);
            }
        }
    }

    fn take(&mut self, draws: &mut Draws<'_>) {
        if self.payloads.is_empty() {
            return;
        }
        let Payload { handle, twin, whole } = self.payloads.swap_remove(draws.index(self.payloads.len()));
        let is_counted = Self::counts(&handle);
        let mut dst = Vec::with_capacity(if draws.one_of(3) { whole.len() } else { 0 });
        match handle.pager().take(handle, &mut dst) {
            Ok(()) => {
                assert_same(&dst, &whole);
                assert_same(&twin.take().expect("nothing goes wrong there"), &whole);
                self.counted[0] += u64::from(is_counted);
            }
            Err(failed) => {
                assert!(dst.is_empty());
                self.counted[1] += u64::from(is_counted);
                let error = failed.error().clone();
                if matches!(error, Error::Borrowed) {
                    assert!(self.borrowed.iter().any(|(_, other)| *other == whole), "nobody borrows it");
                } else {
                    self.judge(&error);
                }
                self.payloads.push(Payload { handle: failed.into_handle(), twin, whole });
            }
        }
    }

    fn check(&mut self) {
        let stats = self.pagers.each_ref().map(Pager::stats);
        // Of one moment, which those of two pagers are not.
        let resident_bytes = self.budget.resident_bytes();
        assert!(stats.iter().all(|stats| stats.borrowed_bytes <= stats.resident_bytes || stats.resident_bytes == 0));
        // A smaller limit is reached as soon as may be; the keeper works beside this.
        assert!(resident_bytes <= LIMIT_BYTES_MAX, "{resident_bytes} bytes");
        let counted: u64 = stats.iter().map(|stats| stats.resident_hits + stats.resident_misses).sum();
        let [least, more] = self.counted;
        assert!((least..=least + more).contains(&counted), "{counted} hits and misses of {:?}", self.counted);
        let handles: u64 = stats.iter().map(|stats| stats.handles).sum();
        assert_eq!(handles, u64_of(self.payloads.len()));
        if self.borrowed.is_empty() {
            assert_eq!(self.budget.borrowed_bytes(), 0);
        }
        if let Some(disk) = &self.disk {
            disk.forget();
        }
    }

    /// Once nothing goes wrong any more all is there, and in the end nothing is left.
    fn end(mut self) {
        if let Some(disk) = &self.disk {
            self.report.faults += self.past_hits + disk.disarm();
        }
        self.borrowed.clear();
        let limit_bytes = self.budget.limit_bytes();
        eventually(|| self.budget.resident_bytes(), || self.budget.resident_bytes() <= limit_bytes);
        for Payload { handle, whole, .. } in &self.payloads {
            assert_same(&handle.read(..).expect("nothing goes wrong any more"), whole);
        }
        for Payload { handle, whole, .. } in std::mem::take(&mut self.payloads) {
            assert_same(&handle.take().expect("nothing goes wrong any more"), &whole);
        }
        let what = || format!("{:?}", self.pagers.each_ref().map(Pager::stats));
        eventually(what, || self.pagers.iter().all(|pager| pager.stats().resident_bytes + pager.stats().used_bytes == 0));
        assert_eq!((self.budget.resident_bytes(), self.budget.borrowed_bytes()), (0, 0));
        for pager in &self.pagers {
            pager.trim().expect("nothing goes wrong any more");
            let stats = pager.stats();
            assert_eq!((stats.scratch_bytes, stats.changed_borrows, stats.handles, stats.stored_bytes), (0, 0, 0, 0));
            self.report.background_failures += stats.background_write_failures;
            self.report.evictions += stats.evictions;
            self.report.evictions_without_write += stats.evictions_without_write;
            self.report.writes_elided += stats.writes_elided;
            self.report.hits += stats.resident_hits;
            self.report.misses += stats.resident_misses;
        }
        if let Some(disk) = &self.disk {
            eventually(|| "all space is given back", || disk.held_bytes() == 0);
        }
    }
}

const LIMIT_BYTES_MAX: u64 = 400 << 10;

fn limit_bytes(draws: &mut Draws<'_>) -> u64 {
    draws.pick(&[2 << 10, 20 << 10, 60 << 10, 150 << 10, LIMIT_BYTES_MAX])
}

/// Lengths in elements: few payloads are longer than the smaller limits.
fn len(draws: &mut Draws<'_>) -> usize {
    match draws.below(8) {
        0 => 0,
        1..=3 => 1 + draws.index(300),
        4..=6 => draws.index(3 * KIB),
        _ => draws.index(20 * KIB),
    }
}
