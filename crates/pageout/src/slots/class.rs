//! Size classes: slots of 2^k and 1.5 x 2^k bytes from one page (4 KiB) to 64 MiB.
//!
//! Every size is a multiple of a page, so a slot never shares a page of the page cache with its neighbour. Two sizes an
//! octave keep the waste at a third of the slot, except for payloads just longer than one page, which get two pages.

use crate::units::{KIB, MIB};

/// The smallest slot: one page of the page cache.
const SMALLEST_SLOT_BYTES: u64 = 4 * KIB;
/// The largest slot; longer payloads take several.
pub(crate) const LARGEST_SLOT_BYTES: u64 = 64 * MIB;
/// 4 KiB alone, then 2^k and 1.5 x 2^k from 8 KiB to 48 MiB, then 64 MiB.
pub(crate) const CLASS_COUNT: usize = 28;

const SIZES: [u64; CLASS_COUNT] = sizes();
const _: () = assert!(SIZES[0] == SMALLEST_SLOT_BYTES && SIZES[CLASS_COUNT - 1] == LARGEST_SLOT_BYTES);

/// A size class: all slots of one file have one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

impl Class {
    /// The class with the smallest slots that hold `len_bytes`, which is at most [`LARGEST_SLOT_BYTES`].
    pub(crate) fn for_len(len_bytes: u64) -> Self {
        debug_assert!(len_bytes <= LARGEST_SLOT_BYTES);
        if len_bytes <= SMALLEST_SLOT_BYTES {
            return Self(0);
        }
        // Two classes an octave: up to 1.5 times a power of two, and above; one class for the first octave.
        let octave = (len_bytes - 1).ilog2();
        let is_upper = len_bytes > 3 << (octave - 1);
        let position = 2 * (octave - SMALLEST_SLOT_BYTES.ilog2()) + u32::from(is_upper);
        Self(u8::try_from(position.max(1)).expect("fewer than 256 classes"))
    }

    /// Bytes of one slot.
    pub(crate) fn slot_bytes(self) -> u64 {
        SIZES[self.index()]
    }

    /// Position among the classes, smallest first.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The slots a payload of `len_bytes` takes, in payload order: as many of the largest as fit, then one for the rest.
pub(crate) fn classes_for(len_bytes: u64) -> impl Iterator<Item = Class> + Clone {
    let whole = len_bytes / LARGEST_SLOT_BYTES;
    let rest = len_bytes % LARGEST_SLOT_BYTES;
    let largest = (0..whole).map(|_| Class::for_len(LARGEST_SLOT_BYTES));
    largest.chain((rest > 0).then(|| Class::for_len(rest)))
}

/// Bytes of the slots that a payload of `len_bytes` takes. Saturates: `u64::MAX` exceeds any capacity.
pub(crate) fn slot_bytes_for(len_bytes: u64) -> u64 {
    let rest = len_bytes % LARGEST_SLOT_BYTES;
    let last_slot_bytes = if rest > 0 { Class::for_len(rest).slot_bytes() } else { 0 };
    (len_bytes - rest).saturating_add(last_slot_bytes)
}

const fn sizes() -> [u64; CLASS_COUNT] {
    let mut sizes = [SMALLEST_SLOT_BYTES; CLASS_COUNT];
    let mut position = 1;
    while position < CLASS_COUNT {
        let power = SMALLEST_SLOT_BYTES << position.div_ceil(2);
        sizes[position] = if position % 2 == 1 { power } else { power / 2 * 3 };
        position += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rise_in_whole_pages_by_at_most_a_third_of_waste() {
        assert_eq!(&SIZES[..5], &[4096, 8192, 12288, 16384, 24576]);
        assert_eq!(SIZES, sizes(), "whenever they are computed");
        for pair in SIZES.windows(2) {
            assert!(pair[0] < pair[1] && pair[1] % 4096 == 0);
            // The worst payload of a slot is one byte longer than the slot below it.
            let waste_bytes = pair[1] - pair[0] - 1;
            assert!(pair[0] == 4096 || waste_bytes * 3 <= pair[1], "{pair:?}");
        }
    }

    #[test]
    fn each_length_gets_the_smallest_slot_that_holds_it() {
        for (position, &slot_bytes) in SIZES.iter().enumerate() {
            assert_eq!(Class::for_len(slot_bytes).index(), position);
            assert_eq!(Class::for_len(slot_bytes - 1).slot_bytes(), slot_bytes);
            if let Some(&next_bytes) = SIZES.get(position + 1) {
                assert_eq!(Class::for_len(slot_bytes + 1).slot_bytes(), next_bytes);
                assert_eq!(Class::for_len(slot_bytes.midpoint(next_bytes)).slot_bytes(), next_bytes);
            }
        }
        assert_eq!(Class::for_len(1).slot_bytes(), 4096);
    }

    #[test]
    fn long_payloads_take_several_of_the_largest_and_one_for_the_rest() {
        let slots = |len| classes_for(len).map(Class::slot_bytes).collect::<Vec<_>>();
        assert_eq!(slots(64 * MIB), [64 * MIB]);
        assert_eq!(slots(64 * MIB + 1), [64 * MIB, 4096]);
        assert_eq!(slots(150 * MIB), [64 * MIB, 64 * MIB, 24 * MIB]);
        assert_eq!(slots(0), [0u64; 0]);
        for len in [0, 1, 4097, 64 * MIB, 64 * MIB + 1, 150 * MIB] {
            assert_eq!(slot_bytes_for(len), slots(len).iter().sum::<u64>());
        }
        assert_eq!(slot_bytes_for(u64::MAX), u64::MAX, "more than can be counted");
    }
}
