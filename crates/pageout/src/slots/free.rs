//! Which slot of one file is handed out next.
//!
//! Order of preference:
//! 1. **warm**: the few slots freed last, last one first, because the page cache still holds their pages;
//! 2. **idle**: other free slots that have disk space, lowest first, so that successive payloads are neighbours on the disk
//!    and takes of them profit from the kernel's readahead;
//! 3. **fresh**: never used, disk space reserved, in ascending order;
//! 4. **holes**: free slots whose disk space was given back; they need it again before use ([`FreeSlots::take_holes`]).
//!
//! Claiming and releasing never allocate: memory for the whole file is allocated when it grows.

use std::collections::TryReserveError;

use super::bitset::{BitSet, Run};
use crate::units::{self, MIB};

/// The most slots that stay warm, and the most bytes: what fits a last-level cache share is likely still in the page cache.
const WARM_SLOTS_MAX: usize = 64;
const WARM_BYTES_MAX: u64 = 16 * MIB;

/// The free slots of one file.
#[derive(Debug)]
pub(crate) struct FreeSlots {
    /// The slots freed last, newest at the back; never longer than `warm_max`.
    warm: Vec<WarmSlot>,
    warm_max: usize,
    idle: BitSet,
    holes: BitSet,
    /// Slots below were handed out at least once.
    fresh_first: u32,
    /// Slots below have been given disk space at least once.
    bound: u32,
    /// Smallest number of free slots with disk space since the last [`Self::take_unneeded`]: these were never needed.
    unneeded: u32,
}

/// A recently freed slot.
#[derive(Clone, Copy, Debug)]
struct WarmSlot {
    index: u32,
    /// Whether its pages may be evicted from the page cache without being written first.
    is_clean: bool,
}

impl FreeSlots {
    /// The free slots of an empty file.
    pub(crate) fn new(slot_bytes: u64) -> Self {
        let warm_max = units::to_usize(WARM_BYTES_MAX / slot_bytes).clamp(1, WARM_SLOTS_MAX);
        Self {
            warm: Vec::new(),
            warm_max,
            idle: BitSet::default(),
            holes: BitSet::default(),
            fresh_first: 0,
            bound: 0,
            unneeded: 0,
        }
    }

    /// A free slot with disk space, best first.
    pub(crate) fn claim(&mut self) -> Option<u32> {
        self.claim_freed().or_else(|| self.claim_fresh().inspect(|_| self.note_need()))
    }

    /// A free slot that was used before and has disk space, best first.
    pub(crate) fn claim_freed(&mut self) -> Option<u32> {
        let claimed = self.warm.pop().map(|slot| slot.index).or_else(|| self.idle.pop_lowest());
        claimed.inspect(|_| self.note_need())
    }

    /// Free slots that have disk space.
    pub(crate) fn spacious(&self) -> u32 {
        let warm = u32::try_from(self.warm.len()).expect("few are warm");
        warm + self.idle.len() + (self.bound - self.fresh_first)
    }

    /// Number of free slots with disk space that were never needed since the last call.
    pub(crate) fn take_unneeded(&mut self) -> u32 {
        let spacious = self.spacious();
        std::mem::replace(&mut self.unneeded, spacious)
    }

    fn note_need(&mut self) {
        self.unneeded = self.unneeded.min(self.spacious());
    }

    /// Takes the lowest run of holes, at most `count_max` of them. It is returned by [`Self::put_idle`] when it has disk space
    /// again, else by [`Self::put_holes`].
    pub(crate) fn take_holes(&mut self, count_max: u32) -> Option<Run> {
        self.holes.pop_run(count_max)
    }

    /// Whether [`Self::claim`] would return a slot.
    pub(crate) fn has_free(&self) -> bool {
        !self.warm.is_empty() || self.idle.len() > 0 || self.fresh_first < self.bound
    }

    /// Frees a claimed slot that has disk space. Returns the slot that stops being warm in exchange, if that one is clean.
    pub(crate) fn release(&mut self, index: u32, is_clean: bool) -> Option<u32> {
        let coldest = (self.warm.len() == self.warm_max).then(|| self.warm.remove(0));
        if let Some(coldest) = coldest {
            self.keep_idle(coldest.index);
        }
        self.warm.push(WarmSlot { index, is_clean });
        coldest.filter(|slot| slot.is_clean).map(|slot| slot.index)
    }

