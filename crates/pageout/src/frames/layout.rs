//! Where the frames of a payload lie among its stored bytes.

use std::collections::TryReserveError;
use std::ops::Range;

use super::FRAME_BYTES;
use crate::units;

/// Frames that are counted from one base. Their stored bytes are no more than the frames have, so ends fit 32 bits.
const FRAMES_A_BASE: usize = 1 << 16;
const _: () = assert!(FRAMES_A_BASE * FRAME_BYTES < 1 << 32);
const FRAME: u64 = units::to_u64(FRAME_BYTES);

/// The layout of a payload: 4 bytes a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    len_bytes: u64,
    /// Where each frame ends, from its base on.
    ends: Vec<u32>,
    /// Where each row of [`FRAMES_A_BASE`] frames begins.
    bases: Vec<u64>,
}

impl Layout {
    /// The layout of a payload of `len_bytes`, whose frames come one by one.
    ///
    /// # Errors
    /// When its memory cannot be allocated.
    pub fn new(len_bytes: u64) -> Result<Self, TryReserveError> {
        let frames = units::to_usize(len_bytes.div_ceil(FRAME));
        let mut layout = Self { len_bytes, ends: Vec::new(), bases: Vec::new() };
        layout.ends.try_reserve_exact(frames)?;
        layout.bases.try_reserve_exact(frames.div_ceil(FRAMES_A_BASE))?;
        Ok(layout)
    }

    /// The next frame has `stored_bytes`.
    ///
    /// # Panics
    /// When there is none, or it has fewer bytes.
    pub fn push(&mut self, stored_bytes: usize) {
        let frame = self.ends.len();
        assert!(stored_bytes <= memory_len(&self.payload(frame)), "a frame of {stored_bytes} stored bytes");
        let start = self.start(frame);
        if frame.is_multiple_of(FRAMES_A_BASE) {
            self.bases.push(start);
        }
        let end = start + units::to_u64(stored_bytes) - self.bases[frame / FRAMES_A_BASE];
        self.ends.push(u32::try_from(end).expect("ends are near their base"));
    }

    /// Bytes of the payload.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Bytes that are stored.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.start(self.ends.len())
    }

    /// The frames that have bytes of a range of the payload.
    #[must_use]
    pub fn frames(&self, payload: &Range<u64>) -> Range<usize> {
        debug_assert!(payload.end <= self.len_bytes, "past the payload");
        if payload.is_empty() {
            return 0..0;
        }
        units::to_usize(payload.start / FRAME)..units::to_usize(payload.end.div_ceil(FRAME))
    }

    /// The bytes of the payload in a frame.
    #[must_use]
    pub fn payload(&self, frame: usize) -> Range<u64> {
        let start = units::to_u64(frame) * FRAME;
        start.min(self.len_bytes)..(start + FRAME).min(self.len_bytes)
    }

    /// The stored bytes of frames that follow each other.
    ///
    /// # Panics
    /// When there are fewer frames.
    #[must_use]
    pub fn stored(&self, frames: &Range<usize>) -> Range<u64> {
        self.start(frames.start)..self.start(frames.end)
    }

    /// Where a frame begins, or behind the last.
    fn start(&self, frame: usize) -> u64 {
        let Some(before) = frame.checked_sub(1) else { return 0 };
        self.bases[before / FRAMES_A_BASE] + u64::from(self.ends[before])
    }
}

fn memory_len(range: &Range<u64>) -> usize {
    units::to_usize(range.end - range.start)
}
