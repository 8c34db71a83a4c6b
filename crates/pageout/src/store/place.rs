//! The slots of one payload, and where in them its bytes lie.

use std::io::IoSlice;
use std::ops::Range;

use super::slot_file::{Slot, copied};
use crate::error::Error;
use crate::slots::{Class, LARGEST_SLOT_BYTES};
use crate::units;

/// The slots of one payload, in payload order. All but the last are of the largest class and full.
#[derive(Debug)]
pub(crate) enum Place {
    /// A payload that fits one slot: no allocation.
    One(Slot),
    /// A longer payload.
    Many(Box<[Slot]>),
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
        Ok(Self::Many(slots.into_boxed_slice()))
    }

    /// Writes a payload: the bytes of `sources`, which may be longer than the payload by padding that the last slot holds.
    ///
    /// # Errors
    /// What the operating system said. The slots' content is unspecified then.
    pub(super) fn write(&self, sources: &[IoSlice<'_>]) -> Result<(), Error> {
        match self {
            Self::One(slot) => slot.write(sources),
            Self::Many(slots) => {
                let mut rest = copied(sources)?;
                let mut rest = &mut rest[..];
                for slot in slots {
                    let window = window(rest, units::to_usize(LARGEST_SLOT_BYTES))?;
                    slot.write(&window)?;
                    let written = window.iter().map(|slice| slice.len()).sum();
                    drop(window);
                    IoSlice::advance_slices(&mut rest, written);
                }
                Ok(())
            }
        }
    }

    /// The parts of the payload's bytes `range`, in order.
    pub(crate) fn segments(&self, range: Range<u64>) -> impl Iterator<Item = Segment<'_>> {
        let mut start = range.start;
        std::iter::from_fn(move || {
            if start >= range.end {
                return None;
            }
            let (position, slot_start) = (start / LARGEST_SLOT_BYTES, start % LARGEST_SLOT_BYTES);
            let end = range.end.min(start - slot_start + LARGEST_SLOT_BYTES);
            let segment = Segment { slot: self.slot(position), slot_start, payload: start..end };
            start = end;
            Some(segment)
        })
    }

    fn slot(&self, position: u64) -> &Slot {
        match self {
            Self::One(slot) => slot,
            Self::Many(slots) => &slots[units::to_usize(position)],
        }
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
