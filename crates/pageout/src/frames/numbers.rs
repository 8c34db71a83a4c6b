//! Numbers made small: their sign becomes the lowest bit, or the difference to the number before takes their place.
//!
//! The first difference is that to a [`Base`], which makes it the second one: so numbers that rise evenly have equal differences.
//! All numbers are seen as signed integers, little end first; so differences of floating-point numbers are those of their bits.
//! Sums wrap around, so every bit pattern comes back.

/// The body with one of three integer types: the one of 2^`width_log` bytes.
macro_rules! by_width {
    ($width_log:expr, $Number:ident of $two:ty | $four:ty | $eight:ty, $body:expr) => {
        match $width_log {
            1 => {
                type $Number = $two;
                $body
            }
            2 => {
                type $Number = $four;
                $body
            }
            3 => {
                type $Number = $eight;
                $body
            }
            width_log => unreachable!("numbers of 2^{width_log} bytes"),
        }
    };
}

/// Each number of `elements` with its sign as the lowest bit, into `folded`, which has their length.
pub(super) fn fold_signs(elements: &[u8], width_log: u8, folded: &mut [u8]) {
    by_width!(width_log, Signed of i16 | i32 | i64, {
        const WIDTH: usize = size_of::<Signed>();
        for (from, into) in elements.as_chunks::<WIDTH>().0.iter().zip(folded.as_chunks_mut::<WIDTH>().0) {
            let number = Signed::from_le_bytes(*from);
            *into = (number << 1 ^ number >> (Signed::BITS - 1)).to_le_bytes();
        }
    });
}

/// The inverse of [`fold_signs`], in place.
pub(super) fn unfold_signs(elements: &mut [u8], width_log: u8) {
    by_width!(width_log, Unsigned of u16 | u32 | u64, {
        const WIDTH: usize = size_of::<Unsigned>();
        for number in elements.as_chunks_mut::<WIDTH>().0 {
            let folded = Unsigned::from_le_bytes(*number);
            *number = (folded >> 1 ^ (folded & 1).wrapping_neg()).to_le_bytes();
        }
    });
}

/// The number before the first, in as many bytes as a number has; the others are zero.
pub(super) type Base = [u8; 8];

/// The base of `elements`, which are not empty.
pub(super) fn base(elements: &[u8], width_log: u8) -> Base {
    let mut base = Base::default();
    by_width!(width_log, Unsigned of u16 | u32 | u64, {
        let (numbers, _) = elements.as_chunks::<{ size_of::<Unsigned>() }>();
        let first = Unsigned::from_le_bytes(numbers[0]);
        let second = numbers.get(1).map_or(first, |second| Unsigned::from_le_bytes(*second));
        base[..size_of::<Unsigned>()].copy_from_slice(&first.wrapping_add(first.wrapping_sub(second)).to_le_bytes());
    });
    base
}

/// The difference of each number of `elements` to the one before, folded, into `folded`, which has their length.
pub(super) fn fold_differences(elements: &[u8], width_log: u8, base: Base, folded: &mut [u8]) {
    by_width!(width_log, Signed of i16 | i32 | i64, {
        const WIDTH: usize = size_of::<Signed>();
        let mut last = Signed::from_le_bytes(*base.first_chunk().expect("no wider number"));
        for (from, into) in elements.as_chunks::<WIDTH>().0.iter().zip(folded.as_chunks_mut::<WIDTH>().0) {
            let number = Signed::from_le_bytes(*from);
            let difference = number.wrapping_sub(last);
            *into = (difference << 1 ^ difference >> (Signed::BITS - 1)).to_le_bytes();
            last = number;
        }
    });
}

/// The inverse of [`fold_differences`], in place.
pub(super) fn unfold_differences(elements: &mut [u8], width_log: u8, base: Base) {
    by_width!(width_log, Unsigned of u16 | u32 | u64, {
        const WIDTH: usize = size_of::<Unsigned>();
        let mut sum = Unsigned::from_le_bytes(*base.first_chunk().expect("no wider number"));
        for number in elements.as_chunks_mut::<WIDTH>().0 {
            let folded = Unsigned::from_le_bytes(*number);
            sum = sum.wrapping_add(folded >> 1 ^ (folded & 1).wrapping_neg());
            *number = sum.to_le_bytes();
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn small_numbers_become_small() {
        let mut folded = [0u16; 6];
        let numbers = [0, -1, 1, -2, i16::MAX, i16::MIN];
        fold_signs(bytemuck::cast_slice(&numbers), 1, bytemuck::cast_slice_mut(&mut folded));
        assert_eq!(folded, [0, 1, 2, 3, 65_534, 65_535]);
        let numbers = [700, 697, 697, 698, i16::MAX, i16::MIN];
        let numbers = bytemuck::cast_slice(&numbers);
        assert_eq!(base(numbers, 1), [0xbf, 2, 0, 0, 0, 0, 0, 0], "703");
        fold_differences(numbers, 1, base(numbers, 1), bytemuck::cast_slice_mut(&mut folded));
        assert_eq!(folded, [5, 5, 0, 2, 64_138, 2]);
        assert_eq!(base(&numbers[..2], 1), [0xbc, 2, 0, 0, 0, 0, 0, 0], "the one number there is");
    }

    proptest! {
        #[test]
        fn every_pattern_comes_back(width_log in 1..=3u8, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let elements = &bytes[..bytes.len() >> width_log << width_log];
            let mut folded = vec![0; elements.len()];
            fold_signs(elements, width_log, &mut folded);
            unfold_signs(&mut folded, width_log);
            prop_assert_eq!(&folded, elements);
            if !elements.is_empty() {
                let base = base(elements, width_log);
                fold_differences(elements, width_log, base, &mut folded);
                unfold_differences(&mut folded, width_log, base);
                prop_assert_eq!(&folded, elements);
            }
        }
    }
}
