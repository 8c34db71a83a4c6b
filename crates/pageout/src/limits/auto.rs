//! The limit of a memory budget that follows what is free.
//!
//! Its share is half of what the budget could have: what the memory groups and the machine leave free of anonymous memory, and
//! what the budget holds already. The page cache does not count as used, but it needs the other half: scratch files are written
//! and read through it, the program's text lies in it, and whatever the program allocates until the next look comes out of it.
//! Of `n` such budgets that are full, in one process or several, each comes to one part in `n + 1`.
//!
//! A share that falls is followed at once, also below what is resident. One that rises is followed in small steps, so that
//! budgets that look at the same free memory do not take it together, and what comes and goes is not answered by writing and
//! reading back. Under pressure a quarter of what is resident leaves with each look, down to a quarter of the share: pressure
//! that this does not end is not the budget's, and writing everything to scratch files would only add to it.

use super::Look;
use crate::sys::device::MemorySample;
use crate::sys::memory;
use crate::units::MIB;

/// The share is this part of what the budget could have.
const SHARE_DIVISOR: u64 = 2;
/// A limit grows by this part of its share with each look: it has regained it after 32 looks, a minute or so.
const GROWTH_DIVISOR: u64 = 32;
/// Under pressure this part of what is resident has to leave.
const RETREAT_DIVISOR: u64 = 4;
/// Pressure takes no more away than leaves this part of the share.
const PRESSED_DIVISOR: u64 = 4;
/// The smallest limit, also where the share is smaller: without anything resident there would be nothing to learn from.
const FLOOR_BYTES: u64 = MIB;
/// Where the machine does not say what it has available, this part of its memory counts as that.
const UNKNOWN_DIVISOR: u64 = 2;

/// An automatic limit, with what it has seen.
#[derive(Debug, Default)]
pub(crate) struct Auto {
    limit: AutoLimit,
    /// How often this process had been told of pressure at the last look. Before the first one it concerned nobody.
    pressures: Option<u64>,
}

impl Auto {
    /// Looks at the memory and at what tells of pressure, and gives the limit from now on, in bytes, for a budget that holds
    /// `resident_bytes`.
    ///
    /// It waits for nothing and has no clock: one step is taken with each call. The caller sees to it that there is one every two
    /// seconds or less often, which costs some system calls, all of them reading.
    pub(crate) fn next(&mut self, resident_bytes: u64) -> u64 {
        self.after(super::look(), memory::physical_bytes(), resident_bytes)
    }

    /// The first limit of a budget in a process of which `sample` is known.
    pub(super) fn first(sample: MemorySample, physical_bytes: u64) -> u64 {
        Self::default().after(Look { sample, pressures: 0 }, physical_bytes, 0)
    }

    fn after(&mut self, look: Look, physical_bytes: u64, resident_bytes: u64) -> u64 {
        // In a forked child the count begins again.
        let is_pressed = self.pressures.replace(look.pressures).is_some_and(|before| look.pressures > before);
        self.limit.next(completed(look.sample, physical_bytes, resident_bytes), resident_bytes, is_pressed)
    }
}

/// A sample that the size of the machine completes: nothing has more than all of its memory, whatever lies in swap space.
fn completed(sample: MemorySample, physical_bytes: u64, resident_bytes: u64) -> MemorySample {
    let limit_bytes = sample.limit_bytes.min(physical_bytes);
    let is_known = sample.available_bytes < u64::MAX || physical_bytes == u64::MAX;
    let unused_bytes = (physical_bytes / UNKNOWN_DIVISOR).saturating_sub(resident_bytes);
    let available_bytes = if is_known { sample.available_bytes } else { unused_bytes };
    MemorySample { limit_bytes, available_bytes, ..sample }
}

/// The limit alone: pure.
#[derive(Debug, Default)]
struct AutoLimit {
    /// What it was last; nothing before the first look, which begins with the whole share.
    limit_bytes: Option<u64>,
}

