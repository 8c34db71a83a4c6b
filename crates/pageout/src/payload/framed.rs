//! A payload that is compressed in frames. What lies in slots are the frames, end to end; checksums, tags and pages know only
//! these.
//!
//! A payload is compressed piece by piece, so that no more than one piece is in memory twice. A piece has a place and a form of its
//! own, or none, where it would not become shorter.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::compressor::{Compressor, Desk, STAGE_BYTES, Taken};
use super::extents::{Extent, Extents};
use super::gather::{self, Runs};
use super::pages::Source;
use super::protection::Protection;
use super::reading::Payload;
use super::slotted::{Slotted, first_bytes};
use super::stored::Stored;
use super::{PIECE_BYTES, range};
use crate::block::Unread;
use crate::error::Error;
use crate::frames::{Corrupt, FRAME_BYTES, Form, Layout};
use crate::slots::slot_bytes_for;
use crate::store::Store;
use crate::sync::{AtomicBool as SyncBool, UnsizedArc};
use crate::sys::{Destination, Failure};
use crate::units;

const PIECE: u64 = units::to_u64(units::index(PIECE_BYTES));
const FRAME: u64 = units::to_u64(FRAME_BYTES);
const _: () = assert!(PIECE.is_multiple_of(FRAME), "pieces but the last have whole frames");

/// A compressed payload in scratch.
#[derive(Debug)]
pub(crate) struct Framed {
    compressor: UnsizedArc<Compressor>,
    /// Each but the last has [`PIECE_BYTES`] of the payload.
    pieces: Box<[Piece]>,
    len_bytes: u64,
    /// Whether what it saves is counted.
    is_counted: SyncBool,
}

/// A piece of a payload.
#[derive(Debug)]
struct Piece {
    slotted: Slotted,
    /// Nothing where it is stored as it is.
    frames: Option<Frames>,
}

/// Frames of a piece, end to end.
#[derive(Debug)]
struct Frames {
    layout: Layout,
    form: Form,
}

/// A payload that is being written. Dropped, its pieces and their disk space go back.
struct Writing<'a> {
    store: &'a Store,
    protection: &'a Protection,
    stop: &'a AtomicBool,
    desk: Taken<'a>,
    /// Those that are written.
    pieces: Vec<Piece>,
}