    /// Allocates memory for `count` more slots at the end, before disk space is reserved for them.
    ///
    /// # Errors
    /// When memory cannot be allocated; nothing has changed.
    pub(crate) fn prepare(&mut self, count: u32) -> Result<(), TryReserveError> {
        let bound = self.bound.saturating_add(count);
        self.idle.extend_to(bound)?;
        self.holes.extend_to(bound)?;
        self.warm.try_reserve_exact(self.warm_max - self.warm.len())
    }

    /// Adds `count` slots with disk space at the end; [`Self::prepare`] has allocated for them.
    pub(crate) fn extend(&mut self, count: u32) {
        self.bound += count;
    }

    /// Makes all warm slots idle.
    pub(crate) fn cool(&mut self) {
        while let Some(slot) = self.warm.pop() {
            self.keep_idle(slot.index);
        }
    }

    /// Takes the highest run of idle and fresh slots, at most `count_max` of them. It is returned by [`Self::put_holes`] or
    /// [`Self::put_idle`], or cut off by [`Self::shorten_to`].
    pub(crate) fn take_idle(&mut self, count_max: u32) -> Option<Run> {
        self.settle_fresh();
        self.idle.pop_highest_run(count_max).filter(|run| run.count > 0)
    }

    /// As [`Self::take_idle`], but the lowest of `run`, warm ones included.
    pub(crate) fn take_idle_of(&mut self, run: Run) -> Option<Run> {
        self.settle_fresh();
        self.cool();
        let mut indices = run.first..run.first + run.count;
        let first = indices.find(|&index| self.idle.remove(index))?;
        let count = 1 + indices.take_while(|&index| self.idle.remove(index)).count();
        Some(Run { first, count: u32::try_from(count).expect("no more than the run has") })
    }

    /// As [`Self::take_idle`], but only at the end of the file.
    pub(crate) fn take_tail(&mut self, count_max: u32) -> Option<Run> {
        self.settle_fresh();
        let is_tail = self.idle.highest().is_some_and(|highest| highest + 1 == self.bound);
        if is_tail { self.take_idle(count_max) } else { None }
    }

    /// Ends the file at slot `bound`. The slots behind it were taken by [`Self::take_tail`].
    pub(crate) fn shorten_to(&mut self, bound: u32) {
        debug_assert!(bound <= self.bound && self.fresh_first == self.bound);
        (self.bound, self.fresh_first) = (bound, bound);
    }

    /// Makes all fresh slots idle.
    fn settle_fresh(&mut self) {
        while let Some(index) = self.claim_fresh() {
            self.keep_idle(index);
        }
    }

    /// Returns a taken run whose disk space was given back.
    pub(crate) fn put_holes(&mut self, run: Run) {
        (run.first..run.first + run.count).for_each(|index| self.keep_hole(index));
    }

    /// Returns a taken run that has disk space.
    pub(crate) fn put_idle(&mut self, run: Run) {
        (run.first..run.first + run.count).for_each(|index| self.keep_idle(index));
    }

    /// One past the highest slot that was ever given disk space.
    pub(crate) fn bound(&self) -> u32 {
        self.bound
    }

    /// Slots that have disk space: all but the holes.
    pub(crate) fn with_space(&self) -> u32 {
        self.bound - self.holes.len()
    }

    /// Slots that are claimed, or taken and not yet returned.
    pub(crate) fn in_use(&self) -> u32 {
        let free = self.warm.len() + units::index(self.idle.len()) + units::index(self.holes.len());
        self.fresh_first - u32::try_from(free).expect("fewer free slots than slots")
    }

    fn claim_fresh(&mut self) -> Option<u32> {
        (self.fresh_first < self.bound).then(|| {
            self.fresh_first += 1;
            self.fresh_first - 1
        })
    }

    fn keep_idle(&mut self, index: u32) {
        let absent = self.idle.insert(index);
        debug_assert!(absent, "slot {index} was free already");
    }