impl AutoLimit {
    /// The limit after one more look.
    fn next(&mut self, sample: MemorySample, resident_bytes: u64, is_pressed: bool) -> u64 {
        let share_bytes = share_bytes(sample, resident_bytes);
        let before_bytes = self.limit_bytes.unwrap_or(share_bytes);
        let wanted_bytes = if is_pressed {
            let held_bytes = resident_bytes.min(before_bytes);
            let kept_bytes = held_bytes - held_bytes / RETREAT_DIVISOR;
            before_bytes.min(kept_bytes.max(share_bytes / PRESSED_DIVISOR))
        } else {
            before_bytes.saturating_add(share_bytes.div_ceil(GROWTH_DIVISOR))
        };
        let limit_bytes = wanted_bytes.min(share_bytes).max(FLOOR_BYTES);
        self.limit_bytes = Some(limit_bytes);
        limit_bytes
    }
}

/// What a budget that holds `resident_bytes` may have of the memory.
fn share_bytes(sample: MemorySample, resident_bytes: u64) -> u64 {
    // What it holds in swap space is free memory as well, but no group has more than its limit.
    sample.free_bytes().saturating_add(resident_bytes).min(sample.limit_bytes) / SHARE_DIVISOR
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LARGE: MemorySample =
        MemorySample { limit_bytes: 1024 * MIB, group_free_bytes: 800 * MIB, available_bytes: 4096 * MIB };

    fn free(group_free_bytes: u64) -> MemorySample {
        MemorySample { group_free_bytes, ..LARGE }
    }

    #[test]
    fn the_share_is_half_of_what_is_free_and_what_is_held() {
        assert_eq!(AutoLimit::default().next(LARGE, 0, false), 400 * MIB);
        assert_eq!(AutoLimit::default().next(LARGE, 100 * MIB, false), 450 * MIB);
        let narrow = MemorySample { available_bytes: 60 * MIB, ..LARGE };
        assert_eq!(AutoLimit::default().next(narrow, 100 * MIB, false), 80 * MIB, "the machine has less than the group");
        assert_eq!(AutoLimit::default().next(LARGE, 9999 * MIB, false), 512 * MIB, "most of it is in swap space");
    }

    #[test]
    fn what_is_held_does_not_change_the_share() {
        let mut limit = AutoLimit::default();
        for resident_mib in [0, 100, 400, 250] {
            assert_eq!(limit.next(free((800 - resident_mib) * MIB), resident_mib * MIB, false), 400 * MIB);
        }
    }

    #[test]
    fn a_share_that_falls_is_followed_at_once_and_one_that_rises_in_steps() {
        let mut limit = AutoLimit::default();
        assert_eq!(limit.next(free(640 * MIB), 0, false), 320 * MIB);
        assert_eq!(limit.next(free(64 * MIB), 0, false), 32 * MIB);
        assert_eq!(limit.next(free(640 * MIB), 0, false), 42 * MIB);
        let looks = (0..100).take_while(|_| limit.next(free(640 * MIB), 0, false) < 320 * MIB).count();
        assert_eq!(looks, 27);
        assert_eq!(limit.next(free(640 * MIB), 0, false), 320 * MIB);
    }

    #[test]
    fn pressure_takes_a_quarter_of_what_is_resident_down_to_a_quarter_of_the_share() {
        let mut limit = AutoLimit::default();
        let mut next =
            |resident_mib: u64, is_pressed| limit.next(free((800 - resident_mib) * MIB), resident_mib * MIB, is_pressed) / MIB;
        assert_eq!(next(400, false), 400);
        assert_eq!(next(400, true), 300);
        // What has not left yet is not counted twice.
        assert_eq!(next(400, true), 225);
        assert_eq!(next(225, true), 168);
        assert_eq!(next(168, false), 181);
        // What does not need its limit loses it as well.
        assert_eq!(next(130, true), 100);
        assert_eq!(next(100, true), 100);
        assert_eq!(next(0, true), 100);
        assert_eq!(next(0, false), 112);
    }

    #[test]
    fn where_nothing_is_free_a_little_is_left_to_live_again() {
        let mut limit = AutoLimit::default();
        assert_eq!(limit.next(free(0), 0, true), MIB);
        assert_eq!(limit.next(free(0), MIB, true), MIB);
        assert!(limit.next(free(64 * MIB), MIB, false) > MIB);
    }

    #[test]
    fn budgets_that_are_full_come_to_equal_parts() {
        let mut limits: Vec<_> = (0..3).map(|_| (AutoLimit::default(), 0)).collect();
        for _ in 0..300 {
            let used_bytes: u64 = limits.iter().map(|(_, bytes)| bytes).sum();
            for (limit, bytes) in &mut limits {
                *bytes = limit.next(free((800 * MIB).saturating_sub(used_bytes)), *bytes, false);
            }
        }
        for (_, bytes) in limits {
            assert!(bytes.abs_diff(200 * MIB) < 2 * MIB, "{bytes}");
        }
    }

    #[test]
    fn pressure_is_what_was_told_since_the_last_look() {
        let mut auto = Auto::default();
        let mut next = |pressures| auto.after(Look { sample: free(400 * MIB), pressures }, u64::MAX, 400 * MIB) / MIB;
        assert_eq!((next(7), next(7)), (400, 400), "nobody was there before");
        assert_eq!((next(8), next(10), next(10)), (300, 225, 237));
        assert_eq!((next(0), next(1)), (250, 187), "a forked child counts again");
    }

    #[test]
    fn a_machine_that_says_nothing_gives_a_quarter_of_its_memory() {
        for resident_mib in [0, 100, 200, 256, 300, 5000] {
            let look = Look { sample: MemorySample::UNLIMITED, pressures: 0 };
            let limit_bytes = Auto::default().after(look, 1024 * MIB, resident_mib * MIB);
            assert_eq!(limit_bytes, if resident_mib < 512 { 256 * MIB } else { 512 * MIB });
        }
        let small = Auto::default().after(Look { sample: LARGE, pressures: 0 }, 512 * MIB, 0);
        assert_eq!(small, 256 * MIB, "the group allows more than there is");
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn this_process_has_a_limit() {
        let bytes = Auto::default().next(0);
        assert!(bytes >= FLOOR_BYTES && bytes <= memory::physical_bytes() / SHARE_DIVISOR, "{bytes}");
    }

    fn any_bytes() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0..4096 * MIB, 1 => any::<u64>(), 1 => Just(0), 1 => Just(u64::MAX)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_limit_keeps_to_its_share_and_its_step(
            looks in vec((any_bytes(), any_bytes(), any_bytes(), any_bytes(), any::<bool>()), 1..40),
        ) {
            let mut limit = AutoLimit::default();
            let mut before_bytes = None;
            for (limit_bytes, group_free_bytes, available_bytes, resident_bytes, is_pressed) in looks {
                let sample = MemorySample { limit_bytes, group_free_bytes, available_bytes };
                let free_bytes = u128::from(group_free_bytes.min(available_bytes)) + u128::from(resident_bytes);
                let share_bytes = u64::try_from(free_bytes.min(u128::from(limit_bytes)) / 2).expect("below the limit");
                let now_bytes = limit.next(sample, resident_bytes, is_pressed);
                prop_assert!(now_bytes <= share_bytes.max(MIB) && now_bytes >= MIB);
                if let Some(before_bytes) = before_bytes {
                    let step_bytes = if is_pressed { 0 } else { share_bytes / 32 + 1 };
                    prop_assert!(now_bytes <= step_bytes.saturating_add(before_bytes));
                    let expected_bytes = step_bytes.saturating_add(before_bytes).min(share_bytes);
                    prop_assert!(is_pressed || now_bytes.abs_diff(expected_bytes.max(MIB)) <= 1, "it falls at once, and grows");
                }
                if is_pressed {
                    let kept_bytes = resident_bytes - resident_bytes / 4;
                    prop_assert!(now_bytes <= kept_bytes.max(share_bytes / 4).max(MIB), "a quarter has to leave");
                    prop_assert!(now_bytes >= (share_bytes / 4).min(before_bytes.unwrap_or(u64::MAX)), "but not all");
                }
                before_bytes = Some(now_bytes);
            }
        }
    }
}
