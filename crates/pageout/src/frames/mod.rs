//! Compression of a payload in frames: pure, no I/O, lock or clock. `payload/framed.rs` joins it to the store.
//!
//! A payload is cut into frames of [`FRAME_BYTES`], the last one may be shorter. Each is encoded by itself, so that a range is
//! read by decoding the frames that it touches, and no others. Encoded frames lie end to end; where each ends is kept in memory
//! ([`Layout`]), so that a frame says nothing of its length.
//!
//! ```text
//!   decimals ─► whole numbers ─► signs or differences ─► a plane for each byte ─► each plane: few bits, LZ4 or as it is
//!               `decimals`       `numbers`               `shuffle`                `plane`, `bits`
//! ```
//!
//! - **A [`Form`]** says which of these steps are taken. [`Workspace::choose`] tries the forms that suit the element type on a
//!   sample of 4 KiB: of those that are within a twentieth of the smallest the one that is decoded fastest. Where none pays, a
//!   payload is best stored without frames. The form is written at the head of each frame, so frames of several forms may make
//!   up one payload.
//! - **A frame that does not shrink** by a sixteenth is stored as it is. So an encoded frame is never longer than the frame, and
//!   one that has its length is not encoded.
//! - **What looks random is not tried**: 256 bytes of a frame say so in a tenth of a microsecond, 128 of a plane. Bytes that are all equally
//!   frequent, and repeat in long sequences only, are taken for random: they stay as they are.
//! - **Memory**: a [`Workspace`] has 53 KiB, whatever the payload; encoding and decoding allocate nothing. What it worked on stays
//!   in it until the next frame, or [`Workspace::wipe`].
//! - **Hostile input**: [`Workspace::decode`] accepts any bytes. It returns [`Corrupt`] or fills the frame, with bytes that may be
//!   wrong: that they are what was written is the business of checksums or tags, which are verified first. It does not panic,
//!   reads nothing but the frame it was given and writes nothing but the frame it was asked for; a failed call leaves that in any
//!   state.
//!
//! An encoded frame: its `head`; the planes in order, each as `plane` says; then the bytes behind the last whole element of the
//! frame, as they are. Nothing of it outlives the process, so it may change in any release.

mod bits;
mod coder;
mod decimals;
mod form;
mod head;
mod layout;
mod numbers;
mod plane;
mod sample;
mod shuffle;

use std::collections::TryReserveError;
use std::io::IoSlice;
use std::ops::Range;

use coder::Coder;

use crate::block::Unread;
use crate::units::{self, KIB};

pub use form::Form;
pub use layout::Layout;

/// Bytes of payload in one frame. A read of 4 KiB that begins where one does decodes no more than it wants. Longer frames take
/// as much longer, and are smaller in text (4 KiB: 1.75 times, 8: 1.9, 16: 2.05) and hardly in anything else.
pub const FRAME_BYTES: usize = units::to_usize(4 * KIB);
/// What `plane` writes in 16 bits: the length of any plane that pays.
const _: () = assert!(FRAME_BYTES < 1 << 16);
/// How closely a frame is looked at before it is taken for random.
const RUNS: usize = 16;
/// What does not shrink by this part of its length is stored as it is.
const PAYING_PART: usize = 16;
/// A form that is decoded slower than another has to be smaller by more than this part.
const WAITING_PART: usize = 20;

/// Bytes that no encoder has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Memory to encode and decode in; for one thread at a time, and for any number of frames.
pub struct Workspace {
    /// A frame, or a sample, that lies in several pieces; or one of which a part is wanted.
    gathered: Box<[u8]>,
    coder: Coder,
}

impl Workspace {
    /// # Errors
    /// When its memory cannot be allocated.
    pub fn new() -> Result<Self, TryReserveError> {
        Ok(Self { gathered: zeros(FRAME_BYTES)?, coder: Coder::new()? })
    }

    /// Overwrites all that is left of payloads in it.
    pub fn wipe(&mut self) {
        coder::overwrite(&mut self.gathered);
        self.coder.wipe();
    }

