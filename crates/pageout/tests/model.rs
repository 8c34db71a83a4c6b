//! Random operations on a pager, compared step by step with a plain model: a list of payloads in vectors.
//!
//! `PROPTEST_CASES` sets how many sequences are tried, and `PAGEOUT_TEST_SEED` repeats a run: a failure names its seed.

mod common;

use common::faulty::Disk;
use common::{KIB, TestPager, assert_same, builder, cut, elements, gather, memories, scratch, slot_bytes, u64_of};
use pageout::{Backend, Error, Handle, Pager};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Small enough to be reached often.
const CAPACITY_BYTES: u64 = 400 * 1024;
/// The most payloads that are out at a time.
const HANDLES_MAX: usize = 40;

/// One operation. Positions and lengths are cut to what exists when the operation is done.
#[derive(Clone, Debug)]
enum Step {
    Pageout {
        named: Option<Backend>,
        lens: Vec<usize>,
        seed: u64,
    },
    PageoutCopy {
        lens: Vec<usize>,
        seed: u64,
    },
    Read {
        pick: usize,
        offset: usize,
        len: usize,
    },
    ReadMany {
        pick: usize,
        ranges: Vec<(usize, usize)>,
    },
    /// Ranges made from cuts, so that they never overlap, in a mixed order.
    ReadParts {
        pick: usize,
        cuts: Vec<usize>,
        rotation: usize,
    },
    ReadInto {
        pick: usize,
        offset: usize,
        len: usize,
    },
    Prefetch {
        pick: usize,
        ranges: Vec<(usize, usize)>,
    },
    Take {
        pick: usize,
        capacity: usize,
    },
    Drop {
        pick: usize,
    },
    SetBackend(Backend),
    Trim,
}

fn backend() -> impl Strategy<Value = Backend> {
    prop_oneof![3 => Just(Backend::File), 1 => Just(Backend::Swap)]
}

/// Chunk lengths in elements: mostly a few small ones, sometimes very many, sometimes more than the capacity.
fn lens() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        8 => prop::collection::vec(prop_oneof![1 => Just(0usize), 4 => 1..700usize, 2 => 500..3_000usize], 0..5),
        2 => prop::collection::vec(0..9usize, 0..1_100),
        1 => prop::collection::vec(10_000..30_000usize, 1..3),
    ]
}

fn ranges() -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((0..5_000usize, 0..600usize), 0..6)
}

fn step() -> impl Strategy<Value = Step> {
    let pick = any::<usize>();
    prop_oneof![
        8 => (prop::option::of(backend()), lens(), any::<u64>()).prop_map(|(named, lens, seed)| Step::Pageout { named, lens, seed }),
        1 => (lens(), any::<u64>()).prop_map(|(lens, seed)| Step::PageoutCopy { lens, seed }),
        3 => (pick, any::<usize>(), any::<usize>()).prop_map(|(pick, offset, len)| Step::Read { pick, offset, len }),
        2 => (pick, ranges()).prop_map(|(pick, ranges)| Step::ReadMany { pick, ranges }),
        4 => (pick, prop::collection::vec(any::<usize>(), 0..40), any::<usize>())
            .prop_map(|(pick, cuts, rotation)| Step::ReadParts { pick, cuts, rotation }),
        1 => (pick, any::<usize>(), any::<usize>()).prop_map(|(pick, offset, len)| Step::ReadInto { pick, offset, len }),
        1 => (pick, ranges()).prop_map(|(pick, ranges)| Step::Prefetch { pick, ranges }),
        5 => (pick, 0..5_000usize).prop_map(|(pick, capacity)| Step::Take { pick, capacity }),
        2 => pick.prop_map(|pick| Step::Drop { pick }),
        1 => backend().prop_map(Step::SetBackend),
        1 => Just(Step::Trim),
    ]
}

/// What the pager should be like.
#[derive(Debug, Default)]
struct Model {
    payloads: Vec<(Handle<u32>, Vec<u32>)>,
    swap_is_default: bool,
    /// Whether the device is known to take space back from the middle of a file.
    has_holes: bool,
    pageouts: [u64; 2],
    reads: [u64; 2],
    takes: [u64; 2],
}

