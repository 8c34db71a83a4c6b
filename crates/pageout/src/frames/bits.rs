//! Bytes that differ little from each other, in as few bits as their range needs.
//!
//! Bits go in parts of 1, 2 and 4, each part of all values by itself. The values that share a byte do not lie side by side:
//! the first of them are in the lowest bits of all bytes, so that compilers make vector instructions of either direction.

use std::ops::RangeInclusive;

/// Bits that are written together.
const PARTS: [u8; 3] = [1, 2, 4];

/// The smallest and the greatest of `values`, which are not none.
pub(super) fn range(values: &[u8]) -> RangeInclusive<u8> {
    let (min, max) = values.iter().fold((u8::MAX, 0), |(min, max), &value| (min.min(value), max.max(value)));
    min..=max
}

/// Bits for each value of a range.
pub(super) fn width(range: &RangeInclusive<u8>) -> u8 {
    let bits = u8::BITS - (range.end() - range.start()).leading_zeros();
    u8::try_from(bits).expect("at most 8")
}

/// Bytes of `len` values in `width` bits, of less than 8.
pub(super) fn packed_len(width: u8, len: usize) -> usize {
    parts(width).map(|part| part_len(part, len)).sum()
}

/// Fills `packed`, which is as long as [`packed_len`] says, with what the values are more than `min`.
pub(super) fn pack(values: &[u8], min: u8, width: u8, mut packed: &mut [u8]) {
    let mut shift = 0;
    for part in parts(width) {
        let (bytes, rest) = packed.split_at_mut(part_len(part, values.len()));
        bytes.fill(0);
        for (place, values) in (0..).step_by(part.into()).zip(values.chunks(bytes.len())) {
            pack_part(values, min, shift, part, place, bytes);
        }
        (packed, shift) = (rest, shift + part);
    }
}

/// The inverse of [`pack`].
pub(super) fn unpack(mut packed: &[u8], min: u8, width: u8, values: &mut [u8]) {
    values.fill(min);
    let mut shift = 0;
    for part in parts(width) {
        let (bytes, rest) = packed.split_at(part_len(part, values.len()));
        for (place, values) in (0..).step_by(part.into()).zip(values.chunks_mut(bytes.len())) {
            unpack_part(bytes, shift, part, place, values);
        }
        (packed, shift) = (rest, shift + part);
    }
}

fn parts(width: u8) -> impl Iterator<Item = u8> {
    PARTS.into_iter().filter(move |part| width & part != 0)
}

fn part_len(part: u8, len: usize) -> usize {
    (len * usize::from(part)).div_ceil(8)
}

#[inline(never)]
fn pack_part(values: &[u8], min: u8, shift: u8, part: u8, place: u8, bytes: &mut [u8]) {
    let mask = (1 << part) - 1;
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte |= (value.wrapping_sub(min) >> shift & mask) << place;
    }
}

#[inline(never)]
fn unpack_part(bytes: &[u8], shift: u8, part: u8, place: u8, values: &mut [u8]) {
    let mask = (1 << part) - 1;
    for (value, byte) in values.iter_mut().zip(bytes) {
        *value = value.wrapping_add((byte >> place & mask) << shift);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn widths_are_those_of_ranges() {
        let widths = [[5, 5], [5, 6], [0, 2], [100, 103], [100, 104], [200, 255], [1, 128], [0, 127], [0, 128]]
            .map(|values| width(&range(&values)));
        assert_eq!(widths, [0, 1, 2, 2, 3, 6, 7, 7, 8]);
    }

    #[test]
    fn values_share_bytes_across_the_plane() {
        let mut packed = [0; 2];
        pack(&[10, 11, 13, 10], 10, 2, &mut packed[..1]);
        assert_eq!(packed[0], 0b00_11_01_00);
        pack(&[10, 11, 14, 12], 10, 3, &mut packed);
        assert_eq!(packed, [0b0010, 0b01_10_00_00]);
    }

    proptest! {
        #[test]
        fn values_come_back(min in any::<u8>(), span in any::<u8>(), seeds in proptest::collection::vec(any::<u8>(), 1..300)) {
            let span = span.min(u8::MAX - min);
            let value = |seed: &u8| min + seed.checked_rem(span.wrapping_add(1)).unwrap_or(*seed);
            let values: Vec<u8> = seeds.iter().map(value).collect();
            let range = range(&values);
            let width = width(&range);
            prop_assume!(width < 8);
            let mut packed = vec![0xa5; packed_len(width, values.len())];
            pack(&values, *range.start(), width, &mut packed);
            let mut back = vec![0x5a; values.len()];
            unpack(&packed, *range.start(), width, &mut back);
            prop_assert_eq!(back, values);
        }
    }
}
