use std::collections::BTreeSet;

use proptest::prelude::*;

use super::twin::{Parameters, Twin};
use super::*;
use crate::units;

/// Entries 0 to `count`, of one KiB each.
fn with_entries(count: u32) -> Policy {
    let mut policy = Policy::new();
    for id in 0..count {
        insert(&mut policy, id, KIB);
    }
    policy
}

fn insert(policy: &mut Policy, id: u32, bytes: u64) {
    policy.prepare(id).expect("memory for few entries");
    policy.insert(id, bytes);
}

fn evicted(policy: &mut Policy) -> Vec<u32> {
    std::iter::from_fn(|| policy.evict(|_| true)).collect()
}

fn cooled(policy: &mut Policy, count: usize) -> Vec<u32> {
    std::iter::from_fn(|| policy.cool()).take(count).collect()
}

#[test]
fn without_uses_what_came_first_leaves_first() {
    assert_eq!(evicted(&mut with_entries(4)), [0, 1, 2, 3]);
}

#[test]
fn what_is_used_leaves_after_what_is_not() {
    let mut policy = with_entries(20);
    policy.touch(0);
    policy.touch(3);
    let order = evicted(&mut policy);
    assert_eq!((order.len(), &order[18..]), (20, &[0, 3][..]));
}

#[test]
fn each_use_in_main_is_one_more_round() {
    let mut policy = with_entries(3);
    for id in [0, 1, 2] {
        policy.touch(id);
    }
    assert_eq!(cooled(&mut policy, 1), [0], "all went to Main");
    for id in [1, 1, 1, 1, 1, 2] {
        policy.touch(id);
    }
    insert(&mut policy, 3, 1);
    assert_eq!(cooled(&mut policy, 4), [3, 2, 1], "Small holds more than a tenth; three uses count at most");
}

/// Nine used entries in Main, and entry 9, which was evicted from Small.
fn with_a_ghost() -> Policy {
    let mut policy = with_entries(9);
    (0..9).for_each(|id| policy.touch(id));
    insert(&mut policy, 9, 20 * KIB);
    assert_eq!((policy.evict(|_| true), policy.len()), (Some(9), 9));
    policy
}

/// Whether entry 9 enters Small, of which it is the only one.
fn enters_small(policy: &mut Policy) -> bool {
    insert(policy, 9, 20 * KIB);
    policy.evict(|_| true) == Some(9)
}

#[test]
fn an_entry_that_is_back_soon_enters_main() {
    assert!(!enters_small(&mut with_a_ghost()));
}

#[test]
fn an_entry_that_is_back_late_enters_small() {
    for (others, is_late) in [(8, false), (9, true)] {
        let mut policy = with_a_ghost();
        for id in 10..10 + others {
            insert(&mut policy, id, 20 * KIB);
            assert_eq!(policy.evict(|_| true), Some(id));
        }
        assert_eq!(enters_small(&mut policy), is_late, "{others} became ghosts since");
    }
}

#[test]
fn a_forgotten_entry_is_no_ghost_and_a_removed_one_still_is() {
    let mut policy = with_a_ghost();
    policy.remove(9);
    assert!(!enters_small(&mut policy));
    let mut policy = with_a_ghost();
    policy.forget(9);
    assert!(enters_small(&mut policy));
}

#[test]
fn an_entry_that_left_main_is_no_ghost() {
    let mut policy = with_a_ghost();
    assert_eq!(policy.evict(|_| true), Some(0));
    insert(&mut policy, 0, 20 * KIB);
    assert_eq!(policy.evict(|_| true), Some(0), "the only one of Small");
}

#[test]
fn a_cooled_entry_that_is_used_stays() {
    let mut policy = with_entries(4);
    assert_eq!(cooled(&mut policy, 3), [0, 1, 2]);
    policy.touch(1);
    assert_eq!(evicted(&mut policy), [0, 2, 3, 1]);
}

#[test]
fn what_is_not_cooled_stays_while_others_are_on_their_way() {
    let mut policy = with_entries(4);
    assert_eq!(cooled(&mut policy, 2), [0, 1]);
    assert_eq!((policy.evict_cooled(|_| false), policy.cooled_bytes()), (None, 2 * KIB));
    policy.touch(1);
    assert!(policy.evict_this(0), "before its turn");
    assert!(!policy.evict_this(0), "it has left");
    assert!(!policy.evict_this(1), "it was used since");
    assert!(!policy.evict_this(2), "it is not cooled");
    assert_eq!((policy.evict_cooled(|_| true), policy.len()), (None, 3));
}