/// Counts an operation and its bytes.
fn count(counters: &mut [u64; 2], bytes: usize) {
    counters[0] += 1;
    counters[1] += u64_of(bytes);
}

/// What must be said of ranges, by marking each element.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    OutOfRange,
    Overlap,
}

fn verdict(ranges: &[(usize, usize)], payload_len: usize) -> Verdict {
    if ranges.iter().any(|&(offset, len)| offset + len > payload_len) {
        return Verdict::OutOfRange;
    }
    let mut marks = vec![false; payload_len];
    for position in ranges.iter().flat_map(|&(offset, len)| offset..offset + len) {
        if std::mem::replace(&mut marks[position], true) {
            return Verdict::Overlap;
        }
    }
    Verdict::Fine
}

fn verdict_of(outcome: &Result<(), Error>) -> Verdict {
    match outcome {
        Ok(()) => Verdict::Fine,
        Err(Error::OutOfRange { .. }) => Verdict::OutOfRange,
        Err(Error::Overlap { .. }) => Verdict::Overlap,
        Err(error) => panic!("{error:?}"),
    }
}

/// Cuts a random offset and length to a payload.
fn within(offset: usize, len: usize, payload_len: usize) -> (usize, usize) {
    let offset = offset % (payload_len + 1);
    (offset, len % (payload_len - offset + 1))
}

impl Model {
    fn do_step(&mut self, pager: &Pager, step: &Step) {
        match step {
            Step::Pageout { named, lens, seed } => self.page_out(pager, *named, lens, *seed),
            Step::PageoutCopy { lens, seed } => self.copy_out(pager, lens, *seed),
            Step::SetBackend(backend) => {
                pager.set_backend(*backend);
                self.swap_is_default = *backend == Backend::Swap;
            }
            Step::Trim => {
                pager.trim().expect("a trim");
                // A file system without holes keeps the space of free slots beside used ones.
                if self.has_holes || self.used_bytes() == 0 {
                    assert_eq!(pager.stats().scratch_bytes, self.used_bytes());
                }
            }
            _ if self.payloads.is_empty() => {}
            Step::Read { pick, offset, len } => {
                let (_, whole) = &self.payloads[pick % self.payloads.len()];
                let range = within(*offset, *len, whole.len());
                self.read(pager, *pick, &[range]);
            }
            Step::ReadMany { pick, ranges } => self.read(pager, *pick, ranges),
            Step::ReadParts { pick, cuts, rotation } => {
                let (_, whole) = &self.payloads[pick % self.payloads.len()];
                let ranges = parts(whole.len(), cuts, *rotation);
                self.read(pager, *pick, &ranges);
            }
            Step::ReadInto { pick, offset, len } => self.read_into(pager, *pick, *offset, *len),
            Step::Prefetch { pick, ranges } => {
                let (handle, whole) = &self.payloads[pick % self.payloads.len()];
                assert_eq!(verdict_of(&pager.prefetch(handle, ranges)), verdict(ranges, whole.len()));
            }
            Step::Take { pick, capacity } => self.take(pager, *pick, *capacity),
            Step::Drop { pick } => drop(self.payloads.swap_remove(pick % self.payloads.len())),
        }
    }

    fn used_bytes(&self) -> u64 {
        let stored = self.payloads.iter().filter(|(handle, _)| handle.backend() == Backend::File);
        stored.map(|(_, whole)| slot_bytes(size_of_val(&whole[..]))).sum()
    }

    fn page_out(&mut self, pager: &Pager, named: Option<Backend>, lens: &[usize], seed: u64) {
        if self.payloads.len() == HANDLES_MAX {
            return;
        }
        let whole = elements::<u32>(lens.iter().sum(), seed);
        let mut chunks = cut(&whole, lens);
        let before = memories(&chunks);
        let backend = named.unwrap_or(if self.swap_is_default { Backend::Swap } else { Backend::File });
        let outcome = match named {
            Some(backend) => pager.pageout_with(backend, &mut chunks),
            None => pager.pageout(&mut chunks),
        };
        if self.publish(outcome, backend, whole) {
            assert!(chunks.iter().all(Vec::is_empty));
        } else {
            assert_eq!(memories(&chunks), before);
        }
    }

