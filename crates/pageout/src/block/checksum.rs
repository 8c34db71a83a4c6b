//! One CRC-32/ISCSI for each 4 KiB page of a payload, kept in memory with the handle.
//!
//! Made from the caller's memory before the write, so a flipped bit anywhere behind it is seen. Kept in memory and not
//! with the data, so a misplaced, lost or stale write is seen too, and the data stays aligned. A page is the unit because a
//! range read must be checked as well, and reads at most two pages more than it asked for. Four bytes a page are 0.1 % of
//! the payload; any burst of up to 32 flipped bits in a page is found, other damage but for one case in 2^32.

use std::collections::TryReserveError;
use std::io::IoSlice;
use std::ops::Range;

use crc_fast::{CrcAlgorithm, Digest};

use crate::units::{self, KIB};

/// Bytes of payload under one checksum; the last page of a payload may be shorter.
pub(crate) const PAGE_BYTES: u64 = 4 * KIB;

const PAGE: usize = units::to_usize(PAGE_BYTES);
const ALGORITHM: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

/// The checksums of one payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// The pager was built without integrity checks.
    Off,
    /// Of a payload that fits one page: no allocation.
    One(u32),
    /// Of a longer payload, one each page.
    Many(Box<[u32]>),
}

/// The page that holds a payload's byte `offset`.
fn page_of(offset: u64) -> usize {
    units::to_usize(offset / PAGE_BYTES)
}

impl Checksums {
    /// The checksums of the first `len_bytes` bytes in `slices`; `len_bytes` is not zero.
    ///
    /// # Errors
    /// When the memory for them cannot be had.
    pub(crate) fn of(slices: &[IoSlice<'_>], len_bytes: u64) -> Result<Self, TryReserveError> {
        let mut pages = Pages { slices, offset: 0, remaining_bytes: units::to_usize(len_bytes) };
        if len_bytes <= PAGE_BYTES {
            return Ok(Self::One(pages.next().unwrap_or_default()));
        }
        let mut checksums = Vec::new();
        checksums.try_reserve_exact(page_of(len_bytes - 1) + 1)?;
        checksums.extend(pages);
        Ok(Self::Many(checksums.into_boxed_slice()))
    }

    /// Whether there is anything to check.
    pub(crate) fn are_kept(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Checks whole pages that begin at the payload's byte `start`, a multiple of a page; the last one may be the short
    /// end of the payload.
    ///
    /// # Errors
    /// The payload's byte at which the first wrong page begins.
    pub(crate) fn verify(&self, start: u64, bytes: &[u8]) -> Result<(), u64> {
        let Some(kept) = self.range(page_of(start)..page_of(start) + bytes.len().div_ceil(PAGE)) else { return Ok(()) };
        match bytes.chunks(PAGE).zip(kept).position(|(page, kept)| checksum(page) != *kept) {
            None => Ok(()),
            Some(position) => Err(start + units::to_u64(position) * PAGE_BYTES),
        }
    }

    fn range(&self, pages: Range<usize>) -> Option<&[u32]> {
        match self {
            Self::Off => None,
            Self::One(only) => Some(&std::slice::from_ref(only)[pages]),
            Self::Many(all) => Some(&all[pages]),
        }
    }
}

fn checksum(page: &[u8]) -> u32 {
    narrow(crc_fast::checksum(ALGORITHM, page))
}

/// A 32-bit CRC, which the library gives in the low half of a u64.
#[allow(clippy::cast_possible_truncation, reason = "the high half of a 32-bit CRC is zero")]
fn narrow(crc: u64) -> u32 {
    crc as u32
}

/// The checksums of a payload that lies in pieces.
struct Pages<'a> {
    slices: &'a [IoSlice<'a>],
    /// Bytes of the first slice that are done.
    offset: usize,
    remaining_bytes: usize,
}

