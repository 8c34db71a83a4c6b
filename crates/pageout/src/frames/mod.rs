//! Compression of a payload in frames: pure, no I/O, lock or clock. Not joined to the store yet.
//!
//! A payload is cut into frames of [`FRAME_BYTES`], the last one may be shorter. Each is encoded by itself, so that a range is
//! read by decoding the frames that it touches, and no others. Encoded frames lie end to end; where each ends is kept in memory
//! ([`Layout`]), so that a frame says nothing of its length.
//!
//! ```text
//!   elements ─► signs or differences (or neither) ─► a plane for each byte (or one) ─► each plane: constant, LZ4 or as it is
//!               `numbers`                               `shuffle`                         `plane`
//! ```
//!
//! - **A [`Form`]** says what is done to the numbers before LZ4 sees them. [`Workspace::choose`] tries the forms that suit the
//!   element type on a sample of 4 KiB, and says when none pays; then a payload is best stored without frames. The form is
//!   written at the head of each frame, so frames of several forms may make up one payload.
//! - **A frame that does not shrink** by a sixteenth is stored as it is. So an encoded frame is never longer than the frame, and
//!   one that has its length is not encoded.
//! - **What looks random is not tried**: the bytes of 256 samples say so in a fifth of a microsecond. Bytes that are all equally
//!   frequent, and repeat in long sequences only, are taken for random: they stay as they are.
//! - **Memory**: a [`Workspace`] has 45 KiB, whatever the payload; encoding and decoding allocate nothing. What it worked on stays
//!   in it until the next frame, or [`Workspace::wipe`].
//! - **Hostile input**: [`Workspace::decode`] accepts any bytes. It returns [`Corrupt`] or fills the frame, with bytes that may be
//!   wrong: that they are what was written is the business of checksums or tags, which are verified first. It does not panic,
//!   reads nothing but the frame it was given and writes nothing but the frame it was asked for; a failed call leaves that in any
//!   state.
//!
//! An encoded frame: one byte of [`Form`]; the planes in order, each as `plane` says; then the bytes behind the last whole
//! element of the frame, as they are. Nothing of it outlives the process, so it may change in any release.

mod bits;
mod decimals;
mod form;
mod layout;
mod numbers;
mod plane;
mod sample;
mod shuffle;

use std::collections::TryReserveError;
use std::hint::black_box;
use std::io::IoSlice;
use std::ops::Range;

use lz4_flex::block::{CompressTable, compress_into_with_table};

use numbers::Base;

use crate::units::{self, KIB};

pub use form::Form;
pub use layout::Layout;

/// Bytes of payload in one frame. A read of 4 KiB that begins where one does decodes no more than it wants. Longer frames take
/// as much longer, and are smaller in text (4 KiB: 1.75 times, 8: 1.9, 16: 2.05) and hardly in anything else.
pub const FRAME_BYTES: usize = units::to_usize(4 * KIB);
/// What `plane` writes in 16 bits: the length of any plane that pays.
const _: () = assert!(FRAME_BYTES < 1 << 16);
/// What LZ4 asks for while it works on the last plane: a tenth more than the plane has, behind all others.
const ENCODED_BYTES_MAX: usize = FRAME_BYTES + FRAME_BYTES / 10 + 128;
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
    /// A frame, or a sample, that lay in several pieces.
    gathered: Box<[u8]>,
    /// The planes of a frame.
    planes: Box<[u8]>,
    /// The whole numbers that the decimals of a frame are.
    integers: Box<[u8]>,
    /// What is between two steps of a form.
    between: Box<[u8]>,
    encoded: Box<[u8]>,
    /// For planes of an element's bytes.
    table: CompressTable,
    /// For frames in one plane: it finds matches of five bytes and no shorter ones, which is faster there, and as small.
    long_table: CompressTable,
    /// Whether something may be left in `encoded` and the tables, which decoding does not use.
    has_encoded: bool,
}

impl Workspace {
    /// # Errors
    /// When its memory cannot be allocated.
    pub fn new() -> Result<Self, TryReserveError> {
        Ok(Self {
            gathered: zeros(FRAME_BYTES)?,
            planes: zeros(FRAME_BYTES)?,
            integers: zeros(FRAME_BYTES)?,
            between: zeros(FRAME_BYTES)?,
            encoded: zeros(ENCODED_BYTES_MAX)?,
            table: CompressTable::small(),
            long_table: CompressTable::large(),
            has_encoded: false,
        })
    }

    /// Overwrites all that is left in it of payloads.
    pub fn wipe(&mut self) {
        for bytes in [&mut self.gathered, &mut self.planes, &mut self.between] {
            bytes.fill(0);
            black_box(bytes);
        }
        if std::mem::take(&mut self.has_encoded) {
            for table in [&mut self.table, &mut self.long_table] {
                // LZ4 clears its table before it begins.
                compress_into_with_table(&[], &mut self.encoded, table).expect("room for nothing");
                black_box(table);
            }
            for bytes in [&mut self.integers, &mut self.encoded] {
                bytes.fill(0);
                black_box(bytes);
            }
        }
    }