impl Framed {
    /// Writes the first `len_bytes` of `slices`, not zero, which are filled up to whole pages, unless `stop` becomes true first. Nothing
    /// where they do not look as if they became shorter.
    ///
    /// # Errors
    /// As [`Slotted::pageout`].
    #[inline(never)]
    pub(super) fn pageout(
        compressor: &UnsizedArc<Compressor>,
        store: &Store,
        slices: &[IoSlice<'_>],
        len_bytes: u64,
        element_bytes: usize,
        protection: &Protection,
        stop: &AtomicBool,
    ) -> Result<Option<Box<Self>>, Error> {
        let mut desk = compressor.desk()?;
        let Some(form) = desk.workspace.choose(slices, len_bytes, element_bytes) else { return Ok(None) };
        let mut writing = Writing { store, protection, stop, desk, pieces: Vec::new() };
        writing.pieces.try_reserve_exact(units::to_usize(len_bytes.div_ceil(PIECE)))?;
        if len_bytes <= PIECE {
            if !writing.compress(slices, len_bytes, form)? {
                return Ok(None);
            }
        } else {
            each_piece(slices, len_bytes, |slices, piece_bytes| {
                let form = writing.desk.workspace.choose(slices, piece_bytes, element_bytes);
                writing.write(slices, piece_bytes, form)?;
                Ok(true)
            })?;
        }
        let pieces = std::mem::take(&mut writing.pieces).into_boxed_slice();
        Ok(Some(Box::new(Self::new(UnsizedArc::clone(compressor), pieces, len_bytes))))
    }

    fn new(compressor: UnsizedArc<Compressor>, pieces: Box<[Piece]>, len_bytes: u64) -> Self {
        Self { compressor, pieces, len_bytes, is_counted: SyncBool::new(false) }
    }

    pub(super) fn compressor(&self) -> UnsizedArc<Compressor> {
        UnsizedArc::clone(&self.compressor)
    }

    /// One payload of `pieces`, of which each but the last has [`PIECE_BYTES`]. Leaves none in the list.
    ///
    /// # Errors
    /// When the memory for its list cannot be allocated; `pieces` are as before.
    pub(super) fn join(compressor: UnsizedArc<Compressor>, pieces: &mut Vec<Stored>) -> Result<Box<Self>, Error> {
        let len_bytes = pieces.iter().map(Stored::len_bytes).sum();
        let mut joined = Vec::new();
        joined.try_reserve_exact(pieces.len())?;
        for piece in pieces.drain(..) {
            match piece {
                Stored::Slotted(slotted) => joined.push(Piece { slotted, frames: None }),
                Stored::Framed(mut framed) => joined.extend(framed.take_pieces().into_vec().pop()),
            }
        }
        Ok(Box::new(Self::new(compressor, joined.into_boxed_slice(), len_bytes)))
    }

    /// Whether the first bytes of `slices` still are what was written, as far as checksums or tags tell: they are compressed once more
    /// to find out, which makes the same frames of the same bytes.
    ///
    /// # Errors
    /// When the memory to find out cannot be allocated; ECANCELED.
    pub(super) fn has_content(&self, slices: &[IoSlice<'_>], stop: &AtomicBool) -> Result<bool, Error> {
        let mut desk = self.compressor.desk()?;
        let mut pieces = self.pieces.iter();
        each_piece(slices, self.len_bytes, |slices, piece_bytes| {
            go_on(stop)?;
            let piece = pieces.next().expect("as many pieces as before");
            piece.has_content(&mut desk, slices, piece_bytes)
        })
    }

    pub(super) const fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Counts what it saves, or does not any more.
    pub(super) fn count_saved(&self, is_counted: bool) {
        if self.is_counted.swap(is_counted, Relaxed) == is_counted {
            return;
        }
        let stored_bytes: u64 = self.pieces.iter().map(|piece| piece.slotted.len_bytes()).sum();
        let saved_bytes = self.len_bytes - stored_bytes;
        if is_counted { self.compressor.add_saved(saved_bytes) } else { self.compressor.remove_saved(saved_bytes) }
    }

    /// Frees the payload's slots and gives their disk space back.
    pub(super) fn discard(mut self, store: &Store) {
        self.take_pieces().into_iter().for_each(|piece| piece.slotted.discard(store));
    }

    /// Leaves nothing.
    fn take_pieces(&mut self) -> Box<[Piece]> {
        self.count_saved(false);
        std::mem::take(&mut self.pieces)
    }

    pub(super) fn is_at_risk(&self) -> bool {
        self.pieces.iter().any(|piece| piece.slotted.is_at_risk())
    }

    /// The parts of a range in each piece, in order: the piece, its first byte, and the part as bytes of the piece.
    fn parts(&self, range: Range<u64>) -> impl Iterator<Item = (&Piece, u64, Range<u64>)> {
        let mut start = range.start;
        std::iter::from_fn(move || {
            if start >= range.end {
                return None;
            }
            let piece_start = units::round_down(start, PIECE);
            let end = range.end.min(piece_start + PIECE);
            let part = start - piece_start..end - piece_start;
            start = end;
            Some((&self.pieces[units::to_usize(piece_start / PIECE)], piece_start, part))
        })
    }
}

impl Drop for Framed {
    // Payloads that are not compressed are not to pay for it.
    #[inline(never)]
    fn drop(&mut self) {
        self.count_saved(false);
    }
}

impl Writing<'_> {
    /// Writes the next piece: in a form, where that makes it shorter, else as it is.
    fn write(&mut self, slices: &[IoSlice<'_>], len_bytes: u64, form: Option<Form>) -> Result<(), Error> {
        go_on(self.stop)?;
        if let Some(form) = form
            && self.compress(slices, len_bytes, form)?
        {
            return Ok(());
        }
        let slotted = self.put(slices, len_bytes)?;
        self.pieces.push(Piece { slotted, frames: None });
        Ok(())
    }

    /// Writes the next piece if that makes it shorter. Says whether it did.
    fn compress(&mut self, slices: &[IoSlice<'_>], len_bytes: u64, form: Form) -> Result<bool, Error> {
        let Some(layout) = self.desk.encode(slices, len_bytes, form)? else { return Ok(false) };
        let slotted = self.put(&[IoSlice::new(&self.desk.stage)], layout.stored_bytes())?;
        self.pieces.push(Piece { slotted, frames: Some(Frames { layout, form }) });
        Ok(true)
    }

    fn put(&self, slices: &[IoSlice<'_>], len_bytes: u64) -> Result<Slotted, Error> {
        let slotted = Slotted::pageout(self.store, slices, len_bytes, self.protection, self.stop);
        let claimed_bytes = || self.pieces.iter().map(|piece| slot_bytes_for(piece.slotted.len_bytes())).sum();
        slotted.map_err(|error| error.with_claimed(claimed_bytes()))
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.pieces.drain(..).for_each(|piece| piece.slotted.discard(self.store));
    }
}

impl Piece {
    fn has_content(&self, desk: &mut Desk, slices: &[IoSlice<'_>], len_bytes: u64) -> Result<bool, Error> {
        let Some(Frames { layout, form }) = &self.frames else { return self.slotted.has_content(slices) };
        let is_same_layout = desk.encode(slices, len_bytes, *form)?.as_ref() == Some(layout);
        Ok(is_same_layout && self.slotted.has_content(&[IoSlice::new(&desk.stage)])?)
    }
}

/// Reading.
impl Piece {
    /// Fills `into` with the bytes `wanted`. Says whether they came; from the device they always do.
    fn read(
        &self,
        compressor: &Compressor,
        wanted: Range<u64>,
        mut into: Destination<'_>,
        source: Source,
    ) -> Result<bool, Error> {
        if self.frames.is_none() {
            return range::read(self.slotted.pages(), extent(&wanted), into, source);
        }
        self.each_frame(compressor, &wanted, source, |start, bytes| {
            let end = start + units::to_u64(bytes.len());
            let part = wanted.start.max(start) - start..wanted.end.min(end) - start;
            into.append(&bytes[units::to_usize(part.start)..units::to_usize(part.end)]);
        })
    }

    /// Calls `use_it` with the bytes of each frame that has some of `wanted`, in order, and the byte of the piece at which they
    /// begin. Says whether they came.
    fn each_frame(
        &self,
        compressor: &Compressor,
        wanted: &Range<u64>,
        source: Source,
        mut use_it: impl FnMut(u64, &[u8]),
    ) -> Result<bool, Error> {
        let Some(frames) = &self.frames else { unreachable!("a piece that has frames") };
        let layout = &frames.layout;
        let mut desk = compressor.desk()?;
        let mut rest = layout.frames(wanted);
        while !rest.is_empty() {
            let group = frames.first_group(&rest);
            let stored = layout.stored(&group);
            let fetched = desk.fetch(self.slotted.pages(), extent(&stored), source);
            if !fetched.map_err(|error| frames.of_frame(error, &group))? {
                return Ok(false);
            }
            rest.start = group.end;
            let Desk { workspace, stage, .. } = &mut *desk;
            let mut encoded_rest = &stage[..];
            for frame in group {
                let (encoded, behind) = encoded_rest.split_at(memory_len(&layout.stored(&(frame..frame + 1))));
                let payload = layout.payload(frame);
                let decoded = workspace.decoded(encoded, memory_len(&payload));
                // Of verified pages this does not happen.
                use_it(payload.start, decoded.map_err(|Corrupt| self.slotted.corrupt(payload.start))?);
                encoded_rest = behind;
            }
        }
        Ok(true)
    }

    /// What lies in slots of the bytes `wanted`.
    fn stored(&self, wanted: Range<u64>) -> Range<u64> {
        self.frames.as_ref().map_or(wanted.clone(), |Frames { layout, .. }| layout.stored(&layout.frames(&wanted)))
    }
}

impl Framed {
    /// Fills `into`, which is as long as `extent`, with its bytes. Says whether they came; from the device they always do.
    fn read_extent(&self, extent: Extent, mut into: Destination<'_>, source: Source) -> Result<bool, Error> {
        for (piece, piece_start, part) in self.parts(extent.range()) {
            let part_into = into.split_front(memory_len(&part));
            let read = piece.read(&self.compressor, part, part_into, source);
            if !read.map_err(|error| at_byte(error, |byte| piece_start + byte))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Runs for &Framed {
    fn is_near(self, end: u64, start: u64) -> bool {
        let (last, _, _) = self.parts(end - 1..end).next().expect("a byte of the payload");
        // Frames that follow each other are read together.
        last.frames.as_ref().map_or_else(|| gather::are_near_pages(end, start), |_| start / FRAME <= (end - 1) / FRAME + 1)
    }

    fn is_in_one_slot(self, span: &Range<u64>) -> bool {
        span.start / PIECE == (span.end - 1) / PIECE
    }

    fn read(self, extent: Extent, into: Destination<'_>, source: Source) -> Result<bool, Error> {
        self.read_extent(extent, into, source)
    }

    fn read_around(
        self,
        span: &Range<u64>,
        buffer: &mut Vec<u8>,
        source: Source,
        mut use_it: impl FnMut(u64, &[u8]),
    ) -> Result<bool, Error> {
        let (piece, piece_start, part) = self.parts(span.clone()).next().expect("a run has bytes, in one slot");
        let use_it = |start: u64, bytes: &[u8]| use_it(piece_start + start, bytes);
        let read = match &piece.frames {
            Some(_) => piece.each_frame(&self.compressor, &part, source, use_it),
            None => piece.slotted.pages().read_around(&part, buffer, source, use_it),
        };
        read.map_err(|error| at_byte(error, |byte| piece_start + byte))
    }

    fn prefetch(self, wanted: impl Iterator<Item = Range<u64>>) {
        let mut left_bytes = self.pieces.iter().map(|piece| piece.slotted.prefetch_bytes_max()).max().unwrap_or(0);
        for (piece, _, part) in wanted.flat_map(|range| self.parts(range)) {
            for stored in first_bytes(std::iter::once(piece.stored(part)), left_bytes) {
                left_bytes -= stored.end - stored.start;
                piece.slotted.pages().prefetch(std::iter::once(stored));
            }
        }
    }
}

impl Payload for Framed {
    fn read(&self, extents: &Extents, whole: Destination<'_>) -> Result<(), Error> {
        match extents {
            Extents::One(extent) => self.read_extent(*extent, whole, Source::Device).map(|_| ()),
            Extents::Many { .. } => gather::read(self, extents, whole),
        }
    }

    fn read_cached(&self, extents: &Extents, whole: Destination<'_>) -> Result<bool, Error> {
        gather::read_cached(self, extents, whole)
    }

    fn prefetch(&self, extents: &Extents) {
        Runs::prefetch(self, extents.requested().iter().map(|extent| extent.range()));
    }
}

impl Frames {
    /// The first of `frames`, as many as one stage holds, and at least one.
    fn first_group(&self, frames: &Range<usize>) -> Range<usize> {
        let fits = |end: &usize| {
            let stored = self.layout.stored(&(frames.start..*end));
            stored.end - stored.start <= units::to_u64(STAGE_BYTES)
        };
        let end = (frames.start + 2..=frames.end).take_while(fits).last();
        frames.start..end.unwrap_or(frames.start + 1)
    }

    /// The error of a read of `frames`, with the byte of the piece at which the first frame begins that the wrong page has bytes of.
    fn of_frame(&self, error: Error, frames: &Range<usize>) -> Error {
        at_byte(error, |stored_byte| {
            let is_before = |frame: &usize| self.layout.stored(&(*frame..*frame + 1)).end <= stored_byte;
            let first = frames.clone().find(|frame| !is_before(frame)).unwrap_or(frames.start);
            self.layout.payload(first).start
        })
    }
}

/// Calls `use_it` with each piece of a payload of `len_bytes`: its slices and its length. The last one has what `slices` have behind
/// the payload. Ends when it says false; gives what it said last.
fn each_piece(
    slices: &[IoSlice<'_>],
    len_bytes: u64,
    mut use_it: impl FnMut(&[IoSlice<'_>], u64) -> Result<bool, Error>,
) -> Result<bool, Error> {
    if len_bytes <= PIECE {
        return use_it(slices, len_bytes);
    }
    let all_bytes = slices.iter().map(|slice| units::to_u64(slice.len())).sum();
    let (mut rest, mut window) = (Unread::new(slices, all_bytes), Vec::new());
    for start in (0..len_bytes).step_by(units::index(PIECE_BYTES)) {
        let piece_bytes = PIECE.min(len_bytes - start);
        let is_last = start + piece_bytes == len_bytes;
        let behind_bytes = if is_last { 0 } else { rest.remaining_bytes() - units::to_usize(piece_bytes) };
        window.clear();
        while rest.remaining_bytes() > behind_bytes {
            window.try_reserve(1)?;
            window.push(IoSlice::new(rest.piece(rest.remaining_bytes() - behind_bytes)));
        }
        if !use_it(&window, piece_bytes)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fails where `stop` became true.
fn go_on(stop: &AtomicBool) -> Result<(), Error> {
    if stop.load(Relaxed) { Err(Failure::new("pwritev", libc::ECANCELED).into()) } else { Ok(()) }
}

/// The same error; that of a wrong page with another byte.
fn at_byte(error: Error, byte: impl FnOnce(u64) -> u64) -> Error {
    match error {
        Error::Corrupt { byte_offset, write_back_errno } => Error::Corrupt { byte_offset: byte(byte_offset), write_back_errno },
        other => other,
    }
}

fn extent(range: &Range<u64>) -> Extent {
    Extent { start: range.start, len_bytes: range.end - range.start }
}

fn memory_len(range: &Range<u64>) -> usize {
    units::to_usize(range.end - range.start)
}