#[test]
fn what_may_not_leave_keeps_its_place() {
    let mut policy = with_entries(4);
    assert_eq!(cooled(&mut policy, 3), [0, 1, 2]);
    assert_eq!(policy.evict(|id| id > 0), Some(1));
    assert!(policy.is_searching());
    assert_eq!(policy.evict(|id| id > 0), Some(2));
    assert!(!policy.is_searching());
    assert_eq!(policy.evict(|_| true), Some(0), "the search starts again");
    assert_eq!((policy.evict(|_| false), policy.cooled_bytes()), (None, KIB));
    policy.remove(3);
    assert_eq!((policy.evict(|_| true), policy.len(), policy.bytes()), (None, 0, 0));
}

#[test]
fn a_search_for_long_is_continued() {
    let mut policy = with_entries(3 * LOOKS_MAX);
    while policy.cool().is_some() {}
    let last = 3 * LOOKS_MAX - 1;
    let mut looks = 0;
    let mut search = |policy: &mut Policy| {
        policy.evict(|id| {
            looks += 1;
            id == last
        })
    };
    assert_eq!([search(&mut policy), search(&mut policy), search(&mut policy)], [None, None, Some(last)]);
    assert_eq!(looks, 3 * LOOKS_MAX);
    assert!(!policy.is_searching());
}

#[test]
fn a_search_goes_on_behind_an_entry_that_is_removed() {
    let mut policy = with_entries(4);
    while policy.cool().is_some() {}
    assert_eq!(policy.evict(|_| true), Some(0));
    policy.remove(1);
    policy.touch(2);
    assert_eq!(policy.next_cooled(None), Some(3));
    assert_eq!(evicted(&mut policy), [3, 2]);
}

#[test]
fn eviction_cools_few_that_may_not_leave() {
    let mut policy = with_entries(10 * COOLED_MAX);
    let eighth = 10 * COOLED_MAX / 8;
    for calls in 1..=3 {
        assert_eq!(policy.evict(|_| false), None);
        assert_eq!(policy.cooled_bytes(), u64::from(calls * eighth) * KIB);
    }
    let mut policy = with_entries(2 * COOLED_MAX);
    assert_eq!((policy.evict(|_| false), policy.cooled_bytes()), (None, u64::from(COOLED_MAX) * KIB));
}

#[test]
fn one_call_passes_over_few_that_are_in_use() {
    let mut policy = with_entries(2 * TURNS_MAX);
    (0..2 * TURNS_MAX).for_each(|id| policy.touch(id));
    assert_eq!(policy.evict(|_| true), Some(TURNS_MAX), "taken as it comes");
    assert_eq!(policy.cool(), Some(0), "its use was gone when it entered Main");
}

#[test]
fn the_keeper_walks_the_cooled_in_their_order() {
    let mut policy = with_entries(6);
    assert_eq!(policy.next_cooled(None), None);
    cooled(&mut policy, 5);
    policy.touch(0);
    policy.touch(2);
    assert_eq!(policy.next_cooled(None), Some(1));
    assert_eq!([policy.next_cooled(Some(1)), policy.next_cooled(Some(3)), policy.next_cooled(Some(4))], [Some(3), Some(4), None]);
    assert_eq!(policy.next_cooled(Some(5)), Some(1), "not cooled");
    assert_eq!(policy.cooled_bytes(), 3 * KIB, "entries 0 and 2 are in Main");
}

#[test]
fn sizes_are_whole_kib_and_at_least_one() {
    let mut policy = Policy::new();
    for (id, bytes) in [(0, 0), (1, 1), (2, KIB), (3, KIB + 1), (4, u64::MAX)] {
        insert(&mut policy, id, bytes);
    }
    assert_eq!(policy.bytes(), (5 + u64::from(u32::MAX)) * KIB);
    policy.remove(4);
    insert(&mut policy, 0, 7 * KIB);
    assert_eq!((policy.bytes(), policy.len()), (11 * KIB, 4), "again in memory, with another size");
}

#[test]
fn ids_that_were_never_prepared_are_no_entries() {
    let mut policy = Policy::new();
    policy.touch(7);
    policy.remove(7);
    policy.forget(7);
    assert_eq!((policy.cool(), policy.evict(|_| true), policy.next_cooled(Some(7)), policy.len()), (None, None, None, 0));
}