    fn keep_hole(&mut self, index: u32) {
        let absent = self.holes.insert(index);
        debug_assert!(absent, "slot {index} was free already");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn with_slots(slot_bytes: u64, count: u32) -> FreeSlots {
        let mut free = FreeSlots::new(slot_bytes);
        free.prepare(count).expect("memory for a small file");
        free.extend(count);
        free
    }

    fn drained(free: &mut FreeSlots) -> Vec<Run> {
        free.cool();
        std::iter::from_fn(|| free.take_idle(u32::MAX)).collect()
    }

    #[test]
    fn fresh_slots_ascend() {
        let mut free = with_slots(4096, 3);
        assert_eq!([free.claim(), free.claim(), free.claim(), free.claim()], [Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn the_slot_freed_last_is_reused_first() {
        let mut free = with_slots(4096, 8);
        let slots: Vec<_> = (0..4).map(|_| free.claim().expect("four of eight")).collect();
        assert_eq!(free.release(slots[1], true), None);
        assert_eq!(free.release(slots[3], false), None);
        assert_eq!([free.claim(), free.claim(), free.claim()], [Some(slots[3]), Some(slots[1]), Some(4)]);
    }

    #[test]
    fn many_freed_slots_come_back_lowest_first_behind_the_warm_ones() {
        let count = u32::try_from(WARM_SLOTS_MAX).expect("small") + 3;
        let mut free = with_slots(4096, count);
        while free.claim().is_some() {}
        let cooled: Vec<_> = (0..count).rev().filter_map(|index| free.release(index, index % 2 == 0)).collect();
        let clean: Vec<_> = (count - 3..count).rev().filter(|index| index % 2 == 0).collect();
        assert_eq!(cooled, clean, "the first three to be freed, as far as they are clean");
        let warm: Vec<_> = (0..WARM_SLOTS_MAX).map(|_| free.claim().expect("warm")).collect();
        assert_eq!(warm[..3], [0, 1, 2], "newest first");
        assert_eq!([free.claim(), free.claim(), free.claim()], [Some(count - 3), Some(count - 2), Some(count - 1)]);
    }

    #[test]
    fn large_slots_stay_warm_up_to_16_mib() {
        let mut free = with_slots(8 * MIB, 3);
        while free.claim().is_some() {}
        assert_eq!([0, 1, 2].map(|index| free.release(index, true)), [None, None, Some(0)]);
    }

    #[test]
    fn drained_slots_come_back_as_holes_that_need_space_again() {
        let mut free = with_slots(4096, 6);
        let kept = free.claim().expect("first");
        assert_eq!(drained(&mut free), [Run { first: 1, count: 5 }]);
        free.put_holes(Run { first: 1, count: 2 });
        free.put_idle(Run { first: 3, count: 3 });
        assert_eq!(free.with_space(), 4);
        assert_eq!([free.claim(), free.claim(), free.claim(), free.claim()], [Some(3), Some(4), Some(5), None]);
        let holes = free.take_holes(8).expect("two neighbouring holes");
        assert_eq!((holes, free.take_holes(8)), (Run { first: 1, count: 2 }, None));
        free.put_idle(holes);
        assert_eq!(free.claim(), Some(1));
        free.release(kept, false);
    }

    #[test]
    fn what_nobody_needed_is_the_least_that_was_free() {
        let mut free = with_slots(4096, 6);
        free.take_unneeded();
        let slots = [free.claim(), free.claim(), free.claim()].map(|slot| slot.expect("three of six"));
        free.release(slots[1], false);
        free.release(slots[0], false);
        assert_eq!((free.spacious(), free.in_use()), (5, 1));
        assert_eq!(free.take_unneeded(), 3, "as many as were free when three were in use");
        assert_eq!(free.claim_freed(), Some(slots[0]));
        assert_eq!([free.take_unneeded(), free.take_unneeded()], [4, 4]);
    }

    #[test]
    fn free_slots_of_a_run_are_taken_the_warm_ones_too() {
        let mut free = with_slots(4096, 7);
        for _ in 0..4 {
            free.claim();
        }
        free.release(2, false);
        free.release(0, false);
        let run = Run { first: 1, count: 5 };
        assert_eq!(free.take_idle_of(run), Some(Run { first: 2, count: 1 }), "slot 3 is in use");
        assert_eq!(free.take_idle_of(run), Some(Run { first: 4, count: 2 }), "slot 6 is not of the run");
        assert_eq!(free.take_idle_of(run), None);
        assert_eq!([free.claim(), free.claim(), free.claim()], [Some(0), Some(6), None]);
    }

    #[test]
    fn only_free_slots_at_the_end_shorten_a_file() {
        let mut free = with_slots(4096, 6);
        while free.claim().is_some() {}
        for index in [1, 4, 5] {
            free.release(index, false);
        }
        free.cool();
        let tail = free.take_tail(9).expect("two slots");
        assert_eq!((tail, free.take_tail(9)), (Run { first: 4, count: 2 }, None));
        free.shorten_to(tail.first);
        assert_eq!((free.bound(), free.with_space(), free.in_use()), (4, 4, 3));
        assert_eq!([free.claim(), free.claim()], [Some(1), None]);
    }

    /// The same slots in plain sets: each operation does what its documentation says, and nothing for speed.
    #[derive(Debug, Default)]
    struct Plain {
        live: Vec<u32>,
        /// Slots and whether they are clean, newest at the back.
        warm: Vec<(u32, bool)>,
        warm_max: usize,
        idle: BTreeSet<u32>,
        fresh: BTreeSet<u32>,
        holes: BTreeSet<u32>,
        unneeded: usize,
    }

    impl Plain {
        fn spacious(&self) -> usize {
            self.warm.len() + self.idle.len() + self.fresh.len()
        }

        fn with_space(&self) -> usize {
            self.live.len() + self.spacious()
        }

        fn bound(&self) -> u32 {
            u32::try_from(self.with_space() + self.holes.len()).expect("a small file")
        }

        fn claim(&mut self) -> Option<u32> {
            self.claim_freed().or_else(|| {
                let claimed = self.fresh.pop_first();
                self.use_claimed(claimed)
            })
        }

        fn claim_freed(&mut self) -> Option<u32> {
            let claimed = self.warm.pop().map(|(index, _)| index).or_else(|| self.idle.pop_first());
            self.use_claimed(claimed)
        }

        fn use_claimed(&mut self, claimed: Option<u32>) -> Option<u32> {
            if claimed.is_some() {
                self.live.extend(claimed);
                self.unneeded = self.unneeded.min(self.spacious());
            }
            claimed
        }

        fn take_unneeded(&mut self) -> usize {
            let spacious = self.spacious();
            std::mem::replace(&mut self.unneeded, spacious)
        }

        fn release(&mut self, index: u32, is_clean: bool) -> Option<u32> {
            self.warm.push((index, is_clean));
            let (coldest, is_clean) = (self.warm.len() > self.warm_max).then(|| self.warm.remove(0))?;
            self.idle.insert(coldest);
            is_clean.then_some(coldest)
        }

        fn cool(&mut self) {
            self.idle.extend(self.warm.drain(..).map(|(index, _)| index));
        }

        fn take_idle(&mut self, count_max: u32) -> Option<Run> {
            self.idle.append(&mut self.fresh);
            let highest = *self.idle.last()?;
            let count = (0..=highest).rev().take(units::index(count_max)).take_while(|index| self.idle.remove(index)).count();
            let count = u32::try_from(count).expect("a small file");
            Some(Run { first: highest + 1 - count, count }).filter(|run| run.count > 0)
        }

        fn take_idle_of(&mut self, run: Run) -> Option<Run> {
            self.idle.append(&mut self.fresh);
            self.cool();
            let end = run.first + run.count;
            let first = *self.idle.range(run.first..end).next()?;
            let count = (first..end).take_while(|index| self.idle.remove(index)).count();
            Some(Run { first, count: u32::try_from(count).expect("a small file") })
        }

        fn take_tail(&mut self, count_max: u32) -> Option<Run> {
            let bound = self.bound();
            self.idle.append(&mut self.fresh);
            let is_tail = self.idle.last().is_some_and(|&highest| highest == bound - 1);
            is_tail.then(|| self.take_idle(count_max)).flatten()
        }

        fn take_holes(&mut self, count_max: u32) -> Option<Run> {
            let first = *self.holes.first()?;
            let count = (first..first + count_max).take_while(|index| self.holes.remove(index)).count();
            Some(Run { first, count: u32::try_from(count).expect("a small file") })
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Claim,
        ClaimFreed,
        Release(usize, bool),
        Grow(u32),
        TakeUnneeded,
        /// Takes holes, and puts them back with disk space or without.
        Refill(u32, bool),
        /// Takes idle slots, and puts them back with disk space or without.
        TakeIdle(u32, bool),
        /// As `TakeIdle`, of a run that begins and ends anywhere in the file.
        TakeIdleOf(u32, u32, bool),
        /// Takes idle slots at the end, and cuts them off or puts them back.
        TakeTail(u32, bool),
        Drain(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let count_max = || prop_oneof![8 => 0..40u32, 1 => Just(u32::MAX)];
        prop_oneof![
            8 => Just(Step::Claim),
            3 => Just(Step::ClaimFreed),
            8 => (any::<usize>(), any::<bool>()).prop_map(|(pick, is_clean)| Step::Release(pick, is_clean)),
            1 => (0..150u32).prop_map(Step::Grow),
            1 => Just(Step::TakeUnneeded),
            2 => (1..40u32, any::<bool>()).prop_map(|(count_max, has_space)| Step::Refill(count_max, has_space)),
            1 => (count_max(), any::<bool>()).prop_map(|(count_max, has_space)| Step::TakeIdle(count_max, has_space)),
            1 => (any::<u32>(), 0..40u32, any::<bool>())
                .prop_map(|(first, count, has_space)| Step::TakeIdleOf(first, count, has_space)),
            1 => (count_max(), any::<bool>()).prop_map(|(count_max, is_cut)| Step::TakeTail(count_max, is_cut)),
            1 => any::<bool>().prop_map(Step::Drain),
        ]
    }

    /// Both ways to keep the same slots.
    struct Twins {
        free: FreeSlots,
        plain: Plain,
    }

    impl Twins {
        fn new(slot_bytes: u64, warm_max: usize) -> Self {
            Self { free: FreeSlots::new(slot_bytes), plain: Plain { warm_max, ..Plain::default() } }
        }

        /// Does the same to both, and compares what they return.
        fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
            let Self { free, plain } = self;
            match *step {
                Step::Claim => prop_assert_eq!(free.claim(), plain.claim()),
                Step::ClaimFreed => prop_assert_eq!(free.claim_freed(), plain.claim_freed()),
                Step::Release(..) if plain.live.is_empty() => {}
                Step::Release(pick, is_clean) => {
                    let index = plain.live.swap_remove(pick % plain.live.len());
                    prop_assert_eq!(free.release(index, is_clean), plain.release(index, is_clean));
                }
                Step::Grow(count) => {
                    free.prepare(count).expect("memory for a small file");
                    free.extend(count);
                    let bound = plain.bound();
                    plain.fresh.extend(bound..bound + count);
                }
                Step::TakeUnneeded => prop_assert_eq!(units::index(free.take_unneeded()), plain.take_unneeded()),
                Step::Refill(count_max, has_space) => {
                    let run = free.take_holes(count_max);
                    prop_assert_eq!(run, plain.take_holes(count_max));
                    self.put(run, has_space);
                }
                Step::TakeIdle(count_max, has_space) => {
                    let run = free.take_idle(count_max);
                    prop_assert_eq!(run, plain.take_idle(count_max));
                    self.put(run, has_space);
                }
                Step::TakeIdleOf(first, count, has_space) => {
                    let first = first % (plain.bound() + 1);
                    let of = Run { first, count: count.min(plain.bound() - first) };
                    let run = free.take_idle_of(of);
                    prop_assert_eq!(run, plain.take_idle_of(of));
                    self.put(run, has_space);
                }
                Step::TakeTail(count_max, is_cut) => {
                    let run = free.take_tail(count_max);
                    prop_assert_eq!(run, plain.take_tail(count_max));
                    match run {
                        Some(tail) if is_cut => free.shorten_to(tail.first),
                        _ => self.put(run, true),
                    }
                }
                Step::Drain(has_space) => {
                    plain.cool();
                    let runs = drained(free);
                    prop_assert_eq!(&runs, &std::iter::from_fn(|| plain.take_idle(u32::MAX)).collect::<Vec<_>>());
                    for run in runs {
                        self.put(Some(run), has_space);
                    }
                }
            }
            self.compare()
        }

        /// Returns what was taken.
        fn put(&mut self, taken: Option<Run>, has_space: bool) {
            let Some(run) = taken else { return };
            let slots = run.first..run.first + run.count;
            if has_space {
                self.free.put_idle(run);
                self.plain.idle.extend(slots);
            } else {
                self.free.put_holes(run);
                self.plain.holes.extend(slots);
            }
        }

        fn compare(&self) -> Result<(), TestCaseError> {
            let Self { free, plain } = self;
            prop_assert_eq!(free.bound(), plain.bound());
            prop_assert_eq!(units::index(free.with_space()), plain.with_space());
            prop_assert_eq!(units::index(free.spacious()), plain.spacious());
            prop_assert_eq!(units::index(free.in_use()), plain.live.len());
            prop_assert_eq!(free.has_free(), plain.spacious() > 0);
            Ok(())
        }
    }

    proptest! {
        /// Whatever the order of operations, each returns what it returns of plain sets: no slot is handed out twice, none is
        /// lost, the best one comes first, and the counts are exact.
        #[test]
        fn agrees_with_plain_sets(is_large in any::<bool>(), steps in proptest::collection::vec(step(), 1..500)) {
            let mut twins = if is_large { Twins::new(8 * MIB, 2) } else { Twins::new(4096, 64) };
            for step in &steps {
                twins.take(step)?;
            }
            twins.take(&Step::Drain(true))?;
        }
    }
}
