//! The slots of one payload, and where in them its bytes lie.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::slot::{Slot, copied};
use crate::error::Error;
use crate::slots::{Class, LARGEST_SLOT_BYTES};
use crate::sys::Failure;
use crate::units;

#[allow(clippy::cast_possible_truncation, reason = "64 MiB")]
const LARGEST_PIECE_BYTES: u32 = LARGEST_SLOT_BYTES as u32;

/// The slots of one payload, in payload order. All but the last hold as many bytes of it.
#[derive(Debug)]
pub(crate) enum Place {
    /// A payload that fits one slot: no allocation.
    One(Slot),
    /// A longer payload, or nothing for one without bytes.
    Many(Option<Box<Pieces>>),
}

const _: () = assert!(cfg!(pageout_loom) || size_of::<Place>() <= 16, "each payload has one");

/// Slots of a longer payload.
#[derive(Debug)]
pub(crate) struct Pieces {
    slots: Box<[Slot]>,
    /// Bytes of the payload in each slot but the last, at most [`LARGEST_SLOT_BYTES`].
    piece_bytes: u32,
}

/// A part of a payload that lies in one slot.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    /// The slot.
    pub(crate) slot: &'a Slot,
    /// Where in the slot the part begins, in bytes.
    pub(crate) slot_start: u64,
    /// The part, as bytes of the payload.
    pub(crate) payload: Range<u64>,
}

impl Place {
    /// Claims a slot of each class; the ones claimed go back when one fails.
    pub(super) fn collect(
        mut classes: impl Iterator<Item = Class>,
        claim: &mut impl FnMut(Class) -> Result<Slot, Error>,
    ) -> Result<Self, Error> {
        let first = classes.next().expect("a payload with bytes needs a slot");
        let first = claim(first)?;
        let Some(second) = classes.next() else { return Ok(Self::One(first)) };
        let mut slots = Vec::new();
        slots.try_reserve(2)?;
        slots.push(first);
        slots.push(claim(second)?);
        for class in classes {
            slots.try_reserve(1)?;
            slots.push(claim(class)?);
        }
        Ok(Self::of_pieces(slots, LARGEST_PIECE_BYTES))
    }

    /// The place of a payload without bytes.
    pub(crate) const fn nowhere() -> Self {
        Self::Many(None)
    }