    fn copy_out(&mut self, pager: &Pager, lens: &[usize], seed: u64) {
        if self.payloads.len() == HANDLES_MAX {
            return;
        }
        let whole = elements::<u32>(lens.iter().sum(), seed);
        let chunks = cut(&whole, lens);
        let slices: Vec<&[u32]> = chunks.iter().map(Vec::as_slice).collect();
        let outcome = pager.pageout_copy(&slices);
        self.publish(outcome, Backend::File, whole);
        assert_same(&chunks.concat(), &elements::<u32>(lens.iter().sum(), seed));
    }

    /// Checks the outcome of a pageout, which must succeed exactly when the capacity allows; says whether it did.
    fn publish(&mut self, outcome: Result<Handle<u32>, Error>, backend: Backend, whole: Vec<u32>) -> bool {
        let len_bytes = size_of_val(&whole[..]);
        let requested_bytes = if backend == Backend::File { slot_bytes(len_bytes) } else { 0 };
        let fits = self.used_bytes() + requested_bytes <= CAPACITY_BYTES;
        match outcome {
            Ok(handle) => {
                assert!(fits, "past the capacity");
                assert_eq!((handle.len(), handle.len_bytes(), handle.backend()), (whole.len(), len_bytes, backend));
                count(&mut self.pageouts, len_bytes);
                self.payloads.push((handle, whole));
                true
            }
            Err(Error::Capacity(facts)) => {
                assert!(!fits, "within the capacity");
                let numbers = (facts.requested_bytes, facts.used_bytes, facts.capacity_bytes);
                assert_eq!(numbers, (requested_bytes, self.used_bytes(), CAPACITY_BYTES));
                false
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn read(&mut self, pager: &Pager, pick: usize, ranges: &[(usize, usize)]) {
        let (handle, whole) = &self.payloads[pick % self.payloads.len()];
        let mut dst = elements::<u32>(3, 1);
        let outcome = pager.read_at_many(handle, ranges, &mut dst);
        let expected = verdict(ranges, whole.len());
        assert_eq!(verdict_of(&outcome), expected, "{ranges:?}");
        assert_same(&dst[..3], &elements::<u32>(3, 1));
        if expected == Verdict::Fine {
            assert_same(&dst[3..], &gather(whole, ranges));
            count(&mut self.reads, size_of_val(&dst[3..]));
        } else {
            assert_eq!(dst.len(), 3);
        }
    }

    fn read_into(&mut self, pager: &Pager, pick: usize, offset: usize, len: usize) {
        let (handle, whole) = &self.payloads[pick % self.payloads.len()];
        let (offset, len) = within(offset, len, whole.len());
        let mut target = vec![0; len];
        pager.read_into(handle, &[(offset, len)], &mut target).expect("a read");
        assert_same(&target, &whole[offset..offset + len]);
        count(&mut self.reads, size_of_val(&target[..]));
    }

    fn take(&mut self, pager: &Pager, pick: usize, capacity: usize) {
        let (handle, whole) = self.payloads.swap_remove(pick % self.payloads.len());
        let mut dst = Vec::with_capacity(capacity);
        let address = dst.as_ptr();
        pager.take(handle, &mut dst).expect("a take");
        assert_same(&dst, &whole);
        assert!(capacity < whole.len() || capacity == 0 || dst.as_ptr() == address, "the allocation is kept");
        count(&mut self.takes, size_of_val(&whole[..]));
    }

    fn check(&self, pager: &Pager) {
        let stats = pager.stats();
        let payload_bytes: usize = self.payloads.iter().map(|(_, whole)| size_of_val(&whole[..])).sum();
        assert_eq!((stats.handles, stats.payload_bytes), (u64_of(self.payloads.len()), u64_of(payload_bytes)));
        assert_eq!((stats.used_bytes, stats.capacity_bytes), (self.used_bytes(), CAPACITY_BYTES));
        assert_eq!([stats.pageouts, stats.pageout_bytes], self.pageouts);
        assert_eq!([stats.reads, stats.read_bytes], self.reads);
        assert_eq!([stats.takes, stats.take_bytes], self.takes);
        assert!(stats.scratch_bytes >= stats.used_bytes);
    }
}

/// Cuts a payload into parts and leaves every fifth out; rotated and then every other one turned to the front.
fn parts(len: usize, cuts: &[usize], rotation: usize) -> Vec<(usize, usize)> {
    let mut borders: Vec<usize> = cuts.iter().map(|cut| cut % (len + 1)).chain([0, len]).collect();
    borders.sort_unstable();
    let pairs = borders.windows(2).enumerate().filter(|(position, _)| position % 5 != 4);
    let mut ranges: Vec<_> = pairs.map(|(_, pair)| (pair[0], pair[1] - pair[0])).collect();
    if !ranges.is_empty() {
        let middle = rotation % ranges.len();
        ranges.rotate_left(middle);
        ranges[..middle].reverse();
    }
    ranges
}

fn check_sequence(pager: &Pager, steps: &[Step]) {
    let has_holes = pager.stats().file_system.as_deref() == Some("simulated");
    let mut model = Model { has_holes, ..Model::default() };
    for step in steps {
        model.do_step(pager, step);
        model.check(pager);
    }
    while !model.payloads.is_empty() {
        model.take(pager, 0, 0);
        model.check(pager);
    }
    pager.trim().expect("a trim");
    assert_eq!((pager.stats().scratch_bytes, pager.stats().used_bytes), (0, 0));
}

/// Tries random sequences of operations, each on a pager of its own.
fn agrees_with_the_model<P: std::ops::Deref<Target = Pager>>(open: impl Fn() -> P) {
    let seed = match std::env::var("PAGEOUT_TEST_SEED") {
        Ok(seed) => seed.parse().expect("a seed is a number"),
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    };
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40);
    let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..80), |steps| {
        check_sequence(&open(), &steps);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("PAGEOUT_TEST_SEED={seed}: {failure}");
    }
}

fn on_disk(set_up: impl Fn(pageout::PagerBuilder) -> pageout::PagerBuilder) -> TestPager {
    let scratch = scratch();
    let pager = set_up(builder(scratch.path()).capacity_bytes(CAPACITY_BYTES)).build().expect("a pager");
    TestPager { pager, scratch }
}

#[test]
fn the_native_device_agrees_with_the_model() {
    agrees_with_the_model(|| on_disk(|builder| builder));
}

#[test]
fn the_portable_device_agrees_with_the_model() {
    agrees_with_the_model(|| on_disk(pageout::PagerBuilder::portable));
}

#[test]
fn a_pager_without_checksums_agrees_with_the_model() {
    agrees_with_the_model(|| on_disk(|builder| builder.integrity(false)));
}

/// A pager in memory.
struct Simulated(Pager);

impl std::ops::Deref for Simulated {
    type Target = Pager;

    fn deref(&self) -> &Pager {
        &self.0
    }
}

fn simulated(disk: &Disk) -> Simulated {
    Simulated(disk.builder().capacity_bytes(CAPACITY_BYTES).build().expect("a pager in memory"))
}

#[test]
fn a_device_without_room_to_spare_agrees_with_the_model() {
    // The room is the capacity: every free slot may have to be given back for the next payload.
    agrees_with_the_model(|| simulated(&Disk::with_room(CAPACITY_BYTES)));
}

#[test]
fn a_device_with_nothing_in_memory_agrees_with_the_model() {
    agrees_with_the_model(|| {
        let disk = Disk::new();
        disk.set_cold_from(u64_of(8 * KIB));
        simulated(&disk)
    });
}
