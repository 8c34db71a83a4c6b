//! The one door for whole pages of a payload in slots: they are fetched, verified, and opened in place.
//!
//! Checksums and tags are of whole pages, so whoever wants bytes fetches the pages [around](Pages::around) them. No byte of a page is
//! handed on before the page was verified. Without them any bytes count as whole pages.

use std::ops::Range;

use crate::block::{PAGE_BYTES, Proof};
use crate::error::Error;
use crate::store::{Place, Segment, Slot};
use crate::sys::Destination;
use crate::units;

/// Where pages may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Only from the page cache, without waiting for the device.
    PageCache,
    /// From the device, if they are not in the page cache.
    Device,
}

/// The pages of a payload in slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'a> {
    place: &'a Place,
    proof: &'a Proof,
    len_bytes: u64,
}

impl<'a> Pages<'a> {
    /// The pages of a payload of `len_bytes` bytes in `place`.
    pub(super) fn new(place: &'a Place, proof: &'a Proof, len_bytes: u64) -> Self {
        Self { place, proof, len_bytes }
    }

    /// The parts of `range` that lie in one slot each, in order.
    pub(super) fn segments(self, range: Range<u64>) -> impl Iterator<Item = Segment<'a>> {
        self.place.segments(range)
    }

    /// What has to be fetched to verify `wanted`: its pages, up to the payload's end; where nothing verifies it just itself.
    pub(super) fn around(self, wanted: &Segment<'a>) -> Segment<'a> {
        let Segment { slot, slot_start, payload: Range { start, end } } = wanted;
        if !self.proof.is_of_pages() {
            return Segment { slot, slot_start: *slot_start, payload: *start..*end };
        }
        let before_bytes = start % PAGE_BYTES;
        let end = end.next_multiple_of(PAGE_BYTES).min(self.len_bytes);
        Segment { slot, slot_start: slot_start - before_bytes, payload: start - before_bytes..end }
    }

    /// Whether `range`, which is not empty, lies in one slot.
    pub(super) fn is_in_one_slot(self, range: &Range<u64>) -> bool {
        self.place.is_in_one_slot(range)
    }

    /// Fills `parts` with whole pages, and verifies and opens them there. Each part but the last has whole pages. Says whether
    /// the pages came; from the device they always do.
    ///
    /// # Errors
    /// [`Error::Corrupt`], or what the operating system said.
    pub(super) fn fetch(self, pages: &Segment<'_>, parts: &mut [Destination<'_>], source: Source) -> Result<bool, Error> {
        let Segment { slot, slot_start, payload: Range { start, .. } } = *pages;
        let is_complete = match source {
            Source::Device => {
                let outcome = slot.read(parts, slot_start);
                outcome.map_err(|error| error.unwrap_or_else(|| cut_short(start, parts, slot)))?;
                true
            }
            Source::PageCache => slot.read_cached(parts, slot_start)?,
        };
        if is_complete {
            self.open_all(start, parts, slot)?;
        }
        Ok(is_complete)
    }

    /// Verifies and opens the whole pages in `parts`, which came from `slot` and begin at the payload's byte `start`.
    fn open_all(self, mut start: u64, parts: &mut [Destination<'_>], slot: &Slot) -> Result<(), Error> {
        for part in parts {
            let pages = part.filled_mut();
            self.proof.open(start, pages).map_err(|byte_offset| self.unopened(byte_offset, slot))?;
            start += units::to_u64(pages.len());
        }
        Ok(())
    }

    /// Why the page at `byte_offset` of the payload, which lies in `slot`, was not opened.
    #[cold]
    fn unopened(self, byte_offset: u64, slot: &Slot) -> Error {
        if self.proof.is_forgotten() { Error::Closed } else { corrupt(byte_offset, slot) }
    }

    /// Starts bringing the pages around all that is `wanted` into memory.
    pub(super) fn prefetch(self, wanted: impl Iterator<Item = Range<u64>>) {
        for segment in wanted.flat_map(|range| self.segments(range)) {
            let pages = self.around(&segment);
            pages.slot.prefetch(pages.slot_start, pages.payload.end - pages.payload.start);
        }
    }
}

/// The file ended before `parts`, which begin at the payload's byte `start`, were filled from `slot`.
fn cut_short(start: u64, parts: &[Destination<'_>], slot: &Slot) -> Error {
    let filled_bytes: usize = parts.iter().map(|part| part.filled().len()).sum();
    corrupt(units::round_down(start + units::to_u64(filled_bytes), PAGE_BYTES), slot)
}

/// The page at `byte_offset` of the payload, which lies in `slot`, is not what was written.
fn corrupt(byte_offset: u64, slot: &Slot) -> Error {
    Error::Corrupt { byte_offset, write_back_errno: slot.write_back_errno() }
}
