//! The bytes of a payload that lie in several slices, from front to back.

use std::io::IoSlice;

use crate::units;

/// What is still to be read of a payload.
#[derive(Clone, Copy)]
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

    pub(crate) fn remaining_bytes(&self) -> usize {
        self.remaining_bytes
    }

    /// Up to `max_bytes` from the front, as far as they lie in one slice; empty slices are passed over.
    pub(crate) fn piece(&mut self, max_bytes: usize) -> &'a [u8] {
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

#[cfg(feature = "compression")]
impl<'a> Unread<'a> {
    /// The next `len_bytes`, where they lie, or gathered to the front of `into` where they lie in several slices.
    ///
    /// # Panics
    /// When there are fewer, or where `into` is shorter.
    pub(crate) fn next<'b>(&mut self, len_bytes: usize, into: &'b mut [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        let front = self.piece(len_bytes);
        if front.len() == len_bytes {
            return front;
        }
        let (filled, rest) = into[..len_bytes].split_at_mut(front.len());
        filled.copy_from_slice(front);
        self.copy(rest);
        &into[..len_bytes]
    }

    /// Fills `into` with the next bytes.
    pub(crate) fn copy(&mut self, mut into: &mut [u8]) {
        while !into.is_empty() {
            let piece = self.piece(into.len());
            let (filled, rest) = into.split_at_mut(piece.len());
            filled.copy_from_slice(piece);
            into = rest;
        }
    }

    /// Passes over as many bytes.
    pub(crate) fn skip(&mut self, mut len_bytes: usize) {
        while len_bytes > 0 {
            len_bytes -= self.piece(len_bytes).len();
        }
    }
}
