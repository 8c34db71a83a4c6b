//! The bytes of a payload that lie in several slices, from front to back.

use std::io::IoSlice;

use crate::units;

/// What is still to be read of a payload.
pub(crate) struct Unread<'a> {
    slices: &'a [IoSlice<'a>],
    /// Bytes of the first slice that were read.
    offset: usize,
    remaining_bytes: usize,
}

impl<'a> Unread<'a> {
    /// The first `len_bytes` bytes in `slices`, which have as many.
    pub(crate) fn new(slices: &'a [IoSlice<'a>], len_bytes: u64) -> Self {
        Self { slices, offset: 0, remaining_bytes: units::to_usize(len_bytes) }
    }

    pub(super) fn remaining_bytes(&self) -> usize {
        self.remaining_bytes
    }

    /// Up to `max_bytes` from the front, as far as they lie in one slice; empty slices are passed over.
    pub(super) fn piece(&mut self, max_bytes: usize) -> &'a [u8] {
        loop {
            let (first, rest) = self.slices.split_first().expect("the slices hold the payload");
            let slice: &'a [u8] = first;
            if self.offset < slice.len() {
                let end = slice.len().min(self.offset + max_bytes);
                let piece = &slice[self.offset..end];
                self.offset = end;
                self.remaining_bytes -= piece.len();
                return piece;
            }
            (self.slices, self.offset) = (rest, 0);
        }
    }
}
