//! What some bytes of a payload tell of all.

use std::io::IoSlice;

use crate::block::Unread;
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
    let mut payload = Unread::new(slices, units::to_u64(len_bytes));
    if len_bytes <= SAMPLE_BYTES {
        payload.copy(&mut into[..len_bytes]);
        return len_bytes;
    }
    // Pieces begin at multiples of a piece, where elements begin.
    let step = (len_bytes - SAMPLE_BYTES) / (SAMPLE_PIECES - 1) / PIECE_BYTES * PIECE_BYTES;
    for piece in into[..SAMPLE_BYTES].chunks_exact_mut(PIECE_BYTES) {
        payload.copy(piece);
        payload.skip(step.min(payload.remaining_bytes()));
    }
    SAMPLE_BYTES
}
