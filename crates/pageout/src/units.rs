//! Conversions between the integer widths of this crate, in one place.
//!
//! Bytes and offsets are `u64`, indices and counts of slots are `u32`, lengths of memory are `usize`. The crate supports
//! 64-bit targets only, so `usize` and `u64` convert into each other without loss; everything narrower is checked.

const _: () = assert!(usize::BITS == 64, "pageout supports 64-bit targets only");

/// Bytes in one kibibyte.
pub(crate) const KIB: u64 = 1 << 10;
/// Bytes in one mebibyte.
pub(crate) const MIB: u64 = 1 << 20;

/// A length of memory as a number of bytes or elements.
#[allow(clippy::cast_possible_truncation, reason = "usize has 64 bits, asserted above")]
pub(crate) const fn to_u64(value: usize) -> u64 {
    value as u64
}

/// A number of bytes or elements as a length of memory.
#[allow(clippy::cast_possible_truncation, reason = "usize has 64 bits, asserted above")]
pub(crate) const fn to_usize(value: u64) -> usize {
    value as usize
}

/// A `u32` index as an index into memory.
pub(crate) const fn index(value: u32) -> usize {
    value as usize
}

/// `value` rounded down to a multiple of `unit`, which is a power of two.
pub(crate) const fn round_down(value: u64, unit: u64) -> u64 {
    value & !(unit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_down_keeps_multiples() {
        assert_eq!([0, 4095, 4096, 8191].map(|value| round_down(value, 4096)), [0, 0, 4096, 4096]);
    }
}