    /// An empty list of slots with room for those of `count` pieces.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub(crate) fn list_for(count: usize) -> Result<Vec<Slot>, Error> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(count)?;
        Ok(slots)
    }

    /// Appends the slot of a piece, which is its only one.
    pub(crate) fn append_to(self, slots: &mut Vec<Slot>) {
        match self {
            Self::One(slot) => slots.push(slot),
            Self::Many(_) => unreachable!("a piece fits one slot"),
        }
    }

    /// The place of a payload that was put in `slots` piece by piece, each but the last `piece_bytes` long.
    pub(crate) fn of_pieces(slots: Vec<Slot>, piece_bytes: u32) -> Self {
        Self::Many(Some(Box::new(Pieces { slots: slots.into_boxed_slice(), piece_bytes })))
    }

    /// Writes a payload: the bytes of `sources`, which may be longer than the payload by padding that the last slot holds. Calls
    /// `written` when a slot is.
    ///
    /// # Errors
    /// What the operating system said; ECANCELED when `stop` became true between two slots. The slots' content is unspecified
    /// then.
    pub(super) fn write(&self, sources: &[IoSlice<'_>], stop: &AtomicBool, written: impl Fn()) -> Result<(), Error> {
        match self {
            Self::One(slot) => {
                slot.write(sources)?;
                written();
                Ok(())
            }
            Self::Many(_) => {
                let mut rest = copied(sources)?;
                let mut rest = &mut rest[..];
                for slot in self.slots() {
                    if stop.load(Relaxed) {
                        return Err(Failure::new("pwritev", libc::ECANCELED).into());
                    }
                    let window = window(rest, units::to_usize(self.piece_bytes()))?;
                    slot.write(&window)?;
                    written();
                    let window_bytes = window.iter().map(|slice| slice.len()).sum();
                    drop(window);
                    IoSlice::advance_slices(&mut rest, window_bytes);
                }
                Ok(())
            }
        }
    }

    /// As [`Self::write`], in pieces of at most `step_bytes`, between which `stop` is looked at.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) fn write_in_steps(
        &self,
        sources: &[IoSlice<'_>],
        step_bytes: usize,
        stop: &AtomicBool,
        written: impl Fn(),
    ) -> Result<(), Error> {
        let mut rest = copied(sources)?;
        let mut rest = &mut rest[..];
        for slot in self.slots() {
            let mut start = 0;
            while start < self.piece_bytes() && !rest.is_empty() {
                if stop.load(Relaxed) {
                    return Err(Failure::new("pwritev", libc::ECANCELED).into());
                }
                let max_bytes = units::to_usize(self.piece_bytes() - start).min(step_bytes);
                let window = window(rest, max_bytes)?;
                slot.write_part(&window, start)?;
                let window_bytes = window.iter().map(|slice| slice.len()).sum();
                drop(window);
                IoSlice::advance_slices(&mut rest, window_bytes);
                start += units::to_u64(window_bytes);
            }
            slot.set_dirty();
            written();
        }
        Ok(())
    }

    /// Whether this process may write there.
    pub(crate) fn is_writable(&self) -> bool {
        self.slots().iter().all(Slot::is_writable)
    }

    /// The slots, in payload order.
    pub(super) fn slots(&self) -> &[Slot] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Many(many) => many.as_ref().map_or(&[], |many| &many.slots),
        }
    }

    /// Bytes that a prefetch may bring in.
    pub(crate) fn prefetch_bytes_max(&self) -> u64 {
        self.slots().first().map_or(0, Slot::prefetch_bytes_max)
    }

    /// The parts of the payload's bytes `range`, in order.
    pub(crate) fn segments(&self, range: Range<u64>) -> impl Iterator<Item = Segment<'_>> {
        let mut start = range.start;
        let piece_bytes = self.piece_bytes();
        std::iter::from_fn(move || {
            if start >= range.end {
                return None;
            }
            let position = self.position(start);
            let slot_start = start - position * piece_bytes;
            let end = range.end.min(start - slot_start + piece_bytes);
            let segment = Segment { slot: self.slot(position), slot_start, payload: start..end };
            start = end;
            Some(segment)
        })
    }

    /// Whether the device has lost something of a file that the payload lies in, as far as the system has said so.
    pub(crate) fn is_at_risk(&self) -> bool {
        self.slots().iter().any(Slot::is_at_risk)
    }

    /// Whether the payload's bytes `range`, which is not empty, lie in one slot.
    pub(crate) fn is_in_one_slot(&self, range: &Range<u64>) -> bool {
        self.position(range.start) == self.position(range.end - 1)
    }

    /// The position of the slot that holds the payload's byte `byte`.
    fn position(&self, byte: u64) -> u64 {
        // A division costs as much as all else that finds a page.
        if let Self::One(_) = self { 0 } else { byte / self.piece_bytes() }
    }

    fn piece_bytes(&self) -> u64 {
        match self {
            Self::One(_) | Self::Many(None) => LARGEST_SLOT_BYTES,
            Self::Many(Some(many)) => u64::from(many.piece_bytes),
        }
    }

    fn slot(&self, position: u64) -> &Slot {
        &self.slots()[units::to_usize(position)]
    }
}

/// The first `max_bytes` bytes of `slices`.
fn window<'a>(slices: &'a [IoSlice<'_>], max_bytes: usize) -> Result<Vec<IoSlice<'a>>, Error> {
    let mut window = Vec::new();
    let mut remaining_bytes = max_bytes;
    for slice in slices {
        let part = &slice[..slice.len().min(remaining_bytes)];
        window.try_reserve(1)?;
        window.push(IoSlice::new(part));
        remaining_bytes -= part.len();
        if remaining_bytes == 0 {
            break;
        }
    }
    Ok(window)
}