#[derive(Clone, Debug)]
enum Step {
    /// Sizes in KiB, and how many follow.
    Insert(u32, u64, u32),
    Touch(u32, u32),
    Remove(u32),
    Forget(u32),
    Cool(usize),
    /// How many times; entries of this remainder by 4 may not leave.
    Evict(usize, u32),
    /// The same among those that are cooled.
    EvictCooled(usize, u32),
    EvictThis(u32),
    /// Entries become free to leave, or are held.
    Hold(u32, bool),
    NextCooled(Option<u32>),
}

const IDS: u32 = 300;

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..IDS;
    prop_oneof![
        8 => (id(), 0..40u64, 0..60u32).prop_map(|(first, kib, count)| Step::Insert(first, kib, count)),
        8 => (id(), 0..60u32).prop_map(|(first, count)| Step::Touch(first, count)),
        2 => id().prop_map(Step::Remove),
        2 => id().prop_map(Step::Forget),
        2 => (0..150usize).prop_map(Step::Cool),
        8 => (1..20usize, 0..8u32).prop_map(|(count, held)| Step::Evict(count, held)),
        3 => (1..20usize, 0..8u32).prop_map(|(count, held)| Step::EvictCooled(count, held)),
        2 => id().prop_map(Step::EvictThis),
        4 => (id(), any::<bool>()).prop_map(|(id, is_held)| Step::Hold(id, is_held)),
        3 => proptest::option::of(id()).prop_map(Step::NextCooled),
    ]
}

/// Both ways to keep the same entries.
struct Twins {
    policy: Policy,
    plain: Twin,
    held: BTreeSet<u32>,
}

impl Twins {
    /// Does the same to both, and compares what they return.
    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let Self { policy, plain, held } = self;
        match *step {
            Step::Insert(first, kib, count) => {
                for id in first..IDS.min(first + count) {
                    insert(policy, id, kib * KIB);
                    plain.insert(id, kib * KIB);
                }
            }
            Step::Touch(first, count) => {
                for id in first..IDS.min(first + count) {
                    policy.touch(id);
                    plain.touch(id);
                }
            }
            Step::Remove(id) => {
                policy.remove(id);
                plain.remove(id);
            }
            Step::Forget(id) => {
                policy.forget(id);
                plain.forget(id);
            }
            Step::Cool(count) => {
                for _ in 0..count {
                    prop_assert_eq!(policy.cool(), plain.cool());
                }
            }
            Step::Evict(count, held_kind) => {
                let may_leave = |id: u32| id % 4 != held_kind && !held.contains(&id);
                for _ in 0..count {
                    prop_assert_eq!(policy.evict(may_leave), plain.evict(may_leave));
                    prop_assert_eq!(policy.is_searching(), plain.is_searching());
                }
            }
            Step::EvictCooled(count, held_kind) => {
                let may_leave = |id: u32| id % 4 != held_kind && !held.contains(&id);
                for _ in 0..count {
                    prop_assert_eq!(policy.evict_cooled(may_leave), plain.evict_cooled(may_leave));
                    prop_assert_eq!(policy.is_searching(), plain.is_searching());
                }
            }
            Step::EvictThis(id) => prop_assert_eq!(policy.evict_this(id), plain.evict_this(id)),
            Step::Hold(id, is_held) => {
                let others = if is_held { id..IDS } else { 0..id };
                if is_held { held.extend(others) } else { held.retain(|id| !others.contains(id)) }
            }
            Step::NextCooled(after) => prop_assert_eq!(policy.next_cooled(after), plain.next_cooled(after)),
        }
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(units::index(self.policy.len()), self.plain.len());
        prop_assert_eq!(self.policy.bytes(), self.plain.bytes());
        prop_assert_eq!(self.policy.cooled_bytes(), self.plain.cooled_bytes());
        prop_assert_eq!(self.policy.is_searching(), self.plain.is_searching());
        Ok(())
    }

    /// What is in memory leaves both in the same order, all of it.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        while self.plain.len() > 0 {
            let left = self.policy.evict(|_| true);
            prop_assert!(left.is_some() || self.policy.is_searching());
            prop_assert_eq!(left, self.plain.evict(|_| true));
        }
        self.compare()
    }
}

proptest! {
    /// Whatever the order of operations, each returns what it returns of plain collections, and nothing is lost.
    #[test]
    fn agrees_with_plain_collections(steps in proptest::collection::vec(step(), 1..200)) {
        let mut twins = Twins { policy: Policy::new(), plain: Twin::new(Parameters::CHOSEN), held: BTreeSet::new() };
        for step in &steps {
            twins.take(step)?;
        }
        twins.drain()?;
    }
}
