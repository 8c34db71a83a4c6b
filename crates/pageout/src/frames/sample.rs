//! Pieces of a payload that lies in several slices, and what some of its bytes tell of all.

use std::io::IoSlice;

use crate::units::{self, KIB};

/// A sample of a payload: to try all forms on it takes as long as to encode 20 KiB.
const SAMPLE_BYTES: usize = units::to_usize(4 * KIB);
const SAMPLE_PIECES: usize = 4;
const PIECE_BYTES: usize = SAMPLE_BYTES / SAMPLE_PIECES;

/// Bytes that lie side by side among those that are counted to tell whether all look random.
const RUN_BYTES: usize = 16;

/// Whether `bytes` look as if each value was as likely as any other, by `RUNS` runs of them. Of fewer bytes that cannot be told.
pub(super) fn looks_random<const RUNS: usize>(bytes: &[u8]) -> bool {
    let Some(spare_bytes) = bytes.len().checked_sub(RUNS * RUN_BYTES) else { return false };
    let mut counts = [0u16; 256];
    for run in 0..RUNS {
        // The last run ends where the bytes end.
        let start = run * RUN_BYTES + run * spare_bytes / (RUNS - 1);
        for &byte in &bytes[start..][..RUN_BYTES] {
            counts[usize::from(byte)] += 1;
        }
    }
    let squares: usize = counts.iter().map(|&count| usize::from(count) * usize::from(count)).sum();
    squares <= const { random_squares(RUNS * RUN_BYTES) }
}

/// The sum of squares of how often each value is among so many random bytes, and 5 times its standard deviation more. Of 256
/// bytes of a float of which one byte in eight is always the same it is twice as much.
const fn random_squares(bytes: usize) -> usize {
    bytes + bytes * (bytes - 1) / 256 + bytes * 7 / 16
}

/// Copies a sample of the first `len_bytes` bytes of `slices` to the front of `into`: all of a short payload, else pieces of whole
/// elements that are spread evenly. Its length.
pub(super) fn gather(slices: &[IoSlice<'_>], len_bytes: usize, into: &mut [u8]) -> usize {
    if len_bytes <= SAMPLE_BYTES {
        Pieces::new(slices).copy(&mut into[..len_bytes]);
        return len_bytes;
    }
    // Pieces begin at multiples of a piece, where elements begin.
    let step = (len_bytes - SAMPLE_BYTES) / (SAMPLE_PIECES - 1) / PIECE_BYTES * PIECE_BYTES;
    let mut pieces = Pieces::new(slices);
    for piece in into[..SAMPLE_BYTES].chunks_exact_mut(PIECE_BYTES) {
        pieces.copy(piece);
        pieces.skip(step);
    }
    SAMPLE_BYTES
}

/// The bytes of several slices, one after the other.
pub(super) struct Pieces<'a> {
    slices: &'a [IoSlice<'a>],
    /// Bytes of the first slice that are used up.
    offset: usize,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(slices: &'a [IoSlice<'a>]) -> Self {
        Self { slices, offset: 0 }
    }

    /// The next `len_bytes`, where they lie, or gathered to the front of `into` where they lie in several slices.
    ///
    /// # Panics
    /// When there are fewer, or where `into` is shorter.
    pub(super) fn next<'b>(&mut self, len_bytes: usize, into: &'b mut [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        let front = self.front(len_bytes);
        if front.len() == len_bytes {
            return front;
        }
        into[..front.len()].copy_from_slice(front);
        let front_bytes = front.len();
        self.copy(&mut into[front_bytes..len_bytes]);
        &into[..len_bytes]
    }

    /// Fills `into` with the next bytes.
    fn copy(&mut self, mut into: &mut [u8]) {
        while !into.is_empty() {
            let piece = self.front(into.len());
            let (filled, rest) = into.split_at_mut(piece.len());
            filled.copy_from_slice(piece);
            into = rest;
        }
    }

    /// Passes over as many bytes, or to the end.
    fn skip(&mut self, mut len_bytes: usize) {
        while len_bytes > 0 && !self.slices.is_empty() {
            let passed = len_bytes.min(self.slices[0].len() - self.offset);
            (self.offset, len_bytes) = (self.offset + passed, len_bytes - passed);
            if self.offset == self.slices[0].len() {
                (self.slices, self.offset) = (&self.slices[1..], 0);
            }
        }
    }

    /// Up to `len_bytes` from the front, as far as they lie in one slice; empty slices are passed over.
    fn front(&mut self, len_bytes: usize) -> &'a [u8] {
        loop {
            let (first, rest) = self.slices.split_first().expect("the slices hold the payload");
            let slice: &'a [u8] = first;
            if self.offset < slice.len() {
                let end = slice.len().min(self.offset + len_bytes);
                let piece = &slice[self.offset..end];
                self.offset = end;
                return piece;
            }
            (self.slices, self.offset) = (rest, 0);
        }
    }
}