impl Iterator for Pages<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let page_bytes = self.remaining_bytes.min(PAGE);
        if page_bytes == 0 {
            return None;
        }
        self.remaining_bytes -= page_bytes;
        let piece = self.piece(page_bytes);
        if piece.len() == page_bytes {
            return Some(checksum(piece));
        }
        Some(self.straddling(piece, page_bytes))
    }
}

impl<'a> Pages<'a> {
    /// Up to `max_bytes` from the front, as far as they lie in one slice; empty slices are passed over.
    fn piece(&mut self, max_bytes: usize) -> &'a [u8] {
        loop {
            let (first, rest) = self.slices.split_first().expect("the slices hold the payload");
            let slice: &'a [u8] = first;
            if self.offset < slice.len() {
                let end = slice.len().min(self.offset + max_bytes);
                let piece = &slice[self.offset..end];
                self.offset = end;
                return piece;
            }
            (self.slices, self.offset) = (rest, 0);
        }
    }

    /// The checksum of a page of which `piece` is only the beginning.
    fn straddling(&mut self, piece: &[u8], page_bytes: usize) -> u32 {
        let mut digest = Digest::new(ALGORITHM);
        digest.update(piece);
        let mut missing_bytes = page_bytes - piece.len();
        while missing_bytes > 0 {
            let piece = self.piece(missing_bytes);
            digest.update(piece);
            missing_bytes -= piece.len();
        }
        narrow(digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> Checksums {
        Checksums::of(&[IoSlice::new(bytes)], units::to_u64(bytes.len())).expect("memory")
    }

    #[test]
    fn the_algorithm_is_the_published_one() {
        // The check value of CRC-32/ISCSI in the CRC catalogue: the checksum of the digits 1 to 9.
        assert_eq!(of(b"123456789"), Checksums::One(0xe306_9283));
    }

    #[test]
    fn the_first_wrong_page_is_named() {
        let mut bytes = vec![1u8; 3 * PAGE + 5];
        let sums = of(&bytes);
        assert_eq!(sums.verify(0, &bytes), Ok(()));
        bytes[2 * PAGE + 1] ^= 4;
        assert_eq!(sums.verify(0, &bytes), Err(2 * PAGE_BYTES));
        assert_eq!(sums.verify(PAGE_BYTES, &bytes[PAGE..2 * PAGE]), Ok(()));
        assert_eq!(sums.verify(3 * PAGE_BYTES, &bytes[3 * PAGE..]), Ok(()));
    }

    #[test]
    fn without_integrity_everything_passes() {
        assert_eq!(Checksums::Off.verify(0, b"anything"), Ok(()));
    }

    proptest! {
        /// How a payload is cut into chunks does not change its checksums; padding behind it does not count.
        #[test]
        fn cuts_do_not_matter(len in 1..40_000usize, cuts in proptest::collection::vec(0..9000usize, 0..12)) {
            let bytes: Vec<u8> = (0..len).map(|position| (position * 7 + position / 251).to_le_bytes()[0]).collect();
            let (mut slices, mut rest) = (Vec::new(), &bytes[..]);
            for cut in cuts {
                let (front, back) = rest.split_at(cut.min(rest.len()));
                slices.push(IoSlice::new(front));
                rest = back;
            }
            slices.push(IoSlice::new(rest));
            slices.push(IoSlice::new(&[9; 17]));
            prop_assert_eq!(Checksums::of(&slices, units::to_u64(len)).expect("memory"), of(&bytes));
        }

        /// Any single flipped bit is found.
        #[test]
        fn a_flipped_bit_is_found(len in 1..20_000usize, pick in any::<usize>(), bit in 0..8u32) {
            let mut bytes = vec![0xa5u8; len];
            let sums = of(&bytes);
            let position = pick % len;
            bytes[position] ^= 1 << bit;
            prop_assert_eq!(sums.verify(0, &bytes), Err(units::to_u64(position / PAGE) * PAGE_BYTES));
        }
    }
}