    /// The form that makes a payload smallest, judged by a sample; none where it looks incompressible. `slices` have at least
    /// `len_bytes` bytes, in elements of `element_bytes`.
    ///
    /// # Panics
    /// When the slices have fewer bytes.
    pub fn choose(&mut self, slices: &[IoSlice<'_>], len_bytes: u64, element_bytes: usize) -> Option<Form> {
        let sample = sample::gather(slices, units::to_usize(len_bytes), &mut self.gathered);
        let sample = &self.gathered[..sample];
        if sample::looks_random::<RUNS>(sample) {
            return None;
        }
        let mut best: Option<(usize, Form)> = None;
        for form in Form::all_for(element_bytes) {
            if let Some(len) = self.coder.encoded_len(sample, form)
                && best.is_none_or(|(best_len, _)| pays_to_wait(len, best_len))
            {
                best = Some((len, form));
            }
        }
        best.map(|(_, form)| form)
    }

    /// Encodes the first `len_bytes` bytes of `slices`, and gives each encoded frame to `put`, in order.
    ///
    /// # Errors
    /// What `put` returned; or that the memory for the layout cannot be allocated.
    ///
    /// # Panics
    /// When the slices have fewer bytes.
    pub fn encode_all<E: From<TryReserveError>>(
        &mut self,
        slices: &[IoSlice<'_>],
        len_bytes: u64,
        form: Form,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Layout, E> {
        let mut layout = Layout::new(len_bytes)?;
        let mut payload = Unread::new(slices, len_bytes);
        while payload.remaining_bytes() > 0 {
            let frame = payload.next(FRAME_BYTES.min(payload.remaining_bytes()), &mut self.gathered);
            let encoded = encode(&mut self.coder, frame, form);
            layout.push(encoded.len());
            put(encoded)?;
        }
        Ok(layout)
    }

    /// What is to be stored of a frame of at most [`FRAME_BYTES`]: never longer than the frame, and the frame itself where it has
    /// its length.
    ///
    /// # Panics
    /// When the frame is longer.
    pub fn encode<'a>(&'a mut self, frame: &'a [u8], form: Form) -> &'a [u8] {
        encode(&mut self.coder, frame, form)
    }

    /// Fills `into` with the bytes `wanted` of a payload, of which `stored` has the [stored](Layout::stored) bytes of the
    /// [frames](Layout::frames) that they are in. Whole frames are decoded to where they go, others by way of the workspace.
    ///
    /// # Errors
    /// The payload's byte at which the first frame begins that is corrupt. `into` is in any state then.
    ///
    /// # Panics
    /// When there are fewer stored bytes, or `wanted` is past the payload or not as long as `into`.
    pub fn decode_range(&mut self, layout: &Layout, stored: &[u8], wanted: &Range<u64>, mut into: &mut [u8]) -> Result<(), u64> {
        let frames = layout.frames(wanted);
        let first_stored = layout.stored(&frames).start;
        for frame in frames {
            let payload = layout.payload(frame);
            let encoded = &stored[within(&layout.stored(&(frame..frame + 1)), first_stored)];
            let part = wanted.start.max(payload.start)..wanted.end.min(payload.end);
            let (filled, rest) = into.split_at_mut(units::to_usize(part.end - part.start));
            let decoded = if part == payload {
                decode(&mut self.coder, encoded, filled)
            } else {
                let frame_bytes = units::to_usize(payload.end - payload.start);
                let frame = &mut self.gathered[..frame_bytes];
                let decoded = decode(&mut self.coder, encoded, frame);
                decoded.map(|()| filled.copy_from_slice(&frame[within(&part, payload.start)]))
            };
            decoded.map_err(|Corrupt| payload.start)?;
            into = rest;
        }
        assert!(into.is_empty(), "{} bytes more than wanted", into.len());
        Ok(())
    }

    /// A frame of `frame_bytes`, decoded as by [`Self::decode`]; one that is stored as it is where it lies.
    ///
    /// # Errors
    /// As [`Self::decode`].
    ///
    /// # Panics
    /// As [`Self::decode`].
    pub fn decoded<'a>(&'a mut self, encoded: &'a [u8], frame_bytes: usize) -> Result<&'a [u8], Corrupt> {
        if encoded.len() == frame_bytes {
            return Ok(encoded);
        }
        let frame = &mut self.gathered[..frame_bytes];
        self.coder.decode(encoded, frame)?;
        Ok(frame)
    }

    /// Decodes what [`Self::encode`] has made of a frame of the length of `frame`, and fills that.
    ///
    /// # Errors
    /// [`Corrupt`], where no frame of this length was encoded to these bytes. The frame is in any state then.
    ///
    /// # Panics
    /// When the frame is longer than [`FRAME_BYTES`].
    pub fn decode(&mut self, encoded: &[u8], frame: &mut [u8]) -> Result<(), Corrupt> {
        assert!(frame.len() <= FRAME_BYTES, "a frame of {} bytes", frame.len());
        decode(&mut self.coder, encoded, frame)
    }
}

fn encode<'a>(coder: &'a mut Coder, frame: &'a [u8], form: Form) -> &'a [u8] {
    if sample::looks_random::<RUNS>(frame) {
        return frame;
    }
    coder.encode(frame, form).unwrap_or(frame)
}

fn decode(coder: &mut Coder, encoded: &[u8], frame: &mut [u8]) -> Result<(), Corrupt> {
    if encoded.len() != frame.len() {
        return coder.decode(encoded, frame);
    }
    frame.copy_from_slice(encoded);
    Ok(())
}

/// Whether it pays to store `len` bytes instead of `than_len`, which are decoded faster.
const fn pays_to_wait(len: usize, than_len: usize) -> bool {
    len + than_len / WAITING_PART < than_len
}

/// Whether it pays to store `len` bytes instead of `of_len`, and to decode them.
const fn pays(len: usize, of_len: usize) -> bool {
    len + of_len / PAYING_PART < of_len
}

/// A range of bytes, as an index into those from `start` on.
fn within(range: &Range<u64>, start: u64) -> Range<usize> {
    units::to_usize(range.start - start)..units::to_usize(range.end - start)
}

fn zeros(len: usize) -> Result<Box<[u8]>, TryReserveError> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    Ok(bytes.into_boxed_slice())
}

#[cfg(test)]
mod tests;
