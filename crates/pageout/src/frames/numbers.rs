//! Numbers made small: their sign becomes the lowest bit, or the difference to the number before takes their place.
//!
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

/// The difference of each number of `elements` to the one before, folded, into `folded`, which has their length.
pub(super) fn fold_differences(elements: &[u8], width_log: u8, folded: &mut [u8]) {
    by_width!(width_log, Signed of i16 | i32 | i64, {
        const WIDTH: usize = size_of::<Signed>();
        let mut last: Signed = 0;
        for (from, into) in elements.as_chunks::<WIDTH>().0.iter().zip(folded.as_chunks_mut::<WIDTH>().0) {
            let number = Signed::from_le_bytes(*from);
            let difference = number.wrapping_sub(last);
            *into = (difference << 1 ^ difference >> (Signed::BITS - 1)).to_le_bytes();
            last = number;
        }
    });
}

/// The inverse of [`fold_differences`], in place.
pub(super) fn unfold_differences(elements: &mut [u8], width_log: u8) {
    by_width!(width_log, Unsigned of u16 | u32 | u64, {
        const WIDTH: usize = size_of::<Unsigned>();
        let mut sum: Unsigned = 0;
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

    fn folded(numbers: &[i16], fold: fn(&[u8], u8, &mut [u8])) -> Vec<u16> {
        let mut folded = vec![0u16; numbers.len()];
        fold(bytemuck::cast_slice(numbers), 1, bytemuck::cast_slice_mut(&mut folded));
        folded
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn small_numbers_become_small() {
        assert_eq!(folded(&[0, -1, 1, -2, i16::MAX, i16::MIN], fold_signs), [0, 1, 2, 3, 65_534, 65_535]);
        assert_eq!(folded(&[700, 700, 699, 702, i16::MIN], fold_differences), [1400, 0, 1, 6, 64_132]);
    }

    proptest! {
        #[test]
        fn every_pattern_comes_back(width_log in 1..=3u8, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let elements = &bytes[..bytes.len() >> width_log << width_log];
            let mut folded = vec![0; elements.len()];
            fold_signs(elements, width_log, &mut folded);
            unfold_signs(&mut folded, width_log);
            prop_assert_eq!(&folded, elements);
            fold_differences(elements, width_log, &mut folded);
            unfold_differences(&mut folded, width_log);
            prop_assert_eq!(&folded, elements);
        }
    }
}
