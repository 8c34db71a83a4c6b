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

/// `value` rounded up to a multiple of `unit`, which is a power of two; `None` when that overflows.
pub(crate) const fn round_up(value: u64, unit: u64) -> Option<u64> {
    match value.checked_add(unit - 1) {
        Some(sum) => Some(sum & !(unit - 1)),
        None => None,
    }
}

/// `value` rounded down to a multiple of `unit`, which is a power of two.
pub(crate) const fn round_down(value: u64, unit: u64) -> u64 {
    value & !(unit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_multiples_and_reports_overflow() {
        assert_eq!(round_up(0, 4096), Some(0));
        assert_eq!(round_up(1, 4096), Some(4096));
        assert_eq!(round_up(4096, 4096), Some(4096));
        assert_eq!(round_up(u64::MAX, 4096), None);
        assert_eq!(round_down(8191, 4096), 4096);
    }
}