    /// The form that makes a payload smallest, judged by a sample; none where it looks incompressible. `slices` have at least
    /// `len_bytes` bytes, in elements of `element_bytes`.
    ///
    /// # Panics
    /// When the slices have fewer bytes.
    pub fn choose(&mut self, slices: &[IoSlice<'_>], len_bytes: u64, element_bytes: usize) -> Option<Form> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let sample = sample::gather(slices, units::to_usize(len_bytes), &mut gathered);
        let form = self.smallest(&gathered[..sample], element_bytes);
        self.gathered = gathered;
        form
    }

    /// The form that makes `sample` smallest, if one does.
    fn smallest(&mut self, sample: &[u8], element_bytes: usize) -> Option<Form> {
        if sample::looks_random::<RUNS>(sample) {
            return None;
        }
        let mut best: Option<(usize, Form)> = None;
        for form in Form::all_for(element_bytes) {
            if let Some(len) = self.encode_shorter(sample, form)
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
        let mut pieces = sample::Pieces::new(slices);
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut remaining_bytes = units::to_usize(len_bytes);
        let mut outcome = Ok(());
        while remaining_bytes > 0 && outcome.is_ok() {
            let frame = pieces.next(FRAME_BYTES.min(remaining_bytes), &mut gathered);
            remaining_bytes -= frame.len();
            let encoded = self.encode(frame, form);
            layout.push(encoded.len());
            outcome = put(encoded);
        }
        self.gathered = gathered;
        outcome.map(|()| layout)
    }

    /// What is to be stored of a frame of at most [`FRAME_BYTES`]: never longer than the frame, and the frame itself where it has
    /// its length.
    ///
    /// # Panics
    /// When the frame is longer.
    pub fn encode<'a>(&'a mut self, frame: &'a [u8], form: Form) -> &'a [u8] {
        if sample::looks_random::<RUNS>(frame) {
            return frame;
        }
        let len = self.encode_shorter(frame, form);
        match len.or_else(|| form.is_of_decimals().then(|| self.encode_shorter(frame, form.of_bits()))?) {
            Some(len) => &self.encoded[..len],
            None => frame,
        }
    }

    /// Encodes a frame; the length, where that pays.
    fn encode_shorter(&mut self, frame: &[u8], form: Form) -> Option<usize> {
        self.has_encoded = true;
        let Self { planes, integers, between, encoded, table, long_table, .. } = self;
        let table = if form.is_shuffled() { table } else { long_table };
        let (elements, tail) = frame.split_at(form.whole_elements(frame.len()));
        if elements.is_empty() {
            return None;
        }
        let mut end = 1;
        let mut numbers = elements;
        if form.is_of_decimals() {
            let integers = &mut integers[..elements.len()];
            encoded[1] = form.to_integers(elements, integers)?;
            (numbers, end) = (integers, 2);
        }
        let base = form.base(numbers);
        let planes = form.apply(numbers, base, between, planes);
        encoded[0] = form.head();
        encoded[end..][..form.base_bytes()].copy_from_slice(&base[..form.base_bytes()]);
        end += form.base_bytes();
        for plane in planes.chunks(form.plane_bytes(elements.len())) {
            end += plane::encode(plane, &mut encoded[end..], table);
        }
        encoded[end..][..tail.len()].copy_from_slice(tail);
        let len = end + tail.len();
        pays(len, frame.len()).then_some(len)
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
                self.decode(encoded, filled)
            } else {
                let frame_bytes = units::to_usize(payload.end - payload.start);
                self.decode_part(encoded, frame_bytes, within(&part, payload.start), filled)
            };
            decoded.map_err(|Corrupt| payload.start)?;
            into = rest;
        }
        assert!(into.is_empty(), "{} bytes more than wanted", into.len());
        Ok(())
    }

    /// Fills `into` with a part of a frame of `frame_bytes`.
    fn decode_part(&mut self, encoded: &[u8], frame_bytes: usize, part: Range<usize>, into: &mut [u8]) -> Result<(), Corrupt> {
        let mut frame = std::mem::take(&mut self.gathered);
        let decoded = self.decode(encoded, &mut frame[..frame_bytes]);
        if decoded.is_ok() {
            into.copy_from_slice(&frame[part]);
        }
        self.gathered = frame;
        decoded
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
        if encoded.len() == frame.len() {
            frame.copy_from_slice(encoded);
            return Ok(());
        }
        let (&head, mut rest) = encoded.split_first().ok_or(Corrupt)?;
        let form = Form::of_head(head).ok_or(Corrupt)?;
        let (elements, tail) = frame.split_at_mut(form.whole_elements(frame.len()));
        if elements.is_empty() {
            return Err(Corrupt);
        }
        let mut places = 0;
        if form.is_of_decimals() {
            (places, rest) = rest.split_first().map(|(&places, rest)| (places, rest)).ok_or(Corrupt)?;
        }
        let mut base = Base::default();
        let (front, behind) = rest.split_at_checked(form.base_bytes()).ok_or(Corrupt)?;
        base[..front.len()].copy_from_slice(front);
        rest = behind;
        if form.is_shuffled() {
            for plane in self.planes[..elements.len()].chunks_exact_mut(form.plane_bytes(elements.len())) {
                rest = plane::decode(rest, plane)?;
            }
            form.join(&mut self.planes, &mut self.between, elements);
        } else {
            rest = plane::decode(rest, elements)?;
        }
        form.unfold(elements, base);
        if form.is_of_decimals() {
            form.to_decimals(elements, places).ok_or(Corrupt)?;
        }
        if rest.len() != tail.len() {
            return Err(Corrupt);
        }
        tail.copy_from_slice(rest);
        Ok(())
    }
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
